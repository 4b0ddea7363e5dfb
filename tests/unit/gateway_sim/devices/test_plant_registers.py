"""Values become registers, and groups become ranges, exactly as plant.json says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_sim.devices import plantfile
from gateway_sim.devices.layout import SCALES, Size, plant_room, uniform
from gateway_sim.devices.maps import MAX_REGISTERS, meter_fast
from gateway_sim.devices.plantfile import WIDTH, Device, Plant, PlantError, RegisterType, Tag
from gateway_sim.devices.registers import encode
from gateway_sim.devices.site import site_document


@pytest.mark.parametrize(
    ("kind", "decimals", "value", "registers"),
    [
        ("uint16", 1, 230.14, [2301]),
        ("int16", 3, -0.94, [0x10000 - 940]),
        ("uint32", 0, 70_000, [1, 4464]),
        ("int32", 1, -0.1, [0xFFFF, 0xFFFF]),
        ("float32", None, 1.5, [0x3FC0, 0]),
        ("uint16", 0, -1, [0]),
        ("int16", 0, 40_000, [0x7FFF]),
    ],
)
def test_encode(kind: RegisterType, decimals: int | None, value: float, registers: list[int]) -> None:
    assert encode([Tag("x", 0, kind, decimals, "1")], [value]) == registers


def as_plant(seed: int = 1) -> Plant:
    devices = (
        Device(layout.name, "tcp", layout.unit, tuple(b.group for b in layout.blocks), "127.0.0.1", 502)
        for layout in plant_room(seed)
    )
    return Plant(seed, 0, tuple(devices))


def test_groups_are_contiguous_and_start_with_their_counter() -> None:
    for device in as_plant().devices:
        names = list(device.series())
        assert len(names) == len(set(names))
        for group in device.groups:
            assert (group.counter is None) == (device.name == "room")
            if group.counter is not None:
                assert group.tags[0].name == group.counter
                assert group.tags[0].type == "uint32"
            end = group.address
            for tag in group.tags:
                assert tag.address == end
                end += WIDTH[tag.type]
            assert end - group.address == group.count <= MAX_REGISTERS


def test_the_plant_room_yields_two_thousand_values_a_second() -> None:
    assert as_plant().values_per_s() >= 2000
    kinds = {tag.type for device in as_plant().devices for group in device.groups for tag in group.tags}
    assert kinds == set(WIDTH)


def test_named_scales_yield_what_they_say() -> None:
    for name, rate in (("1k", 1_000), ("10k", 10_000), ("50k", 50_000)):
        size = SCALES[name]
        assert size is not None
        groups = [block.group for layout in uniform(1, size) for block in layout.blocks]
        assert sum(len(group.tags) / group.interval_s for group in groups) == pytest.approx(rate)


@pytest.mark.parametrize("size", [Size(0, 100, 1), Size(1, 500, 1), Size(1, 1, 1), Size(1, 100, 0)])
def test_impossible_sizes_are_refused(size: Size) -> None:
    with pytest.raises(PlantError):
        uniform(1, size)


def test_samples_are_as_many_as_tags_and_deterministic() -> None:
    block = meter_fast(3, "m", 1, 0.1)
    assert len(block.sample(12.5)) + 1 == len(block.group.tags)
    assert block.sample(12.5) == meter_fast(3, "m", 1, 0.1).sample(12.5)
    assert block.sample(12.5) != block.sample(12.6)


def test_plant_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    plantfile.write(as_plant(), tmp_path)
    assert plantfile.read(tmp_path) == as_plant()


def test_a_missing_or_foreign_plant_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlantError, match="is the plant running"):
        plantfile.read(tmp_path)
    (tmp_path / "plant.json").write_text('{"devices": 3}')
    with pytest.raises(PlantError, match=r"not a plant description"):
        plantfile.read(tmp_path)


def test_the_site_document_names_every_series() -> None:
    document = site_document(as_plant(), window_s=5)
    assert document["windows"] == {"length_s": 5}
    names = {
        f"{device['name']}/{tag['name']}"
        for device in document["modbus"]["devices"]
        for group in device["groups"]
        for tag in group["tags"]
    }
    assert names == {name for device in as_plant().devices for name in device.series()}
    tags = document["modbus"]["devices"][0]["groups"][0]["tags"]
    assert tags[1] == {
        "name": "voltage_l1",
        "table": "holding",
        "address": 2,
        "type": "uint16",
        "unit": "V",
        "decimals": 1,
    }
