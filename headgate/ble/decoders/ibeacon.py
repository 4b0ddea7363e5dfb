"""iBeacon: that a beacon is there, and which one it says it is (Apple, Proximity Beacon Specification R1)."""

from __future__ import annotations

import struct
import uuid

from headgate.ble.decoders.quantity import RSSI, Advert, Decode, Packet, Profile, Quantity, by_tag
from headgate.errors import Reject

COMPANY = 0x004C
"""Apple, Inc., Bluetooth SIG company identifiers."""
TYPE, LENGTH = 0x02, 0x15
"""The first two bytes: the type of Apple's data, and how many bytes follow."""
_LAYOUT = struct.Struct(">BB16sHHb")

QUANTITIES = by_tag(
    Quantity("present", form="bool"),
    Quantity("uuid", form="text"),
    Quantity("major"),
    Quantity("minor"),
    Quantity("measured_power", "dBm"),
)
"""`present` is true whenever the beacon was heard: that it left is said by the series becoming stale."""


def decode(data: bytes) -> Packet:
    """Read the manufacturer data, 23 B. Raises Reject for anything else."""
    if len(data) != _LAYOUT.size or data[0] != TYPE or data[1] != LENGTH:
        raise Reject(f"iBeacon: {len(data)} B {data[:2].hex()}.. are not {_LAYOUT.size} B of a beacon")
    _, _, proximity, major, minor, power = _LAYOUT.unpack(data)
    return Packet.of(
        {
            "present": 1,
            "uuid": str(uuid.UUID(bytes=proximity)),
            "major": major,
            "minor": minor,
            "measured_power": power,
        }
    )


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`; the format has no key. What else Apple's devices send is left alone."""

    def decode_advert(advert: Advert) -> Packet | None:
        data = advert.manufacturer_data.get(COMPANY)
        return decode(data) if data and data[0] == TYPE else None

    return decode_advert


PROFILE = Profile("ibeacon", QUANTITIES, ("present", RSSI.tag), make_decode)
