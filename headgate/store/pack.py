"""The bytes of one block: columns over one shared time column, exact for every kind.

`u8 version`, then zlib of: `u32 samples per column`, the times as a column, and per series its values as a
column and its quality (u8 0: all good; 1: a byte per sample). A column is a tag, a presence bitmap when the
tag has 0x80, and the values: `q` i64 differences from the value before (modulo 2^64), `Q` u64, `d` f64,
`?` bools (u8), `t` texts (u32 length + UTF-8).
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence

from headgate.columns import Columns
from headgate.errors import Reject
from headgate.model import Series, Value

VERSION = 1
_WITH_GAPS = 0x80
_LEVEL = 6


def encode(columns: Columns) -> bytes:
    """One block; the series themselves are kept beside it."""
    out = bytearray(struct.pack("<I", len(columns.times_ms)))
    _write(out, columns.times_ms)
    for values, quality in zip(columns.values, columns.quality, strict=True):
        _write(out, values)
        out.append(0 if quality is None else 1)
        out += quality or b""
    return bytes([VERSION]) + zlib.compress(bytes(out), _LEVEL)


def decode(data: bytes, series: tuple[Series, ...]) -> Columns:
    """The block's columns. Raises Reject for a version or form that is not known here."""
    if data[:1] != bytes([VERSION]):
        raise Reject(f"block of version {data[:1].hex()}, this hub reads {VERSION}: update headgate.Hub")
    try:
        raw = zlib.decompress(data[1:])
        (count,) = struct.unpack_from("<I", raw)
        times, at = _read(raw, 4, count)
        values: list[Sequence[Value]] = []
        quality: list[bytes | None] = []
        for _ in series:
            column, at = _read(raw, at, count)
            values.append(column)
            flagged = raw[at]
            quality.append(raw[at + 1 : at + 1 + count] if flagged else None)
            at += 1 + count * flagged
    except (zlib.error, struct.error, IndexError, UnicodeDecodeError) as error:
        raise Reject(f"damaged block: {error}") from error
    return Columns(series, times, values, quality)  # type: ignore[arg-type]  # times are integers


def _write(out: bytearray, column: Sequence[Value]) -> None:
    present = [value for value in column if value is not None]
    gaps = len(present) < len(column)
    tag, data = _pack(present)
    out.append(ord(tag) | (_WITH_GAPS if gaps else 0))
    if gaps:
        bits = sum(1 << i for i, value in enumerate(column) if value is not None)
        out += bits.to_bytes((len(column) + 7) // 8, "little")
    out += data


def _pack(values: Sequence[float | int | str]) -> tuple[str, bytes]:
    types = set(map(type, values))
    if types == {float}:
        return "d", struct.pack(f"<{len(values)}d", *values)
    if types == {bool}:
        return "?", bytes(values)  # type: ignore[arg-type]  # all are bool here
    if types == {str}:
        texts = [str(text).encode() for text in values]
        return "t", b"".join(struct.pack("<I", len(text)) + text for text in texts)
    numbers = [int(value) for value in values]
    steps = numbers[:1] + [b - a for a, b in itertools.pairwise(numbers)]
    if all(-(1 << 63) <= step < 1 << 63 for step in steps):
        return "q", struct.pack(f"<{len(steps)}q", *steps)
    if min(numbers) >= 0:
        return "Q", struct.pack(f"<{len(numbers)}Q", *numbers)
    # Steps too wide for i64 between i64 values: modulo 2^64 they come out right again.
    return "q", struct.pack(f"<{len(steps)}q", *((s + (1 << 63)) % (1 << 64) - (1 << 63) for s in steps))


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
