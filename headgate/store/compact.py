"""Batches of one commit as one journal record: what repeats is written once, numbers as integer deltas.

docs/store.md, "Record of batches", has the format. A record goes on from those before it in its segment: runs
and forms of rows are known from their first use on, values are differences from the row before. What comes
back equals what went in, but that qualities which are all good are left out, as bridges leave them out.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Value
from headgate.store.compact_rows import Form, Memory, Rows, read_form, read_rows, write_rows
from headgate.store.planes import Reader, read_plane, read_signed, signed, varint, write_plane

Hints = Callable[[bytes, Sequence[int]], Sequence[int | None]]
"""The decimals of some series, by the content hash of their table and their indexes in it."""

MAX_KNOWN = 4_096
"""Runs, and forms of rows, after which a record starts anew."""

_FRESH = 1
_MASK = (1 << 64) - 1
_RUN = struct.Struct("<Q16sB")

_FormKey = tuple[bytes, tuple[int, ...], tuple[type, ...]]
_Common = tuple[str, str, int, bytes, ClockState, int]
"""What batches of a run have in common while the clock goes on as it did: bridge, machine's boot id, run id,
dictionary, clock, UTC offset."""


@dataclass(slots=True, eq=False)
class _Slot:
    """The number of the form that rows of a shape and of some types have now."""

    number: int


class Compactor:
    """Writes the records of one segment after the other."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self.restart()

    def restart(self) -> None:
        """Let the next record stand for itself: it is the first of its segment, or of this process."""
        self._fresh = True
        self._runs: dict[_Common, int] = {}
        self._slots: dict[_FormKey, _Slot] = {}
        self._forms: list[Form] = []
        self._memory = Memory()

    def encode(self, batches: Sequence[Batch]) -> bytes:
        """One record, of as many bytes as batches at least. It must be written, or `restart` be called."""
        if max(len(self._forms), len(self._runs)) > MAX_KNOWN:
            self.restart()
        known_runs, known_forms = len(self._runs), len(self._forms)
        runs = [self._runs.setdefault(_common(batch), len(self._runs)) for batch in batches]
        frames = [frame for batch in batches for frame in batch.frames]
        slots = [self._slot(batch.dictionary, frame) for batch in batches for frame in batch.frames]
        rows: dict[int, list[Sequence[Value]]] = {}
        used: dict[int, _Slot] = {}
        for slot, frame in zip(slots, frames, strict=True):
            rows.setdefault(id(slot), []).append(frame.values)
            used[id(slot)] = slot
        values = self._values(list(used.values()), list(rows.values()))
        out = bytearray([_FRESH if self._fresh else 0])
        out += varint(len(self._runs) - known_runs)
        for run in itertools.islice(self._runs, known_runs, None):
            out += _run_head(run)
        out += varint(len(self._forms) - known_forms)
        for form in self._forms[known_forms:]:
            out += form.head
        numbers = [slot.number for slot in slots]
        _write_numbers(out, batches, runs, numbers, [frame.boot_ms for frame in frames])
        _write_qualities(out, frames)
        self._fresh = False
        return bytes(out + values).ljust(len(batches), b"\0")

    def _values(self, slots: Sequence[_Slot], rows: Sequence[Rows]) -> bytearray:
        while True:
            out = bytearray()
            forms = {slot.number: self._forms[slot.number] for slot in slots}
            misfits = write_rows(out, forms, rows, self._memory)
            if not misfits:
                return out
            for slot in slots:
                if slot.number in misfits:
                    self._forms.append(self._forms[slot.number].changed(misfits[slot.number]))
                    slot.number = len(self._forms) - 1

    def _slot(self, dictionary: bytes, frame: Frame) -> _Slot:
        series, types = tuple(frame.series), tuple(map(type, frame.values))
        key = (dictionary, series, types)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = _Slot(len(self._forms))
            self._forms.append(Form.of(series, types, self._hints(dictionary, series)))
        return slot


class Expander:
    """Reads the records of one segment after the other, from the first of a segment on."""

    def __init__(self) -> None:
        self._restart()
        self._lost = True

    def _restart(self) -> None:
        self._lost = False
        self._runs: list[_Common] = []
        self._forms: list[Form] = []
        self._memory = Memory()

    def lose(self) -> None:
        """Records are missing here: nothing can be read until one that starts anew."""
        self._lost = True

    def decode(self, payload: bytes) -> list[Batch]:
        """The batches of the next record. Raises Reject for what is none."""
        reader = Reader(payload)
        try:
            if reader.u8() & _FRESH:
                self._restart()
            if self._lost:
                raise Reject("it goes on from one that cannot be read")
            self._runs += [_read_run(reader) for _ in range(reader.count())]
            self._forms += [read_form(reader) for _ in range(reader.count())]
            made, counts, which, times = _read_numbers(reader, self._runs)
            qualities = _read_qualities(reader, [len(self._forms[at].series) for at in which])
            found = read_rows(reader, self._forms, which, self._memory)
            rows = {at: iter(found[at]) for at in found}
            frames = [
                Frame(time, self._forms[at].series, next(rows[at]), quality)
                for at, time, quality in zip(which, times, qualities, strict=True)
            ]
        except (Reject, ValueError, IndexError, KeyError, struct.error, StopIteration) as error:
            self._lost = True
            raise Reject(f"damaged record of batches: {error}") from error
        ends = itertools.accumulate(counts)
        return [make(frames[end - count : end]) for make, count, end in zip(made, counts, ends, strict=True)]


def _common(batch: Batch) -> _Common:
    return (
        batch.bridge, batch.machine_boot_id, batch.run_id, batch.dictionary, batch.clock, batch.utc_offset_ms,
    )  # fmt: skip


def _run_head(run: _Common) -> bytes:
    bridge, boot_id, run_id, dictionary, clock, offset_ms = run
    head = b"".join(varint(len(text)) + text for text in (bridge.encode(), boot_id.encode()))
    return head + _RUN.pack(run_id, dictionary, clock) + signed(offset_ms)


def _read_run(reader: Reader) -> _Common:
    bridge, boot_id = (str(reader.take(reader.varint()), "utf-8") for _ in range(2))
    run_id, dictionary, clock = _RUN.unpack(reader.take(_RUN.size))
    offset_ms = read_signed(reader)
    return bridge, boot_id, run_id, dictionary, ClockState(clock), offset_ms - (offset_ms >> 63 << 64)


def _write_numbers(
    out: bytearray, batches: Sequence[Batch], runs: list[int], forms: list[int], times: list[int]
) -> None:
    """Of each batch its run and its numbers, of each frame its form and its time."""
    numbers = bytearray()
    for vector in (
        runs,
        [batch.seq for batch in batches],
        [batch.oldest_seq for batch in batches],
        [batch.dropped for batch in batches],
        [len(batch.frames) for batch in batches],
        forms,
        times,
    ):
        before = 0
        for number in vector:
            step, before = number - before, number
            if -64 <= step < 64:  # mostly, and then quickly
                numbers.append(step << 1 if step >= 0 else ~(step << 1))
            else:
                numbers += signed(step)
    out += varint(len(batches)) + varint(len(forms)) + varint(len(numbers))
    if numbers:
        write_plane(out, bytes(numbers))


def _read_numbers(
    reader: Reader, runs: Sequence[_Common]
) -> tuple[list[Callable[[list[Frame]], Batch]], list[int], list[int], list[int]]:
    """A maker of each batch, to be given its frames, and how many these are; of each frame form and time."""
    count, total = reader.count(), reader.count()
    numbers = Reader(bytes(read_plane(reader, reader.count())))
    which, seqs, oldest, dropped, frames = (_read_vector(numbers, count) for _ in range(5))
    if sum(frames) != total:
        raise Reject(f"{sum(frames)} frames in all, not {total}")
    made: list[Callable[[list[Frame]], Batch]] = [
        partial(_batch, runs[which[i]], seqs[i], oldest[i], dropped[i]) for i in range(count)
    ]
    return made, frames, _read_vector(numbers, total), _read_vector(numbers, total)


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
    flags = bytes([any(frame.quality) for frame in frames])
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
