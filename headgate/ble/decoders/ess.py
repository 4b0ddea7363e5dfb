"""The GATT Environmental Sensing service, 0x181A (Bluetooth SIG, GATT Specification Supplement)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from headgate.ble.decoders.quantity import BASE_UUID, Characteristic, Profile, Quantity
from headgate.errors import Reject

SERVICE = BASE_UUID.format(0x181A)


def _characteristic(uuid: int, quantity: Quantity, form: str, unknown: int | None = None) -> Characteristic:
    """`form` is its struct code, little-endian; `unknown` the raw value that says "value is not known"."""
    layout = struct.Struct(f"<{form}")
    return Characteristic(BASE_UUID.format(uuid), quantity, _decoder(quantity, layout, unknown))


def _decoder(quantity: Quantity, layout: struct.Struct, unknown: int | None) -> Callable[[bytes], int | None]:
    def decode(data: bytes) -> int | None:
        if len(data) != layout.size:
            raise Reject(f"{quantity.tag}: {len(data)} B {data[:8].hex()}, expected {layout.size} B")
        raw: int = layout.unpack(data)[0]
        return None if raw == unknown else raw

    return decode


CHARACTERISTICS = (
    _characteristic(0x2A6E, Quantity("temperature", "°C", 2), "h", -0x8000),
    _characteristic(0x2A6F, Quantity("humidity", "%", 2), "H", 0xFFFF),
    _characteristic(0x2A6D, Quantity("pressure", "Pa", 1), "I"),
)

PROFILE = Profile(
    "ess",
    {each.quantity.tag: each.quantity for each in CHARACTERISTICS},
    tuple(each.quantity.tag for each in CHARACTERISTICS),
    characteristics=CHARACTERISTICS,
)
