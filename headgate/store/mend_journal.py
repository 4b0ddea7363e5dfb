"""A journal with damage in it: what is whole keeps its position, what is not becomes a record that says so.

A torn tail is no damage: what was being written when the power went was never acknowledged, and is cut off
as ever (headgate/store/journal.py).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headgate.errors import Fatal
from headgate.store.quarantine import Note, Quarantine, mended
from headgate.store.segments import (
    FRAME,
    HEADER,
    MAGIC,
    VERSION,
    RecordKind,
    checksum,
    frame,
    header,
    numbers_in,
    offset_of,
    path_of,
    position_of,
    segment_of,
)
from headgate.store.sqlite import NEXT_VERSIONS

_KINDS = max(RecordKind)
MAX_HOLES_TOLD = 8


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes of a segment that are no record. `behind`: whole records follow it."""

    start: int
    end: int
    behind: bool


def mend_journal(folder: Path, quarantine: Quarantine, replay: int, durable: int) -> list[Note]:
    """Mend the segments from position `replay` on. Everything before `durable` is known to have been written.

    Raises Fatal for a segment of a newer version, OSError.
    """
    notes: list[Note] = []
    numbers = numbers_in(folder)
    first = max(1, segment_of(replay) or (numbers[0] if numbers else segment_of(durable)))
    last = max([*numbers, segment_of(durable)], default=0)
    for number in range(first, last + 1):
        path = path_of(folder, number)
        # Before it all is durable: a newer segment is only made once the older ones are.
        known = durable if number == last else position_of(number + 1, 0)
        note = (
            _mend(path, number, quarantine, known, last=number == last)
            if path.exists()
            else _fill(path, number, quarantine, known)
        )
        if note is not None:
            notes.append(note)
    return notes


def holes(data: bytes, number: int) -> list[Hole]:
    """What of a segment is neither records nor the zeros behind the last of them."""
    found: list[Hole] = []
    offset = HEADER.size
    used = len(data.rstrip(b"\0"))
    while offset < used:
        end = _frame_end(data, number, offset)
        if end:
            offset = end
            continue
        following = _next_frame(data, number, offset + 1)
        found.append(Hole(offset, following or used, following > 0))
        offset = following or used
    return found


def end_of(data: bytes, number: int) -> int:
    """Where the last record of a segment ends."""
    broken = holes(data, number)
    offset = broken[-1].end if broken else HEADER.size
    while end := _frame_end(data, number, offset):
        offset = end
    return offset


def _mend(path: Path, number: int, quarantine: Quarantine, durable: int, *, last: bool) -> Note | None:
    data = path.read_bytes()
    head = data[: HEADER.size]
    if last and number > segment_of(durable) and not data[HEADER.size :].strip(b"\0"):
        return None  # cut while it was made: the journal makes it again
    why = _head_fault(path, head, number)
    broken = holes(data, number)
    known = offset_of(durable) if number == segment_of(durable) else HEADER.size if last else 0
    kept_end = len(data)
    torn = next((hole for hole in broken if last and hole.start >= known), None)
    if torn is not None:
        broken = [hole for hole in broken if hole.start < torn.start]
        if torn.behind:  # several records of one write, or damage: nothing behind it was surely acknowledged
            why = why or f"at byte {torn.start}: records behind a damaged one that may never have been whole"
            kept_end = torn.start
    elif last and (end := end_of(data, number)) < known:
        broken.append(Hole(end, known, behind=False))
    if not why and not broken:
        return None
    why = why or f"damaged at byte {broken[0].start}" + (f" and {len(broken) - 1} more" if broken[1:] else "")
    made = bytearray(data[:kept_end].ljust(HEADER.size, b"\0"))
    if _head_fault(path, head, number):
        made[: HEADER.size] = header(number)
    for hole in broken:
        _fill_hole(made, number, hole.start, hole.end)
    mended(path).write_bytes(made.ljust(len(data), b"\0"))
    spans = [(hole.start, hole.end) for hole in broken]
    if kept_end < len(data):
        spans.append((kept_end, len(data.rstrip(b"\0"))))
    return quarantine.replace(path, f"journal segment: {why}", _lost(number, spans))


def _fill(path: Path, number: int, quarantine: Quarantine, durable: int) -> Note:
    """A segment that is missing."""
    end = offset_of(durable) if number == segment_of(durable) else 0
    made = bytearray(header(number))
    _fill_hole(made, number, HEADER.size, end)
    mended(path).write_bytes(made)
    return quarantine.replace(path, "journal segment: missing", _lost(number, [(HEADER.size, end)]))


def _fill_hole(made: bytearray, number: int, start: int, end: int) -> None:
    end = max(end, start + FRAME.size + 1)
    payload = bytes(end - start - FRAME.size - 1)
    made.extend(bytes(max(0, end - len(made))))
    made[start:end] = frame(position_of(number, start), RecordKind.GAP, payload)


def _lost(number: int, spans: list[tuple[int, int]]) -> dict[str, object]:
    positions = [[position_of(number, start), position_of(number, end)] for start, end in spans]
    lost: dict[str, object] = {"journal": positions[:MAX_HOLES_TOLD]}
    lost["journal_bytes"] = sum(max(0, end - start) for start, end in spans)
    return lost


def _head_fault(path: Path, head: bytes, number: int) -> str:
    """What is wrong with a segment's first bytes; nothing: "". Raises Fatal for a newer version."""
    if len(head) < HEADER.size or head[:4] != MAGIC:
        return "its header is damaged"
    _, version, own = HEADER.unpack(head)
    if VERSION < version <= VERSION + NEXT_VERSIONS and own == number:
        raise Fatal(f"{path} is of version {version}, this hub reads 1 to {VERSION}: update headgate.Hub")
    return "its header is damaged" if not 1 <= version <= VERSION or own != number else ""


def _frame_end(data: bytes, number: int, offset: int) -> int:
    """Where a whole record at an offset ends; 0 where there is none."""
    if offset + FRAME.size >= len(data):
        return 0
    length, crc = FRAME.unpack_from(data, offset)
    start = offset + FRAME.size
    if not 0 < length <= len(data) - start:
        return 0
    body = data[start : start + length]
    return start + length if checksum(position_of(number, offset), body) == crc else 0


def _next_frame(data: bytes, number: int, start: int) -> int:
    """Where the next whole record starts; 0 where none does. Its position is in its checksum: no other
    record's bytes can be taken for it.
    """
    count = len(data) - FRAME.size - start
    if count <= 0:
        return 0
    octets = np.frombuffer(data, np.uint8)
    lengths = np.zeros(count, np.int64)
    for i in range(struct.calcsize("<I")):
        lengths |= octets[start + i : start + i + count].astype(np.int64) << 8 * i
    kinds = octets[start + FRAME.size : start + FRAME.size + count]
    room = count - np.arange(count)
    for at in np.flatnonzero((lengths > 0) & (lengths <= room) & (kinds > 0) & (kinds <= _KINDS)).tolist():
        if _frame_end(data, number, start + at):
            return start + int(at)
    return 0
