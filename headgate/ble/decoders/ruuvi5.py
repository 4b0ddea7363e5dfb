"""RuuviTag data format 5, "RAWv2" (docs.ruuvi.com/communication/bluetooth-advertisements)."""

from __future__ import annotations

import struct

from headgate.ble.decoders.quantity import Advert, Decode, Packet, Profile, Quantity, by_tag
from headgate.errors import Reject

COMPANY = 0x0499
"""Ruuvi Innovations Ltd., Bluetooth SIG company identifiers."""
FORMAT = 5
SEQUENCE = "measurement_sequence"
_LAYOUT = struct.Struct(">BhHHhhhHBH6s")
_NONE_SIGNED, _NONE_8, _NONE_16 = -0x8000, 0xFF, 0xFFFF
_NONE_VOLTAGE, _NONE_POWER = 0x7FF, 0x1F

QUANTITIES = by_tag(
    Quantity(SEQUENCE, "1"),
    Quantity("temperature", "°C", 3),
    Quantity("humidity", "%", 4),
    Quantity("pressure", "Pa"),
    Quantity("acceleration_x", "mG"),
    Quantity("acceleration_y", "mG"),
    Quantity("acceleration_z", "mG"),
    Quantity("battery_voltage", "V", 3),
    Quantity("tx_power", "dBm"),
    Quantity("movement_counter", "1"),
)


def decode(data: bytes) -> Packet:
    """Read the manufacturer data, 24 B from the format byte on. Raises Reject for anything else.

    Not available is the largest number of an unsigned field and the smallest of a signed one.
    """
    if len(data) != _LAYOUT.size or data[0] != FORMAT:
        raise Reject(f"RuuviTag: {len(data)} B {data[:4].hex()}.. are not {_LAYOUT.size} B of data format 5")
    _, temperature, humidity, pressure, x, y, z, power, movements, sequence, _ = _LAYOUT.unpack(data)
    voltage, tx_power = power >> 5, power & _NONE_POWER
    number = _number(sequence, _NONE_16)
    return Packet(
        {
            SEQUENCE: number,
            "temperature": _number(temperature, _NONE_SIGNED, 5),  # steps of 0.005 °C
            "humidity": _number(humidity, _NONE_16, 25),  # steps of 0.0025 %
            "pressure": _number(pressure, _NONE_16, 1, 50_000),
            "acceleration_x": _number(x, _NONE_SIGNED),
            "acceleration_y": _number(y, _NONE_SIGNED),
            "acceleration_z": _number(z, _NONE_SIGNED),
            "battery_voltage": _number(voltage, _NONE_VOLTAGE, 1, 1_600),
            "tx_power": _number(tx_power, _NONE_POWER, 2, -40),
            "movement_counter": _number(movements, _NONE_8),
        },
        id=number,
    )


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`; the format has no key. Other Ruuvi formats are left alone."""

    def decode_advert(advert: Advert) -> Packet | None:
        data = advert.manufacturer_data.get(COMPANY)
        return decode(data) if data and data[0] == FORMAT else None

    return decode_advert


def _number(raw: int, none: int, factor: int = 1, offset: int = 0) -> int | None:
    return None if raw == none else raw * factor + offset


PROFILE = Profile("ruuvi5", QUANTITIES, tuple(QUANTITIES), make_decode, count_tag=SEQUENCE)
