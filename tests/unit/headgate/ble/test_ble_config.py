"""The section `ble` of a site document: what it gives, every fault with its place, no key said back."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.ble.config import parse_mapping
from headgate.ble.uuids import full_uuid
from headgate.errors import Reject
from headgate.model import Series
from headgate.roles.hub_config import parse_site

ADDRESS = "A4:C1:38:10:00:01"


def device(**more: Any) -> dict[str, Any]:
    return {"name": "office", "address": ADDRESS.lower(), "profile": "bthome", **more}


def faults(*devices: dict[str, Any]) -> list[str]:
    with pytest.raises(Reject) as refused:
        parse_mapping({"devices": list(devices)})
    return [f"{each.path}: {each.what}" for each in refused.value.problems]


def test_a_bthome_device_has_its_count_and_what_is_listed() -> None:
    (parsed,) = parse_mapping({"devices": [device(measurements=["pressure", "motion"])]}).devices
    assert parsed.address == ADDRESS
    assert [parsed.series(tag) for tag in parsed.tags] == [
        Series("office/packet_id", "1", "i64"),
        Series("office/pressure", "hPa", "f64", 2),
        Series("office/motion", "", "bool"),
    ]


def test_the_usual_tags_of_each_profile() -> None:
    parsed = parse_mapping({"devices": [device(), device(name="r", profile="ruuvi5", tags=["pressure"])]})
    assert parsed.devices[0].tags == ("packet_id", "temperature", "humidity", "battery")
    assert parsed.devices[1].tags == ("measurement_sequence", "pressure")


def test_a_bind_key_shows_neither_in_a_device_nor_in_a_fault() -> None:
    (parsed,) = parse_mapping({"devices": [device(bind_key="0f" * 16)]}).devices
    assert parsed.bind_key == bytes.fromhex("0f" * 16)
    assert "bind_key" not in repr(parsed)
    assert faults(device(bind_key="0f" * 15)) == ["ble.devices[0].bind_key: is no key"]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"address": "A4:C1"}, "address: 'A4:C1' is not allowed here"),
        ({"address": 112233}, "address: expected text, found a number (112233)"),
        ({"profile": "bthom"}, "profile: unknown 'bthom'"),
        ({"measurements": ["temprature"]}, "measurements[0]: unknown 'temprature'"),
        ({"measurements": []}, "measurements: expected a list of tags, found a list"),
        ({"tags": ["temperature"]}, "tags: does not go with profile bthome"),
        ({"profile": "ess", "bind_key": "0f" * 16}, "bind_key: does not go with profile ess"),
        ({"interval_s": 0}, "interval_s: 0 is out of range"),
        ({"tiemout_s": 1}, "tiemout_s: unknown key"),
    ],
)
def test_each_fault_is_named_with_its_place(more: dict[str, Any], fault: str) -> None:
    assert faults({**device(), **more}) == [f"ble.devices[0].{fault}"]


def test_names_and_addresses_are_taken_once() -> None:
    assert faults(device(), device()) == [
        "ble.devices[1].name: 'office' is taken",
        f"ble.devices[1].address: '{ADDRESS} bthome' is taken",
    ]


def test_the_hub_checks_the_section() -> None:
    with pytest.raises(Reject, match=r"ble\.adapter"):
        parse_site(b"schema: 1\nble: {adapter: wlan0}\n", "site")
    assert parse_site(b"schema: 1\nble: {adapter: hci1, devices: []}\n", "site").sha256


@pytest.mark.parametrize("spelt", ["2A6E", "0x2a6e", "00002A6E-0000-1000-8000-00805F9B34FB"])
def test_a_uuid_may_be_short(spelt: str) -> None:
    assert full_uuid(spelt) == "00002a6e-0000-1000-8000-00805f9b34fb"
    assert full_uuid(spelt + "0") is None
