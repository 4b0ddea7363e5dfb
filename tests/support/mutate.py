"""Breaks event-stream frames at random, mostly with good checksums, so that what lies behind is tested."""

from __future__ import annotations

import random
import struct
from zlib import crc32


def mutated(wire: bytes, chance: random.Random, most: int = 4) -> bytes:
    """The wire with at most `most` runs of bytes changed, removed, doubled or put in."""
    data = bytearray(wire)
    for _ in range(chance.randint(1, most)):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + chance.randint(1, 8)]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 8))
        if not data:
            data = bytearray(b"\0")
    if chance.random() < 0.6 and len(data) >= 16:
        data[0:4] = struct.pack(">I", len(data))
        data[8:12] = struct.pack(">I", crc32(data[:8]))
        data[-4:] = struct.pack(">I", crc32(data[:-4]))
    return bytes(data)
