"""Batches of one commit as one journal record: what repeats is written once, numbers as integer deltas.

docs/store.md, "Record of batches", has the format. What comes back equals what went in, but that qualities
which are all good are left out, as bridges leave them out.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from functools import partial

from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Value
from headgate.store.compact_rows import Form, Rows, read_form, read_rows, write_rows
from headgate.store.planes import (
    Reader,
    read_plane,
    read_signed,
    signed,
    varint,
    write_plane,
)

Hints = Callable[[bytes, Sequence[int]], Sequence[int | None]]
"""The decimals of some series, by the content hash of their table and their indexes in it."""

_MASK = (1 << 64) - 1
_RUN = struct.Struct("<Q16sB")
MAX_PLANS = 4_096
"""Shapes that are remembered, and commits after which a column may prove again that it has its decimals."""

_Key = tuple[bytes, tuple[int, ...], tuple[type, ...]]


class Compactor:
    """Writes records; remembers how the rows of each shape looked."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._forms: dict[_Key, Form] = {}
        self._written = 0

    def encode(self, batches: Sequence[Batch]) -> bytes:
        """One record, of as many bytes as batches at least."""
        self._written += 1
        if len(self._forms) > MAX_PLANS or self._written % MAX_PLANS == 0:
            self._forms.clear()
        keys: dict[_Key, int] = {}
        rows: list[list[Sequence[Value]]] = []
        which: list[int] = []
        frames = [frame for batch in batches for frame in batch.frames]
        for batch in batches:
            for frame in batch.frames:
                key = (batch.dictionary, tuple(frame.series), tuple(map(type, frame.values)))
                at = keys.setdefault(key, len(rows))
                if at == len(rows):
                    rows.append([])
                rows[at].append(frame.values)
                which.append(at)
        out = bytearray()
        _write_headers(out, batches, frames, which)
        self._write_rows(out, list(keys), rows, frames)
        return bytes(out).ljust(len(batches), b"\0")

    def _write_rows(
        self, out: bytearray, keys: list[_Key], rows: Sequence[Rows], frames: Sequence[Frame]
    ) -> None:
        while True:
            forms = [self._form(key) for key in keys]
            values = bytearray()
            misfits = write_rows(values, forms, rows)
            if not misfits:
                break
            for at, codes in misfits.items():
                self._forms[keys[at]] = forms[at].changed(codes)
        out += varint(len(forms))
        for form in forms:
            out += form.head
        _write_qualities(out, frames)
        out += values

    def _form(self, key: _Key) -> Form:
        found = self._forms.get(key)
        if found is None:
            dictionary, series, types = key
            found = self._forms[key] = Form.of(series, types, self._hints(dictionary, series))
        return found


def decode(payload: bytes) -> list[Batch]:
    """The batches of one record. Raises Reject for what is none."""
    reader = Reader(payload)
    try:
        headers, counts, which, times = _read_headers(reader)
        forms = [read_form(reader) for _ in range(reader.count())]
        qualities = _read_qualities(reader, [len(forms[at].series) for at in which])
        rows = [iter(found) for found in read_rows(reader, forms, which)]
        frames = [
            Frame(time, forms[at].series, next(rows[at]), quality)
            for at, time, quality in zip(which, times, qualities, strict=True)
        ]
    except (Reject, ValueError, IndexError, KeyError, struct.error, StopIteration) as error:
        raise Reject(f"damaged record of batches: {error}") from error
    ends = list(itertools.accumulate(counts))
    return [
        header(frames[end - count : end]) for header, count, end in zip(headers, counts, ends, strict=True)
    ]


def _write_headers(
    out: bytearray, batches: Sequence[Batch], frames: Sequence[Frame], forms: list[int]
) -> None:
    """The different runs once, then which it is and the numbers of each batch, and of each frame."""
    runs: dict[bytes, int] = {}
    which = [runs.setdefault(_run(batch), len(runs)) for batch in batches]
    out += varint(len(batches)) + varint(len(frames)) + varint(len(runs)) + b"".join(runs)
    numbers = bytearray()
    for vector in (
        which,
        [batch.seq for batch in batches],
        [batch.oldest_seq for batch in batches],
        [batch.dropped for batch in batches],
        [len(batch.frames) for batch in batches],
        forms,
        [frame.boot_ms for frame in frames],
    ):
        before = 0
        for number in vector:
            numbers += signed(number - before)
            before = number
    out += varint(len(numbers))
    if numbers:
        write_plane(out, bytes(numbers))


def _run(batch: Batch) -> bytes:
    """What batches of a run have in common, while the clock goes on as it did."""
    texts = (batch.bridge.encode(), batch.machine_boot_id.encode())
    head = b"".join(varint(len(text)) + text for text in texts)
    return head + _RUN.pack(batch.run_id, batch.dictionary, batch.clock) + signed(batch.utc_offset_ms)


def _read_headers(
    reader: Reader,
) -> tuple[list[Callable[[list[Frame]], Batch]], list[int], list[int], list[int]]:
    """A maker of each batch, to be given its frames, and how many these are; of each frame form and time."""
    count, total = reader.count(), reader.count()
    runs = [_read_run(reader) for _ in range(reader.count())]
    numbers = Reader(bytes(read_plane(reader, reader.count())))
    which, seqs, oldest, dropped, frames = (_read_vector(numbers, count) for _ in range(5))
    if sum(frames) != total:
        raise Reject(f"{sum(frames)} frames in all, not {total}")
    made: list[Callable[[list[Frame]], Batch]] = [
        partial(_batch, runs[which[i]], seqs[i], oldest[i], dropped[i]) for i in range(count)
    ]
    return made, frames, _read_vector(numbers, total), _read_vector(numbers, total)


_Common = tuple[str, str, int, bytes, ClockState, int]


def _read_run(reader: Reader) -> _Common:
    bridge, boot_id = (str(reader.take(reader.varint()), "utf-8") for _ in range(2))
    run_id, dictionary, clock = _RUN.unpack(reader.take(_RUN.size))
    offset_ms = read_signed(reader)
    return bridge, boot_id, run_id, dictionary, ClockState(clock), offset_ms - (offset_ms >> 63 << 64)


def _batch(common: _Common, seq: int, oldest_seq: int, dropped: int, frames: list[Frame]) -> Batch:
    bridge, boot_id, run_id, dictionary, clock, offset_ms = common
    return Batch(bridge, run_id, seq, oldest_seq, dictionary, boot_id, offset_ms, clock, dropped, frames)


def _read_vector(reader: Reader, count: int) -> list[int]:
    found, before = [], 0
    for _ in range(count):
        before = before + read_signed(reader) & _MASK
        found.append(before - (before >> 63 << 64))
    return found


def _write_qualities(out: bytearray, frames: Sequence[Frame]) -> None:
    """Of each frame whether it has codes, then the codes of those that have."""
    flags = bytes(any(frame.quality) for frame in frames)
    codes = b"".join(bytes(frame.quality) for frame, flag in zip(frames, flags, strict=True) if flag)
    if frames:
        write_plane(out, flags)
    if codes:
        write_plane(out, codes)


def _read_qualities(reader: Reader, widths: Sequence[int]) -> list[tuple[int, ...]]:
    flags = bytes(read_plane(reader, len(widths)))
    sizes = [width if flag else 0 for width, flag in zip(widths, flags, strict=True)]
    codes = bytes(read_plane(reader, sum(sizes)))
    ends = itertools.accumulate(sizes)
    return [tuple(codes[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
