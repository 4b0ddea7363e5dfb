"""The journal: append-only, preallocated segments of CRC-framed records, one fdatasync per group.

Segment `journal/<n>.log` (docs/store.md, "Journal"): a header, frames that each have a checksum which starts
from the frame's position, then zeros. A position is n * 2^32 + the offset in the segment; positions only
grow, also across segments.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from headgate.errors import Fatal
from headgate.store.files import Disk, fill_zeros

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1024 * 1024
"""A quarter of an hour of 1,000 samples a second; a slow card writes it within a second."""
MAX_RECORD_BYTES = 64 * 1024 * 1024
MAGIC = b"HGJ1"
VERSION = 2

_HEADER = struct.Struct("<4sIQ")
_FRAME = struct.Struct("<II")
_OFFSET_BITS = 32


class RecordKind(IntEnum):
    """What a record's payload is; the numbers are part of the format."""

    BATCH = 1  # one batch as it came over the bus: written by version 1
    DICTIONARY = 2
    BATCHES = 3  # all batches of a commit (headgate/store/compact.py)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it starts, where the next one may start at the earliest, and what it holds."""

    position: int
    end: int
    kind: int
    payload: bytes


class Journal:
    """One writer's journal. `append` buffers, `sync` makes everything appended so far durable.

    `at_least`: a position below which nothing is appended, for a journal that is older than the state that
    counts on it. Raises Fatal for a segment of a newer version, OSError as the file system does.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        at_least: int = 0,
        disk: Disk | None = None,
    ) -> None:
        self._disk = disk or Disk()
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._buffer: list[tuple[int, int, bytearray]] = []  # (segment, offset, frames)
        self._fd = -1
        folder.mkdir(parents=True, exist_ok=True)
        self._segments = sorted(int(path.stem) for path in folder.glob("*.log") if path.stem.isdecimal())
        last = self._segments[-1] if self._segments else 0
        self._number = last
        self._offset = _HEADER.size
        self._capacity = 0
        if last:
            self._open_last(last)
        if not last or self.end < at_least:
            self._number = max(last, at_least >> _OFFSET_BITS) + 1
            self._offset = _HEADER.size
            self._capacity = segment_bytes
            self._make_segment(self._number, segment_bytes)

    @property
    def end(self) -> int:
        """The position behind the last record, buffered ones included."""
        return self._number << _OFFSET_BITS | self._offset

    @property
    def segment(self) -> int:
        """The number of the segment that the next record may go to."""
        return self._number

    def fits(self, payload: bytes) -> bool:
        """Whether a record goes to this segment."""
        return self._offset + _FRAME.size + 1 + len(payload) <= self._capacity

    def roll(self) -> None:
        """Let the next record start a new segment."""
        self._capacity = 0

    @property
    def size_bytes(self) -> int:
        """What the segments take on the disk, preallocated space included."""
        sizes = 0
        for number in list(self._segments):  # the status line asks from another thread
            with suppress(FileNotFoundError):
                sizes += self._path(number).stat().st_size
        return sizes

    @property
    def buffered(self) -> bool:
        """Whether anything waits for `sync`."""
        return bool(self._buffer)

    def append(self, kind: RecordKind, payload: bytes) -> Record:
        """Add a record; it is durable once `sync` returned."""
        size = _FRAME.size + 1 + len(payload)
        if not self.fits(payload):
            self._number += 1
            self._offset = _HEADER.size
            self._capacity = max(self._segment_bytes, _HEADER.size + size)
        position = self.end
        if not self._buffer or self._buffer[-1][0] != self._number:
            self._buffer.append((self._number, self._offset, bytearray()))
        body = bytes([kind]) + payload
        self._buffer[-1][2].extend(_FRAME.pack(len(body), _checksum(position, body)) + body)
        self._offset += size
        return Record(position, self.end, kind, payload)

    def sync(self) -> None:
        """Write what is buffered; returns once it is on the disk. An older segment is whole before a newer
        one is made.
        """
        for number, offset, frames in self._buffer:
            if number != self._segments[-1]:
                self._make_segment(number, max(self._segment_bytes, offset + len(frames)))
            self._disk.write(self._fd, frames, offset)
            self._disk.sync(self._fd)
        self._buffer.clear()

    def replay(self, start: int) -> Iterator[Record]:
        """The durable records that end behind position `start`. A segment that is damaged in its middle is
        read up to there and reported; reading goes on with the next one.
        """
        for number in list(self._segments):
            if number < start >> _OFFSET_BITS:
                continue
            data = self._path(number).read_bytes()
            _check_header(self._path(number), data, number)
            offset = _HEADER.size
            for record in _frames(data, number):
                offset = record.end & (1 << _OFFSET_BITS) - 1
                if record.end > start:
                    yield record
            if number != self._segments[-1] and any(data[offset : offset + _FRAME.size]):
                log.error("%s: damaged at byte %d; what follows in it is lost", self._path(number), offset)

    def drop_before(self, position: int) -> int:
        """Delete the segments that hold nothing at or behind `position`; returns how many."""
        old = [number for number in self._segments[:-1] if number < position >> _OFFSET_BITS]
        for number in old:
            self._disk.unlink(self._path(number))
            self._segments.remove(number)
        return len(old)

    def close(self) -> None:
        """Close the files; what is buffered is dropped."""
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.log"

    def _open_last(self, number: int) -> None:
        path = self._path(number)
        data = path.read_bytes()
        if not data[_HEADER.size :].strip(b"\0") and data[: _HEADER.size] != _header(number, VERSION):
            self._segments.pop()  # cut while it was made
            self._make_segment(number, self._segment_bytes)
            self._capacity = self._segment_bytes
            return
        version = _check_header(path, data, number)
        for record in _frames(data, number):
            self._offset = record.end & (1 << _OFFSET_BITS) - 1
        if version == VERSION:  # else nothing more is written to it
            self._capacity = max(self._segment_bytes, self._offset)
        self._fd = self._disk.open(path)
        if data[self._offset :].strip(b"\0") or len(data) < self._capacity:
            log.warning("%s: torn tail behind byte %d, cut", path, self._offset)
            fill_zeros(self._disk, self._fd, self._offset, max(self._capacity, len(data)))
            self._disk.sync(self._fd)

    def _make_segment(self, number: int, size_bytes: int) -> None:
        if self._fd >= 0:
            self._disk.close(self._fd)
        self._fd = self._disk.create(self._path(number))
        fill_zeros(self._disk, self._fd, 0, size_bytes)
        self._disk.write(self._fd, _header(number, VERSION), 0)
        self._disk.sync(self._fd)
        self._disk.sync_directory(self._folder)
        self._segments.append(number)


def _header(number: int, version: int) -> bytes:
    return _HEADER.pack(MAGIC, version, number)


def start_of_segment(position: int) -> int:
    """Where the segment of a position starts."""
    return position >> _OFFSET_BITS << _OFFSET_BITS


def _frames(data: bytes, number: int) -> Iterator[Record]:
    """The whole frames of one segment, up to the first that is none."""
    offset = _HEADER.size
    while offset + _FRAME.size < len(data):
        length, crc = _FRAME.unpack_from(data, offset)
        start = offset + _FRAME.size
        if not 0 < length <= MAX_RECORD_BYTES or start + length > len(data):
            return
        body = data[start : start + length]
        position = number << _OFFSET_BITS | offset
        if _checksum(position, body) != crc:
            return
        offset = start + length
        yield Record(position, number << _OFFSET_BITS | offset, body[0], body[1:])


def _checksum(position: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(position.to_bytes(8, "little")))


def _check_header(path: Path, data: bytes, number: int) -> int:
    """The segment's version."""
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise Fatal(
            f"{path} is no journal segment: it starts with {data[:4]!r}; move it aside and start again"
        )
    version: int
    _, version, own = _HEADER.unpack_from(data)
    if not 1 <= version <= VERSION:
        raise Fatal(f"{path} is of version {version}, this hub reads 1 to {VERSION}: update headgate.Hub")
    if own != number:
        raise Fatal(f"{path} says that it is segment {own}; give it back its name")
    return version
