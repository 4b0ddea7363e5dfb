"""Blocks of version 1, which earlier hubs wrote: read only.

`u8 version`, then zlib of: `u32 samples per column`, the times as a column, and per series its values as a
column and its quality (u8 0: all good; 1: a byte per sample). A column is a tag, a presence bitmap when the
tag has 0x80, and the values: `q` i64 differences from the value before (modulo 2^64), `Q` u64, `d` f64,
`?` bools (u8), `t` texts (u32 length + UTF-8).
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from headgate.errors import Reject
from headgate.model import Series, Value
from headgate.store.arrays import Line, line_of

VERSION = 1
_WITH_GAPS = 0x80


def decode(data: bytes, width: int, wanted: Mapping[int, Series]) -> list[Line]:
    """The series at the `wanted` places of a block of `width` series, by place. Raises Reject for damage."""
    found = []
    try:
        raw = zlib.decompress(data[1:])
        (count,) = struct.unpack_from("<I", raw)
        stamps, at = _read(raw, 4, count)
        times = np.array(stamps, np.int64)
        for place in range(width):
            column, at = _read(raw, at, count)
            flagged = raw[at]
            quality = np.frombuffer(raw, np.uint8, count, at + 1) if flagged else None
            at += 1 + count * flagged
            if place in wanted:
                found.append(line_of(wanted[place], times, column, quality))
    except (
        zlib.error,
        struct.error,
        IndexError,
        UnicodeDecodeError,
        ValueError,
        TypeError,
        OverflowError,
    ) as error:
        raise Reject(f"damaged block: {error}") from error
    return found


def _read(raw: bytes, at: int, count: int) -> tuple[Sequence[Value], int]:
    tag, at = raw[at], at + 1
    if not tag & _WITH_GAPS:
        return _unpack(raw, at, chr(tag), count)
    width = (count + 7) // 8
    bits = int.from_bytes(raw[at : at + width], "little")
    found, at = _unpack(raw, at + width, chr(tag & ~_WITH_GAPS), bits.bit_count())
    values = iter(found)
    return [next(values) if bits >> i & 1 else None for i in range(count)], at


def _unpack(raw: bytes, at: int, tag: str, count: int) -> tuple[Sequence[Value], int]:
    if tag == "q":
        steps = struct.unpack_from(f"<{count}q", raw, at)
        numbers = itertools.accumulate(steps, lambda a, b: (a + b + (1 << 63)) % (1 << 64) - (1 << 63))
        return list(numbers), at + 8 * count
    if tag in "Qd":
        return struct.unpack_from(f"<{count}{tag}", raw, at), at + 8 * count
    if tag == "?":
        return [byte == 1 for byte in raw[at : at + count]], at + count
    if tag != "t":
        raise Reject(f"damaged block: unknown column {tag!r}")
    texts: list[str] = []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", raw, at)
        texts.append(raw[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return texts, at
