"""Any advertisement and any characteristic's value is decoded into what its series can hold, or refused."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from headgate.ble.config import Device, parse_mapping
from headgate.ble.decoders.bthome_objects import NUMBERS
from headgate.ble.decoders.quantity import Advert
from headgate.ble.decoders.registry import PROFILES
from headgate.ble.samples import Framer, samples_of
from headgate.errors import Reject
from headgate.model import Quality, Series, Value
from tests.support.ble_golden import Case, cases

QUICK, SLOW = 20_000, 1_000_000
COMPANY = 0x0BCD
TYPES = (
    "uint8",
    "int16",
    "uint24",
    "int48",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
    "medfloat16",
)
CASES = list(cases())
KEYS = {case.profile: (case.address, case.key) for case in CASES if case.key}


def own_device() -> Device:
    values: list[dict[str, Any]] = [{"name": f"plain-{name}", "type": name} for name in TYPES]
    values += [{"name": f"scaled-{name}", "type": name, "scale": 0.5, "order": "big"} for name in TYPES]
    values += [
        {"name": "text", "type": "string"},
        {"name": "bit", "type": "bit", "bit": 7},
        {"name": "state", "type": "uint8", "mask": 0x0F, "values": {1: "on"}, "not_available": 0},
    ]
    own = {"name": "own", "company": COMPANY, "values": values}
    device = {"name": "d", "address": CASES[0].address, "profile": "own"}
    return parse_mapping({"formats": [own], "devices": [device]}).devices[0]


def devices() -> list[Device]:
    """One of each profile, and of those with a key a second one that has it."""
    found = [own_device()]
    for profile in PROFILES.values():
        if profile.package or profile.make_decode is None:
            continue
        tags = tuple(profile.quantities)
        address, key = KEYS.get(profile.name, (CASES[0].address, None))
        found.append(Device(profile.name, address, profile.name, tags, 1_000, 1.0))
        if key:
            found.append(Device(profile.name, address, profile.name, tags, 1_000, 1.0, key))
    return found


class Fuzz:
    """Decodes random advertisements; `told` counts the values, so that a suite can show that it had some."""

    def __init__(self, seed: object) -> None:
        self.told = 0
        self.refused = 0
        self._chance = random.Random(str(seed))
        self._devices: list[tuple[Device, Callable[..., Any], Framer, list[Series], list[Case]]] = []
        for device in devices():
            make_decode = device.format.make_decode
            assert make_decode is not None
            framer = Framer(device, range(len(device.tags)))
            series = [device.series(tag) for tag in device.tags]
            alike = [case for case in CASES if case.profile == device.profile]
            decode = make_decode(device.address, device.bind_key)
            self._devices.append((device, decode, framer, series, alike))

    def run(self, number: int) -> None:
        for _ in range(number):
            _, decode, framer, series, alike = self._chance.choice(self._devices)
            advert = self._advert(alike)
            try:
                packet = decode(advert)
            except Reject:
                self.refused += 1
                continue
            frame = None if packet is None else framer.frame(packet, advert.boot_ms, advert.rssi_dbm)
            if frame is None:
                continue
            quality = frame.quality or [0] * len(frame.series)
            for place, value, code in zip(frame.series, frame.values, quality, strict=True):
                assert holds(series[place], value), (series[place], value, advert)
                assert (value is None) == (code == Quality.BAD_VALUE)
                self.told += 1

    def _advert(self, alike: list[Case]) -> Advert:
        case = self._chance.choice(alike) if alike else None
        data = self._data(case)
        if case is None:
            return Advert(CASES[0].address, 0, 0, {}, {COMPANY: data})
        return case.advert(data)

    def _data(self, case: Case | None) -> bytes:
        chance = self._chance
        pick = chance.random()
        if case is None or pick < 0.2:
            return chance.randbytes(chance.randint(0, 40))
        if pick < 0.5 and case.profile == "bthome":
            return b"\x40" + b"".join(self._object() for _ in range(chance.randint(1, 8)))
        data = bytearray(case.data)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(3):
                case 0:
                    data[at : at + 1] = chance.randbytes(1)
                case 1:
                    del data[at : at + chance.randint(1, 4)]
                case _:
                    data[at:at] = chance.randbytes(chance.randint(1, 4))
        return bytes(data)

    def _object(self) -> bytes:
        number = self._chance.choice([*NUMBERS, 0x3A, 0x3B, 0x3C, 0x53, 0x54, 0xF1, 0xF2])
        size = NUMBERS[number].size_bytes if number in NUMBERS else self._chance.randint(0, 4)
        return bytes([number]) + self._chance.randbytes(size)


def holds(series: Series, value: Value) -> bool:
    """Whether a series can hold a value."""
    match series.kind:
        case _ if value is None:
            return True
        case "bool":
            return isinstance(value, bool)
        case "text":
            return isinstance(value, str)
        case "f64":
            return type(value) is float and math.isfinite(value)
        case "u64":
            return type(value) is int and 0 <= value < 1 << 64
        case _:
            return type(value) is int and -(1 << 63) <= value < 1 << 63


def test_some_random_advertisements() -> None:
    fuzz = Fuzz(1)
    fuzz.run(QUICK)
    assert fuzz.told > QUICK / 2
    assert fuzz.refused > QUICK / 10


@pytest.mark.slow("ble")
def test_a_million_random_advertisements(seed: int) -> None:
    fuzz = Fuzz(seed)
    fuzz.run(SLOW)
    assert fuzz.told > SLOW / 2


@pytest.mark.parametrize("characteristic", PROFILES["ess"].characteristics, ids=lambda each: each.uuid[4:8])
def test_random_values_of_characteristics(characteristic: Any, seed: int) -> None:
    chance = random.Random(f"{seed} {characteristic.uuid}")
    (quantity,) = characteristic.quantities
    series = Series(f"d/{quantity.tag}", quantity.unit, quantity.kind, quantity.series_decimals)
    for _ in range(500):
        (sample,) = samples_of(characteristic, chance.randbytes(chance.randint(0, 6)), 0).values()
        assert holds(series, sample.value)
        assert (sample.value is None) == (sample.quality == Quality.BAD_VALUE)
