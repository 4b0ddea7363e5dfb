"""The GATT Environmental Sensing Service as a peripheral serves it (Bluetooth ESS 1.0)."""

from __future__ import annotations

from collections.abc import Mapping

BASE_UUID = "0000{:04x}-0000-1000-8000-00805f9b34fb"
SERVICE = 0x181A
CHARACTERISTICS: Mapping[str, tuple[int, int, bool]] = {
    "temperature": (0x2A6E, 2, True),
    "humidity": (0x2A6F, 2, False),
    "pressure": (0x2A6D, 4, False),
}
"""By tag: the characteristic's assigned number, its size in bytes, signed; little-endian. The raws of
docs/wire.md are the characteristics' own: 0.01 °C, 0.01 %, 0.1 Pa."""


def uuid(number: int) -> str:
    """A 16-bit assigned number as the full UUID that D-Bus speaks."""
    return BASE_UUID.format(number)


def value(tag: str, raw: int) -> bytes:
    """The bytes that a read of the tag's characteristic answers."""
    _, size, signed = CHARACTERISTICS[tag]
    return raw.to_bytes(size, "little", signed=signed)
