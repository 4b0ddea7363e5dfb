"""The binary form of a batch, bridge to hub: frames of one shape become rows under one header.

Little-endian. `HGB`, version u8, run_id u64, seq u64, oldest_seq u64, dictionary 16 B, utc_offset_ms i64,
clock u8, dropped u64, bridge and machine_boot_id as u8 length + UTF-8, groups u16; then per group:
runs of consecutive series indexes (u16 runs; first u32 and count u16 each), frames u16, the first time i64
and the differences between times (tag `H`, `I` or `q` and so many), quality (u8: 0 all good; 1 a byte per
sample follows, frame by frame; 2 one byte for all), and the rows (`headgate/rows.py`).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Quality
from headgate.rows import MAX_LAYOUTS, Layout, Layouts, Reader, Types, read_rows

MAGIC = b"HGB"
VERSION = 2
LIMIT_BYTES = 7_000
"""Largest batch: nucleus lite drops the connection above 7,302 B; the rest is the local bus's framing."""

_HEADER = struct.Struct("<3sBQQQ16sqBQ")
_OLDEST_SEQ_AT = struct.calcsize("<3sBQQ")
_RUN = struct.Struct("<IH")
_LONE, _LONE_TAG = struct.Struct("<HqcB"), b"H"
"""The head of a group of one frame whose values are all good: no times but its own."""
_STEPS = (("H", 1 << 16), ("I", 1 << 32))
_FIRST_TIME = struct.Struct("<qc")
_TIME_BYTES = {b"H": 2, b"I": 4, b"q": 8}
_QUALITIES = frozenset(int(code) for code in Quality)


class Encoder:
    """Encodes a bridge's batches one after the other, and remembers how the rows of each shape look."""

    def __init__(self) -> None:
        self._layouts = Layouts()
        self._shapes: dict[tuple[int, ...], _Shape] = {}
        self._met: dict[int, _Shape] = {}

    def encode(self, batch: Batch, limit_bytes: int = LIMIT_BYTES) -> list[bytes]:
        """See `encode`."""
        wires: list[bytes] = []
        for wire in self._parts(batch, batch.frames, limit_bytes):
            # A later part tells of nothing dropped, and has a seq of its own; both lie in the header.
            later = replace(batch, seq=batch.seq + len(wires), dropped=0)
            wires.append(_header(later) + wire[_HEADER.size :] if wires else wire)
        return wires

    def _parts(self, batch: Batch, frames: Sequence[Frame], limit_bytes: int) -> Iterator[bytes]:
        wire = self._encode_one(batch, frames)
        if len(wire) <= limit_bytes:
            yield wire
            return
        if len(frames) == 1:
            if len(frames[0].series) <= 1:
                raise Reject(
                    f"a single value needs {len(wire)} B, the limit is {limit_bytes} B: shorten the text"
                )
            frames = _halves(frames[0])
        # One more part than the size alone asks for: each repeats the header and its layouts.
        count = min(len(frames), len(wire) // limit_bytes + 2)
        step = math.ceil(len(frames) / count)
        for start in range(0, len(frames), step):
            yield from self._parts(batch, frames[start : start + step], limit_bytes)

    def _encode_one(self, batch: Batch, frames: Sequence[Frame]) -> bytes:
        shapes: dict[_Shape, list[Frame]] = {}
        met = self._met
        for frame in frames:
            series = frame.series
            shape = met.get(id(series))
            if shape is None or shape.series is not series:
                shape = self._shape(series)
            members = shapes.get(shape)
            if members is None:
                shapes[shape] = [frame]
            else:
                members.append(frame)
        body, groups = bytearray(), 0
        for shape, members in shapes.items():
            lone = shape.lone(members[0]) if len(members) == 1 else b""
            if lone:
                body += lone
                groups += 1
            else:
                groups += self._write(body, shape, members)
        head = _header(batch) + _short_text(batch.bridge) + _short_text(batch.machine_boot_id)
        return head + struct.pack("<H", groups) + body

    def _write(self, out: bytearray, shape: _Shape, frames: Sequence[Frame]) -> int:
        """Append the groups of the frames of one shape, and return how many: one for each kind of rows."""
        groups: dict[Types, list[Frame]] = {}
        for frame in frames:
            groups.setdefault(tuple(map(type, frame.values)), []).append(frame)
        for types, members in groups.items():
            _write_head(out, shape.runs, len(shape.series), members)
            layout = self._layouts.write(out, shape, types, [frame.values for frame in members])
            shape.types, shape.layout = types, layout if layout.plain else None
        return len(groups)

    def _shape(self, series: Sequence[int]) -> _Shape:
        """What is known of a shape, by its content; next time by the very object, if that never changes."""
        key = tuple(series)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= MAX_LAYOUTS:
                self._shapes.clear()
                self._met.clear()
            runs = list(_consecutive(key))
            data = struct.pack("<H", len(runs)) + b"".join(_RUN.pack(*run) for run in runs)
            shape = self._shapes[key] = _Shape(key, data)
            self._met[id(key)] = shape
        return shape


@dataclass(slots=True, eq=False)
class _Shape:
    """The series of some frames, and their runs as written. There is one object for each, compared as such:

    hashing the content would touch every index of every frame. `layout`: the last row's, whose values were
    of `types`.
    """

    series: tuple[int, ...]
    runs: bytes
    types: Types = ()
    layout: Layout | None = None

    def lone(self, frame: Frame) -> bytes:
        """The group of a frame alone, as nearly all are of what advertises; empty where the last layout,
        without a look at the values, does not do.
        """
        layout, values = self.layout, frame.values
        if layout is None or frame.quality or tuple(map(type, values)) != self.types:
            return b""
        try:
            row = layout.row.pack(*values)
        except struct.error:  # an integer that is wider than any before
            return b""
        return self.runs + _LONE.pack(1, frame.boot_ms, _LONE_TAG, 0) + layout.head + row


def encode(batch: Batch, limit_bytes: int = LIMIT_BYTES) -> list[bytes]:
    """Encode a batch as one or more wires of at most `limit_bytes`, with consecutive seqs from `batch.seq`.

    `dropped` travels in the first only. Frames of one shape and the same kinds of values keep their order;
    others are told apart by their time. Raises Reject when a single value is larger than the limit.
    """
    return Encoder().encode(batch, limit_bytes)


def decode(wire: bytes) -> Batch:
    """Decode one wire. Raises Reject, naming the place, for anything that `encode` does not write."""
    reader = Reader(wire)
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


def _halves(frame: Frame) -> tuple[Frame, Frame]:
    middle = len(frame.series) // 2

    def cut(part: slice) -> Frame:
        return Frame(frame.boot_ms, frame.series[part], frame.values[part], frame.quality[part])

    return cut(slice(0, middle)), cut(slice(middle, None))


def _header(batch: Batch) -> bytes:
    return _HEADER.pack(
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


def _write_head(out: bytearray, runs: bytes, size: int, frames: Sequence[Frame]) -> None:
    out += runs
    if len(frames) == 1 and not any(frames[0].quality):
        out += _LONE.pack(1, frames[0].boot_ms, _LONE_TAG, 0)
        return
    times = [frame.boot_ms for frame in frames]
    steps = [b - a for a, b in itertools.pairwise(times)]
    low, high = min(steps, default=0), max(steps, default=0)
    tag = next((tag for tag, edge in _STEPS if low >= 0 and high < edge), "q")
    out += struct.pack(f"<Hqc{len(steps)}{tag}", len(frames), times[0], tag.encode(), *steps)
    if not any(any(frame.quality) for frame in frames):
        out.append(0)
        return
    codes = b"".join(bytes(frame.quality) if frame.quality else bytes(size) for frame in frames)
    if len(set(codes)) == 1:
        out += bytes((2, codes[0]))
    else:
        out.append(1)
        out += codes


def _consecutive(shape: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive indexes as (first, count)."""
    first, count = shape[0], 1
    for index in shape[1:]:
        if index == first + count and count < 0xFFFF:
            count += 1
        else:
            yield first, count
            first, count = index, 1
    yield first, count


def _read_group(reader: Reader) -> Iterable[Frame]:
    series = _series_of(reader.take(_RUN.size * reader.u16()))
    frame_count = reader.u16()
    if not series or not frame_count:
        raise Reject(f"batch: empty group at byte {reader.at}")
    times = _read_times(reader, frame_count)
    size = len(series)
    match reader.u8():
        case 0:
            qualities: Iterable[bytes] = [b""] * frame_count
        case 1:
            flat = reader.take(size * frame_count)
            qualities = [flat[i * size : (i + 1) * size] for i in range(frame_count)]
        case 2:
            qualities = [reader.take(1) * size] * frame_count
        case flag:
            raise Reject(f"batch: unknown quality flag {flag} before byte {reader.at}")
    if unknown := set(b"".join(qualities)) - _QUALITIES:
        raise Reject(f"batch: unknown quality code {min(unknown)} before byte {reader.at}")
    rows = read_rows(reader, size, frame_count)
    return [Frame(t, series, row, tuple(codes)) for t, row, codes in zip(times, rows, qualities, strict=True)]


@lru_cache(MAX_LAYOUTS)
def _series_of(runs: bytes) -> tuple[int, ...]:
    """The indexes that runs name: one tuple for the same runs, which come again with every batch."""
    return tuple(itertools.chain(*(range(first, first + count) for first, count in _RUN.iter_unpack(runs))))


def _read_times(reader: Reader, count: int) -> list[int]:
    first, code = reader.unpack(_FIRST_TIME)
    if code not in (b"H", b"I", b"q"):
        raise Reject(f"batch: unknown tag {code!r} of times before byte {reader.at}")
    steps = struct.unpack(f"<{count - 1}{code.decode()}", reader.take((count - 1) * _TIME_BYTES[code]))
    return list(itertools.accumulate(steps, initial=first))


def _short_text(text: str) -> bytes:
    data = text.encode()
    if len(data) > 255:
        raise Reject(f"batch: {text[:40]!r}... is longer than 255 B")
    return bytes([len(data)]) + data
