"""What a dumped device answers to each request, and that a file with a fault is named."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway_sim.devices.dumped import Dumped
from gateway_sim.devices.fixture import Fixture, Refusal, read
from gateway_sim.devices.plantfile import PlantError
from tests.support.dumped_devices import IDENTITY, meter, saved, talkative

SCHEMA = json.loads((Path(__file__).resolve().parents[4] / "schemas" / "fixture.v1.json").read_text())


@pytest.fixture
def device(tmp_path: Path) -> Fixture:
    return read(saved(meter(5), tmp_path / "meter.yaml"))


def ask(address: int, count: int) -> bytes:
    return struct.pack(">HH", address, count)


def refused(device: Fixture, function: int, data: bytes) -> int:
    with pytest.raises(Refusal) as refusal:
        device.answer(function, data)
    return refusal.value.code


@pytest.mark.parametrize("document", [meter(), talkative()])
def test_the_fixtures_of_the_tests_are_valid(document: dict[str, Any]) -> None:
    jsonschema.validate(document, SCHEMA)


def test_what_is_there_is_read(device: Fixture) -> None:
    assert device.answer(3, ask(0, 3)) == bytes.fromhex("06 0007 0008 0009")
    assert device.answer(1, ask(0, 9)) == bytes((2, 0b00001101, 1))
    assert device.answer(4, ask(342, 2)) == bytes((4,)) + struct.pack(">f", 1234.5)


def test_what_is_not_is_refused_as_the_device_did(device: Fixture) -> None:
    assert refused(device, 3, ask(2, 2)) == 2
    assert refused(device, 4, ask(79, 2)) == 3
    assert refused(device, 4, ask(200, 1)) == 2
    assert refused(device, 2, ask(0, 1)) == 1
    assert refused(device, 3, ask(0, 126)) == 3


@pytest.mark.parametrize("function", [5, 6, 8, 15, 16, 22, 17, 43])
def test_what_it_does_not_know_is_refused(device: Fixture, function: int) -> None:
    assert refused(device, function, bytes((14, 1, 0, 0))) == 1


def test_it_says_what_it_is_as_far_as_there_is_room(tmp_path: Path) -> None:
    device = read(saved(talkative(), tmp_path / "t.yaml"))
    basic = device.answer(43, bytes((14, 1, 0)))
    assert basic[:6] == bytes((14, 1, 0x83, 0, 0, 3))
    objects: dict[int, bytes] = {}
    first: int | None = 0
    while first is not None:
        said = device.answer(43, bytes((14, 3, first)))
        assert len(said) <= 252
        at = 6
        for _ in range(said[5]):
            objects[said[at]] = said[at + 2 : at + 2 + said[at + 1]]
            at += 2 + said[at + 1]
        first = said[4] if said[3] == 0xFF else None
    assert objects == IDENTITY
    assert refused(device, 43, bytes((14, 9, 0))) == 3


@pytest.mark.parametrize(
    "text",
    ["schema: 2\n", "schema: 1\nunit: 1\n", "[]", "{", "schema: 1\nunit: x\nidentity: {}\ntables: {}\n"],
)
def test_a_file_with_a_fault_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(PlantError, match=r"f\.yaml is no fixture"):
        read(path)
    with pytest.raises(PlantError, match="cannot be read"):
        read(tmp_path / "none.yaml")


def test_two_devices_of_one_unit_are_refused(device: Fixture) -> None:
    with pytest.raises(PlantError, match="one unit id"):
        Dumped([device, device])
