"""Eddystone TLM, a beacon's telemetry in service data 0xFEAA (github.com/google/eddystone, eddystone-tlm)."""

from __future__ import annotations

import struct

from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Advert,
    Decode,
    Packet,
    Profile,
    Quantity,
    by_tag,
    celsius,
)
from headgate.errors import Reject

SERVICE = BASE_UUID.format(0xFEAA)
FRAME, PLAIN = 0x20, 0x00
"""The first two bytes: the frame's type, and its version. Version 1 is encrypted by the beacon's owner."""
_LAYOUT = struct.Struct(">BBHhII")
_NO_TEMPERATURE, _NO_BATTERY = -0x8000, 0
_FIXED_POINT = 390_625
"""1/256 as 8 decimals: a signed 8.8 fixed point number times this is exact."""

QUANTITIES = by_tag(
    celsius("temperature", 8),
    Quantity("battery_voltage", "V", 3),
    Quantity("advertisement_count", "1"),
    Quantity("uptime", "s", 1),
)


def decode(data: bytes) -> Packet:
    """Read the service data, 14 B of an unencrypted TLM frame. Raises Reject for anything else."""
    if len(data) != _LAYOUT.size or data[0] != FRAME or data[1] != PLAIN:
        raise Reject(f"Eddystone: {len(data)} B {data[:2].hex()}.. are not {_LAYOUT.size} B of plain TLM")
    _, _, battery, temperature, count, tenths = _LAYOUT.unpack(data)
    return Packet.of(
        {
            "temperature": None if temperature == _NO_TEMPERATURE else temperature * _FIXED_POINT,
            "battery_voltage": None if battery == _NO_BATTERY else battery,
            "advertisement_count": count,
            "uptime": tenths,
        },
        count,
    )


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`; the format has no key. Other frames (UID, URL, EID) are left alone."""

    def decode_advert(advert: Advert) -> Packet | None:
        data = advert.service_data.get(SERVICE)
        return decode(data) if data and data[0] == FRAME else None

    return decode_advert


PROFILE = Profile("eddystone_tlm", QUANTITIES, ("temperature", "battery_voltage", "uptime"), make_decode)
