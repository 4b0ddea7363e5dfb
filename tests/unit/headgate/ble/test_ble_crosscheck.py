"""Our decoders of BTHome and RuuviTag beside those of bthome-ble and ruuvitag-ble, on random packets.

Run where requirements/crosscheck.txt is installed: `./dev test --slow ble` makes such a place.
"""

from __future__ import annotations

import math
import random
from typing import Any

import bthome_ble
import pytest
import ruuvitag_ble

from gateway_sim.ble import bthome as sensor
from headgate.ble.decoders import bthome, bthome1, ruuvi3, ruuvi5
from headgate.ble.decoders.brands import ServiceInfo
from headgate.ble.decoders.bthome_objects import BASE, NUMBERS, QUANTITIES
from headgate.ble.decoders.quantity import Advert, Packet

ADDRESS = "A4:C1:38:AA:BB:CC"
ROUNDS = 50
ROUNDED = 0x58
"""A temperature in steps of 0.35 °C, which they round to a decimal."""
COMPARED = sorted(n for n, each in NUMBERS.items() if each.tag not in ("packet_id", "device_type"))
"""The objects of which they tell a value."""
MILLI = {0x40, 0x48}
"""Distances in mm and volumes in mL are m and L here."""


def theirs(parser: Any, advert: Advert) -> dict[str, Any]:
    info = ServiceInfo(
        "x", ADDRESS, -60, advert.manufacturer_data, advert.service_data, advert.boot_ms / 1000
    )
    update = parser.update(info)
    found = {key.key: each.native_value for key, each in update.entity_values.items()}
    found |= {f"is_{key.key}": each.native_value for key, each in update.binary_entity_values.items()}
    found.pop("signal_strength", None)
    return found


def ours(packet: Packet) -> list[Any]:
    return [QUANTITIES[tag].value(raw) for tag, raw in packet.raw.items()]


def same(value: Any, other: Any, step: float = 1e-9) -> bool:
    if hasattr(other, "timestamp"):
        other = other.timestamp()
    return math.isclose(value, other, rel_tol=1e-9, abs_tol=step)


@pytest.mark.parametrize("number", COMPARED, ids=hex)
def test_each_object_means_the_same(number: int, seed: int) -> None:
    chance = random.Random(f"{seed} {number}")
    known = NUMBERS[number]
    boolean = BASE[known.tag].form == "bool"
    for _ in range(ROUNDS):
        content = bytes([chance.randrange(2)]) if boolean else chance.randbytes(known.size_bytes)
        form = known.signed << 5 | 1 + known.size_bytes
        for service, data, decode in (
            (bthome.SERVICE, b"\x40" + bytes([number]) + content, bthome.decode),
            (bthome1.PLAIN, bytes([form, number]) + content, bthome1.decode_objects),
        ):
            other = theirs(bthome_ble.BTHomeBluetoothDeviceData(), Advert(ADDRESS, 0, 0, {service: data}))
            (value,), (told,) = ours(decode(data)), other.values()
            scale = 1000 if number in MILLI else 1
            assert same(value * scale, told, 0.0501 if number == ROUNDED else 1e-9)


def test_packets_of_many_objects_mean_the_same(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(500):
        chosen = {NUMBERS[n].tag: n for n in chance.sample(COMPARED, 6) if n != ROUNDED}
        content = {n: chance.randbytes(NUMBERS[n].size_bytes) for n in sorted(chosen.values())}
        data = b"\x40" + b"".join(bytes([n]) + each for n, each in content.items())
        other = theirs(bthome_ble.BTHomeBluetoothDeviceData(), Advert(ADDRESS, 0, 0, {bthome.SERVICE: data}))
        values = ours(bthome.decode(data))
        assert len(values) == len(chosen)
        # Two of ours may be one to them: mass in kg and in lb, acceleration with and without a sign.
        assert len(chosen) - 2 <= len(other) <= len(chosen)
        for told in other.values():
            assert any(same(value, told) or same(value * 1000, told) for value in values)


def test_sealed_packets_open_the_same(seed: int) -> None:
    chance = random.Random(seed)
    for counter in range(1, 200):
        key = chance.randbytes(16)
        raws = {"temperature": chance.randint(-4000, 8000), "humidity": chance.randrange(10_001)}
        mac = bytes.fromhex(ADDRESS.replace(":", ""))
        data = sensor.encrypted_service_data(raws, key=key, address=mac, counter=counter)
        advert = Advert(ADDRESS, 0, 0, {bthome.SERVICE: data})
        packet = bthome.make_decode(ADDRESS, key)(advert)
        other = theirs(bthome_ble.BTHomeBluetoothDeviceData(bindkey=key), advert)
        assert packet is not None
        assert packet.counter == counter
        assert packet.raw == raws
        assert other == {"temperature": raws["temperature"] / 100, "humidity": raws["humidity"] / 100}


@pytest.mark.parametrize(("format_", "size"), [(5, 24), (3, 14)])
def test_ruuvi_packets_mean_the_same(format_: int, size: int, seed: int) -> None:
    chance = random.Random(f"{seed} {format_}")
    module = ruuvi5 if format_ == 5 else ruuvi3
    for _ in range(2_000):
        data = bytes([format_]) + chance.randbytes(size - 1)
        other = theirs(
            ruuvitag_ble.RuuvitagBluetoothDeviceData(), Advert(ADDRESS, 0, 0, {}, {module.COMPANY: data})
        )
        values = {tag: module.QUANTITIES[tag].value(raw) for tag, raw in module.decode(data).raw.items()}
        assert close(values["temperature"], other["temperature"])
        if format_ == 5 or data[1] <= 200:
            assert close(values["humidity"], other["humidity"])
        pressure = values["pressure"]
        assert close(None if pressure is None else float(pressure) / 100, other["pressure"])
        voltage = values["battery_voltage"]
        assert close(None if voltage is None else round(float(voltage) * 1000), other["voltage"])


def close(value: Any, other: Any) -> bool:
    """They round to two decimals."""
    return value is other is None or (
        value is not None and other is not None and abs(value - other) <= 0.00501
    )
