"""Values to 16-bit registers, high word first."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from gateway_sim.devices.plantfile import RegisterType, Tag

RANGE: dict[RegisterType, tuple[int, int]] = {
    "uint16": (0, 0xFFFF),
    "int16": (-0x8000, 0x7FFF),
    "uint32": (0, 0xFFFF_FFFF),
    "int32": (-0x8000_0000, 0x7FFF_FFFF),
}


def encode(tags: Sequence[Tag], values: Sequence[float]) -> list[int]:
    """The registers of `values` (engineering units, parallel to `tags`).

    An integer type holds round(value * 10^decimals); a value beyond it reads as its nearest limit,
    as in a real meter.
    """
    registers: list[int] = []
    for tag, value in zip(tags, values, strict=True):
        if tag.type == "float32":
            registers += struct.unpack(">HH", struct.pack(">f", value))
            continue
        low, high = RANGE[tag.type]
        raw = min(max(round(value * 10 ** (tag.decimals or 0)), low), high)
        if tag.type in {"uint32", "int32"}:
            registers.append(raw >> 16 & 0xFFFF)
        registers.append(raw & 0xFFFF)
    return registers
