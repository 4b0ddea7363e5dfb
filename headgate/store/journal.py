"""The journal: append-only, preallocated segments of CRC-framed records, one fdatasync per group.

Segment `journal/<n>.log` (docs/store.md, "Journal"): a header, frames that each have a checksum which starts
from the frame's position, then zeros. A position is n * 2^32 + the offset in the segment; positions only
grow, also across segments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from headgate.store.files import Disk, fill_zeros
from headgate.store.segments import (
    FRAME,
    HEADER,
    VERSION,
    Record,
    RecordKind,
    check_header,
    frame,
    frames,
    header,
    numbers_in,
    offset_of,
    path_of,
    position_of,
    records,
    segment_of,
)

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1024 * 1024
"""A quarter of an hour of 1,000 samples a second; a slow card writes it within a second."""


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
        self._segments = numbers_in(folder)
        last = self._segments[-1] if self._segments else 0
        self._number = last
        self._offset = HEADER.size
        self._capacity = 0
        if last:
            self._open_last(last)
        if not last or self.end < at_least:
            self._number = max(last, segment_of(at_least)) + 1
            self._offset = HEADER.size
            self._capacity = segment_bytes
            self._make_segment(self._number, segment_bytes)

    @property
    def end(self) -> int:
        """The position behind the last record, buffered ones included."""
        return position_of(self._number, self._offset)

    @property
    def segments(self) -> list[int]:
        """The segments that are there, ascending."""
        return list(self._segments)

    @property
    def segment(self) -> int:
        """The number of the segment that the next record may go to."""
        return self._number

    def fits(self, payload: bytes) -> bool:
        """Whether a record goes to this segment."""
        return self._offset + FRAME.size + 1 + len(payload) <= self._capacity

    def growth_bytes(self, size_bytes: int, records: int) -> int:
        """How much more the journal may take on the disk with so many records of together `size_bytes`."""
        whole = size_bytes + records * (FRAME.size + 1)
        if self._offset + whole <= self._capacity and self._number == self._segments[-1]:
            return 0
        return whole + records * (self._segment_bytes + HEADER.size)

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
        size = FRAME.size + 1 + len(payload)
        if not self.fits(payload):
            self._number += 1
            self._offset = HEADER.size
            self._capacity = max(self._segment_bytes, HEADER.size + size)
        position = self.end
        if not self._buffer or self._buffer[-1][0] != self._number:
            self._buffer.append((self._number, self._offset, bytearray()))
        self._buffer[-1][2].extend(frame(position, kind, payload))
        self._offset += size
        return Record(position, self.end, kind, payload)

    def sync(self) -> None:
        """Write what is buffered; returns once it is on the disk. An older segment is whole before a newer
        one is made.
        """
        for number, offset, written in self._buffer:
            if number != self._segments[-1]:
                self._make_segment(number, max(self._segment_bytes, offset + len(written)))
            self._disk.write(self._fd, written, offset)
            self._disk.sync(self._fd)
        self._buffer.clear()

    def replay(self, start: int) -> Iterator[Record]:
        """The durable records that end behind position `start`. A segment that is damaged in its middle is
        read up to there and reported; reading goes on with the next one.
        """
        yield from records(self._folder, list(self._segments), start)

    def drop_before(self, position: int) -> int:
        """Delete the segments that hold nothing at or behind `position`; returns how many."""
        old = [number for number in self._segments[:-1] if number < segment_of(position)]
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
        return path_of(self._folder, number)

    def _open_last(self, number: int) -> None:
        path = self._path(number)
        data = path.read_bytes()
        if not data[HEADER.size :].strip(b"\0") and data[: HEADER.size] != header(number):
            self._segments.pop()  # cut while it was made
            self._make_segment(number, self._segment_bytes)
            self._capacity = self._segment_bytes
            return
        version = check_header(path, data, number)
        for record in frames(data, number):
            self._offset = offset_of(record.end)
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
        self._disk.write(self._fd, header(number), 0)
        self._disk.sync(self._fd)
        self._disk.sync_directory(self._folder)
        self._segments.append(number)
