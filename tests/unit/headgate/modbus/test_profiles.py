"""Every profile is valid, cites where it is from, and becomes polls; a device takes what it wants of one."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devtools import profiles as pages
from headgate.clock import ManualClock
from headgate.config.site import load_document
from headgate.errors import Reject
from headgate.modbus.config import Device, parse_mapping
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.profiles import load, names

ROOT = Path(__file__).resolve().parents[4]
FILES = sorted((ROOT / "profiles").glob("*.yaml"))
TCP = {"kind": "tcp", "host": "h"}


def device(**more: Any) -> Device:
    (found,) = parse_mapping({"devices": [{"name": "m", "transport": TCP, **more}]}).devices
    return found


def faults(**more: Any) -> dict[str, str]:
    with pytest.raises(Reject) as refused:
        device(**more)
    return {fault.path: f"{fault.what}; {fault.hint}" for fault in refused.value.problems}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_profile_is_valid_and_becomes_polls(file: Path) -> None:
    document = load_document(file.read_bytes(), file.name)
    jsonschema.validate(document, json.loads((ROOT / "schemas" / "profile.v1.json").read_text()))
    assert document["name"] == file.stem
    made = device(profile=file.stem)
    tags = [tag for group in made.groups for tag in group.tags]
    spans = sorted((tag.table, tag.address, tag.address + tag.count) for tag in tags)
    for (table, _, end), (other, start, _) in itertools.pairwise(spans):
        assert table != other or end <= start, "two tags of one register"
    driver = ModbusDriver(ManualClock())
    config = {"devices": [{"name": "m", "transport": TCP, "profile": file.stem}]}
    driver.apply(driver.plan(config))
    assert len(driver.table()) == len(tags)
    assert all(series.unit for series in driver.table())


def test_there_are_as_many_profiles_as_files_and_the_page_tells_of_them() -> None:
    assert list(names()) == [file.stem for file in FILES]
    assert pages.PAGE.read_text("utf-8") == pages.page()


def test_the_same_quantity_has_the_same_name_and_unit_everywhere() -> None:
    units: dict[str, set[str]] = {}
    for name in names():
        for group in load(name)["groups"]:
            for tag in group["tags"]:
                units.setdefault(tag["name"], set()).add(tag["unit"])
    assert {name: found for name, found in units.items() if len(found) > 1} == {}


def test_a_device_takes_the_profiles_groups_behind_its_own_and_what_it_says_itself_wins() -> None:
    tag = {"name": "relay", "table": "coil", "address": 0}
    made = device(
        profile="eastron-sdm230",
        max_registers=20,
        only=["voltage", "energy_import"],
        intervals={"measured": 0.5},
        groups=[{"name": "mine", "interval_s": 2, "tags": [tag]}],
    )
    assert made.max_registers == 20
    assert device(profile="eastron-sdm230").max_registers == 60
    rows = [(group.name, group.interval_ms, [tag.name for tag in group.tags]) for group in made.groups]
    assert rows == [
        ("mine", 2_000, ["relay"]),
        ("measured", 500, ["voltage"]),
        ("energy", 60_000, ["energy_import"]),
    ]


def test_what_is_wrong_is_named_with_its_place_and_the_nearest_name() -> None:
    assert "did you mean 'eastron-sdm630'?" in faults(profile="eastron-sdm63")["modbus.devices[0].profile"]
    found = faults(profile="eastron-sdm630", only=["voltage_l4"], intervals={"energi": 1})
    assert found["modbus.devices[0].only[0]"].startswith("the profile has no tag 'voltage_l4'; did you mean")
    assert "did you mean 'energy'?" in found["modbus.devices[0].intervals.energi"]
    tag = {"name": "x", "table": "coil", "address": 0}
    groups = [{"name": "g", "interval_s": 1, "tags": [tag]}]
    assert faults(only=["x"], groups=groups) == {
        "modbus.devices[0].only": "goes with profile alone; name a profile, or leave it out"
    }
