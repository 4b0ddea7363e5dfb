"""The binary form of a batch, bridge to hub: frames of one shape become columns under one header.

Little-endian. `HGB`, version u8, run_id u64, seq u64, oldest_seq u64, dictionary 16 B, utc_offset_ms i64,
clock u8, dropped u64, bridge and machine_boot_id as u8 length + UTF-8, groups u16; then per group:
series u16, frames u16, the series indexes as u32, the times as a column, u8 quality flag (0: all good; 1: a
byte per sample follows, frame by frame), and a column per series.

A column is a tag and its values: `b h i q Q d` as in `struct`, `t` texts (u16 length + UTF-8 each), `j` a u32
length and JSON for what no other tag holds exactly. Tag + 0x80: a bitmap of the present values comes first.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Quality, Value

MAGIC = b"HGB"
VERSION = 1
LIMIT_BYTES = 7_000
"""Largest batch: nucleus lite drops the connection above 7,302 B; the rest is the local bus's framing."""

_HEADER = struct.Struct("<3sBQQQ16sqBQ")
_OLDEST_SEQ_AT = struct.calcsize("<3sBQQ")
_GROUP = struct.Struct("<HH")
_INTEGERS = (("b", 1 << 7), ("h", 1 << 15), ("i", 1 << 31), ("q", 1 << 63))
_WIDTH = {"b": 1, "h": 2, "i": 4, "q": 8, "Q": 8, "d": 8}
_WITH_GAPS = 0x80
_QUALITIES = frozenset(int(code) for code in Quality)


def encode(batch: Batch, limit_bytes: int = LIMIT_BYTES) -> list[bytes]:
    """Encode a batch as one or more wires of at most `limit_bytes`, with consecutive seqs from `batch.seq`.

    `dropped` travels in the first only. Frames of one shape keep their order; those of different shapes
    are told apart by their time. Raises Reject when a single value is larger than the limit.
    """
    wires: list[bytes] = []
    for frames in _parts(batch, batch.frames, limit_bytes):
        part = replace(
            batch, seq=batch.seq + len(wires), frames=frames, dropped=0 if wires else batch.dropped
        )
        wires.append(_encode_one(part))
    return wires


def decode(wire: bytes) -> Batch:
    """Decode one wire. Raises Reject, naming the place, for anything that `encode` does not write."""
    reader = _Reader(wire)
    magic, version, run_id, seq, oldest_seq, dictionary, offset_ms, clock, dropped = reader.unpack(_HEADER)
    if magic != MAGIC:
        raise Reject(f"not a batch: starts with {bytes(wire[:4])!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise Reject(
            f"batch of version {version}; this hub reads version {VERSION}: update headgate.Hub first"
        )
    if clock >= len(ClockState):
        raise Reject(f"batch: unknown clock state {clock}")
    bridge, boot_id = reader.short_text(), reader.short_text()
    frames: list[Frame] = []
    for _ in range(reader.u16()):
        frames.extend(_read_group(reader))
    reader.expect_end()
    frames.sort(key=lambda frame: frame.boot_ms)
    return Batch(
        bridge=bridge,
        run_id=run_id,
        seq=seq,
        oldest_seq=oldest_seq,
        dictionary=dictionary,
        machine_boot_id=boot_id,
        utc_offset_ms=offset_ms,
        clock=ClockState(clock),
        dropped=dropped,
        frames=frames,
    )


@dataclass(frozen=True, slots=True)
class WireKey:
    """What a bridge must know of an encoded batch to hand it over."""

    run_id: int
    seq: int
    dictionary: bytes


def wire_key(wire: bytes) -> WireKey:
    """Read a wire's key without decoding it. Raises Reject for what is no batch of this version."""
    if len(wire) < _HEADER.size:
        raise Reject(f"batch cut short: {len(wire)} B, the header has {_HEADER.size}")
    magic, version, run_id, seq, _, dictionary, *_ = _HEADER.unpack_from(wire)
    if (magic, version) != (MAGIC, VERSION):
        raise Reject(f"not a batch of version {VERSION}: starts with {wire[:4]!r}")
    return WireKey(run_id, seq, dictionary)


def with_oldest_seq(wire: bytes, oldest_seq: int) -> bytes:
    """The same batch as it is sent now: what the bridge holds changes, the rest never does."""
    end = _OLDEST_SEQ_AT + 8
    return wire[:_OLDEST_SEQ_AT] + oldest_seq.to_bytes(8, "little") + wire[end:]


def _parts(batch: Batch, frames: Sequence[Frame], limit_bytes: int) -> Iterable[Sequence[Frame]]:
    size_bytes = len(_encode_one(replace(batch, frames=frames)))
    if size_bytes <= limit_bytes:
        yield frames
        return
    if len(frames) == 1:
        if len(frames[0].series) <= 1:
            raise Reject(
                f"a single value needs {size_bytes} B, the limit is {limit_bytes} B: shorten the text"
            )
        frames = _halves(frames[0])
    # One more part than the size alone asks for: each repeats the header and its columns' tags.
    count = min(len(frames), size_bytes // limit_bytes + 2)
    step = math.ceil(len(frames) / count)
    for start in range(0, len(frames), step):
        yield from _parts(batch, frames[start : start + step], limit_bytes)


def _halves(frame: Frame) -> tuple[Frame, Frame]:
    middle = len(frame.series) // 2

    def cut(part: slice) -> Frame:
        return Frame(frame.boot_ms, frame.series[part], frame.values[part], frame.quality[part])

    return cut(slice(0, middle)), cut(slice(middle, None))


def _encode_one(batch: Batch) -> bytes:
    out = bytearray(
        _HEADER.pack(
            MAGIC,
            VERSION,
            batch.run_id,
            batch.seq,
            batch.oldest_seq,
            batch.dictionary,
            batch.utc_offset_ms,
            batch.clock,
            batch.dropped,
        )
    )
    out += _short_text(batch.bridge) + _short_text(batch.machine_boot_id)
    shapes: dict[tuple[int, ...], list[Frame]] = {}
    for frame in batch.frames:
        shapes.setdefault(tuple(frame.series), []).append(frame)
    out += struct.pack("<H", len(shapes))
    for shape, frames in shapes.items():
        _write_group(out, shape, frames)
    return bytes(out)


def _write_group(out: bytearray, shape: tuple[int, ...], frames: Sequence[Frame]) -> None:
    out += _GROUP.pack(len(shape), len(frames))
    out += struct.pack(f"<{len(shape)}I", *shape)
    times = [frame.boot_ms for frame in frames]
    _write_column(out, [times[0], *(b - a for a, b in itertools.pairwise(times))])
    if any(any(frame.quality) for frame in frames):
        out.append(1)
        for frame in frames:
            out += bytes(frame.quality) if frame.quality else bytes(len(shape))
    else:
        out.append(0)
    for column in zip(*(frame.values for frame in frames), strict=True):
        _write_column(out, column)


def _write_column(out: bytearray, column: Sequence[Value]) -> None:
    present = [value for value in column if value is not None]
    gaps = len(present) < len(column)
    tag, data = _pack(present)
    out.append(ord(tag) | (_WITH_GAPS if gaps else 0))
    if gaps:
        bitmap = sum(1 << i for i, value in enumerate(column) if value is not None)
        out += bitmap.to_bytes((len(column) + 7) // 8, "little")
    out += data


def _pack(values: Sequence[float | int | str]) -> tuple[str, bytes]:
    types = {type(value) for value in values}
    if types <= {int, bool}:
        low, high = (min(values, default=0), max(values, default=0))
        for code, edge in _INTEGERS:
            if -edge <= low and high < edge:  # type: ignore[operator]  # all are int here
                return code, struct.pack(f"<{len(values)}{code}", *values)
        if low >= 0 and high < 1 << 64:  # type: ignore[operator]
            return "Q", struct.pack(f"<{len(values)}Q", *values)
    elif types == {float}:
        return "d", struct.pack(f"<{len(values)}d", *values)
    elif types == {str}:
        texts = [text.encode() for text in values]  # type: ignore[union-attr]  # all are str here
        if all(len(text) < 1 << 16 for text in texts):
            return "t", b"".join(struct.pack("<H", len(text)) + text for text in texts)
    data = json.dumps(list(values), separators=(",", ":")).encode()
    return "j", struct.pack("<I", len(data)) + data


def _read_group(reader: _Reader) -> list[Frame]:
    series_count, frame_count = reader.unpack(_GROUP)
    if not series_count or not frame_count:
        raise Reject(f"batch: empty group at byte {reader.at}")
    shape = reader.many("I", series_count)
    times: list[int] = []
    for step in _read_column(reader, frame_count):
        if not isinstance(step, int):
            raise Reject(f"batch: a time that is not an integer before byte {reader.at}")
        times.append(step + (times[-1] if times else 0))
    flat = b""
    flag = reader.u8()
    if flag == 1:
        flat = reader.take(series_count * frame_count)
        if unknown := set(flat) - _QUALITIES:
            raise Reject(f"batch: unknown quality code {min(unknown)} before byte {reader.at}")
    elif flag:
        raise Reject(f"batch: unknown quality flag {flag} before byte {reader.at}")
    rows = zip(*[_read_column(reader, frame_count) for _ in range(series_count)], strict=True)
    return [
        Frame(t, shape, row, tuple(flat[i * series_count : (i + 1) * series_count]))
        for i, (t, row) in enumerate(zip(times, rows, strict=True))
    ]


def _read_column(reader: _Reader, count: int) -> Sequence[Value]:
    tag = reader.u8()
    if not tag & _WITH_GAPS:
        return _unpack(reader, chr(tag), count)
    bitmap = int.from_bytes(reader.take((count + 7) // 8), "little")
    here = [bool(bitmap >> i & 1) for i in range(count)]
    values = iter(_unpack(reader, chr(tag & ~_WITH_GAPS), sum(here)))
    return [next(values) if there else None for there in here]


def _unpack(reader: _Reader, tag: str, count: int) -> Sequence[Value]:
    if tag in _WIDTH:
        return reader.many(tag, count)
    if tag == "t":
        return [reader.text(reader.u16()) for _ in range(count)]
    if tag != "j":
        raise Reject(f"batch: unknown column tag {tag!r} before byte {reader.at}")
    try:
        values = json.loads(reader.text(reader.u32()))
    except (ValueError, RecursionError) as error:
        raise Reject(f"batch: column before byte {reader.at} is no JSON: {error}") from error
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(v, int | float | str) for v in values)
    ):
        raise Reject(f"batch: column before byte {reader.at} is not a list of {count} values")
    return values


class _Reader:
    """Takes bytes from the front and says where it stood when there were too few."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._wire):
            raise Reject(f"batch cut short: {count} B expected at byte {self.at}, {len(self._wire)} B in all")
        taken = self._wire[self.at : end]
        self.at = end
        return taken

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self.take(form.size))

    def many(self, code: str, count: int) -> tuple[Any, ...]:
        return self.unpack(struct.Struct(f"<{count}{code}"))

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def text(self, size_bytes: int) -> str:
        try:
            return self.take(size_bytes).decode()
        except UnicodeDecodeError as error:
            raise Reject(f"batch: text before byte {self.at} is not UTF-8") from error

    def short_text(self) -> str:
        return self.text(self.u8())

    def expect_end(self) -> None:
        if self.at != len(self._wire):
            raise Reject(f"batch: {len(self._wire) - self.at} B too many after byte {self.at}")


def _short_text(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise Reject(f"batch: {text[:40]!r}... is longer than 255 B")
    return bytes([len(data)]) + data
