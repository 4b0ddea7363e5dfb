"""The `sunspec` section of a device, and the model definitions that it names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.errors import Reject
from headgate.modbus.config import Device, parse_mapping
from headgate.modbus.sunspec.definitions import FOLDER, PointGroup, index, load
from headgate.modbus.sunspec.options import Chosen
from headgate.modbus.sunspec.tags import expected, form_of
from headgate.modbus.sunspec.walk import BASES
from headgate.model import Series

PUBLISHED_LENGTHS = {
    1: 66,
    101: 50,
    102: 50,
    103: 50,
    111: 60,
    112: 60,
    113: 60,
    120: 26,
    121: 30,
    122: 44,
    123: 24,
    124: 24,
    160: 8,
    201: 105,
    202: 105,
    203: 105,
    204: 105,
    211: 124,
    212: 124,
    213: 124,
    214: 124,
    701: 153,
    713: 7,
    714: 18,
    802: 62,
}
"""The length that a device says of a model without repeating groups (models_workbook of the source)."""


def parse(sunspec: Any, **more: Any) -> Device:
    device = {"name": "pv1", "transport": {"kind": "tcp", "host": "h"}, "sunspec": sunspec} | more
    (read,) = parse_mapping({"devices": [device]}).devices
    return read


def faults(sunspec: Any, **more: Any) -> list[str]:
    with pytest.raises(Reject) as caught:
        parse(sunspec, **more)
    return [str(problem) for problem in caught.value.problems]


def test_without_models_everything_that_measures_is_polled() -> None:
    options = parse({"interval_s": 5}).sunspec
    assert options is not None
    assert (options.interval_ms, options.stale_ms, options.bases) == (5000, 60_000, BASES)
    assert (options.table, options.enums, options.points, options.named) == ("holding", "text", None, False)
    assert all(options.chosen(number) for number in (101, 103, 113, 122, 160, 203, 701, 714, 802))
    assert not any(options.chosen(number) for number in (1, 120, 121, 123, 124, 702, 704, 64_900))
    assert expected(options) == []


def test_models_are_named_by_family_or_number_with_a_rate_of_their_own() -> None:
    options = parse(
        {"interval_s": 1, "models": ["inverter", 160.0, "1"], "intervals": {"160": 10, "1": 3600}}
    ).sunspec
    assert options is not None
    assert options.models == (Chosen("inverter"), Chosen("160", 10_000), Chosen("1", 3_600_000))
    assert options.chosen(113) == Chosen("inverter")
    assert options.chosen(203) is None


def test_a_device_has_groups_of_its_own_beside_its_models() -> None:
    tag = {"name": "x", "table": "holding", "address": 7, "type": "uint16"}
    group = {"name": "g", "interval_s": 1, "tags": [tag]}
    assert [group.name for group in parse({"interval_s": 5}, groups=[group]).groups] == ["g"]
    tag["name"] = "inverter2.W"
    (fault,) = faults({"interval_s": 5}, groups=[group])
    assert "groups[0].tags[0].name: 'inverter2.W' may be that of a SunSpec point" in fault


@pytest.mark.parametrize(
    ("sunspec", "fault"),
    [
        ({}, "sunspec.interval_s: is missing"),
        (
            {"interval_s": 5, "models": ["invertor"]},
            "sunspec.models[0]: there is no model 'invertor' (did you mean",
        ),
        ({"interval_s": 5, "models": [999]}, "sunspec.models[0]: there is no model '999'"),
        ({"interval_s": 5, "models": []}, "sunspec.models: expected a list of at least one"),
        (
            {"interval_s": 5, "models": [103], "points": ["PhVph"]},
            "sunspec.points[0]: no model that is polled has",
        ),
        ({"interval_s": 5, "models": [160], "points": ["inverter.W"]}, "sunspec.points[0]: no model"),
        (
            {"interval_s": 5, "models": [103], "intervals": {160: 1}},
            "sunspec.intervals.160: is not among the models",
        ),
        (
            {"interval_s": 5, "models": [103], "intervals": {103: 0}},
            "sunspec.intervals.103: 0 is out of range",
        ),
        ({"interval_s": 5, "stale_s": 1}, "sunspec.stale_s: 1 is less than interval_s"),
        ({"interval_s": 5, "heartbeat_s": 9}, "sunspec.heartbeat_s: goes with deadbands alone"),
        ({"interval_s": 5, "deadbands": {"Wat": 1}}, "sunspec.deadbands.Wat: no model that is polled"),
        ({"interval_s": 5, "deadbands": {"W": "x"}}, "sunspec.deadbands.W: expected a number or"),
        ({"interval_s": 5, "base": 70_000}, "sunspec.base: 70000 is out of range"),
        ({"interval_s": 5, "table": "coil"}, "sunspec.table: unknown 'coil'"),
        ({"interval_s": 5, "modells": [1]}, "sunspec.modells: unknown key (did you mean 'models'?)"),
    ],
)
def test_faults_are_told_with_their_place(sunspec: dict[str, Any], fault: str) -> None:
    assert any(fault in each for each in faults(sunspec)), faults(sunspec)


def test_points_may_be_named_with_their_family() -> None:
    options = parse(
        {"interval_s": 5, "models": [103, 203, 160], "points": ["inverter.W", "Hz", "DCW"]}
    ).sunspec
    assert options is not None
    assert options.wants("inverter", "W", "int16")
    assert not options.wants("meter", "W", "int16")
    assert options.wants("meter", "Hz", "int16")
    assert {tag.name for tag in expected(options)} == {
        "inverter.W",
        "inverter.Hz",
        "inverter.DCW",
        "meter.Hz",
    }


@pytest.mark.parametrize("number", sorted(index()))
def test_each_definition_is_sound(number: int) -> None:
    text = json.loads((FOLDER / f"{number}.json").read_text("utf-8"))
    assert "sunspec/models at 7abdf89" in text["source"]
    assert "Apache-2.0" in text["source"]
    definition = load(number)
    assert (definition.id, definition.family) == (number, index()[number].family)
    assert [point.name for point in definition.group.points[:2]] == ["ID", "L"]
    if number in PUBLISHED_LENGTHS:
        assert definition.group.size - 2 == PUBLISHED_LENGTHS[number]
    _sound(definition.group, set())


def _sound(group: PointGroup, around: set[str]) -> None:
    names = {point.name for point in group.points}
    assert len(names) == len(group.points)
    for point in group.points:
        form = form_of(point)
        assert point.type == "pad" or point.size == form.count
        assert not point.scale or isinstance(point.scale, int) or point.scale in names | around
        Series(f"d/family2.group99.{point.name}", point.unit, form.kind, form.decimals)
        assert len(point.unit) <= 16
    for each in group.groups:
        assert not isinstance(each.count, str) or each.count in names | around
        _sound(each, names | around)
