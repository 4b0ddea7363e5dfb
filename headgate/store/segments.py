"""Segments of the journal as they lie on the disk, and reading them (docs/store.md, "Journal")."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from headgate.errors import Fatal

log = logging.getLogger(__name__)

MAX_RECORD_BYTES = 64 * 1024 * 1024
MAGIC = b"HGJ1"
VERSION = 2

HEADER = struct.Struct("<4sIQ")
FRAME = struct.Struct("<II")
_OFFSET_BITS = 32


class RecordKind(IntEnum):
    """What a record's payload is; the numbers are part of the format."""

    BATCH = 1  # one batch as it came over the bus: written by version 1
    DICTIONARY = 2
    BATCHES = 3  # all batches of a commit (headgate/store/compact.py)
    WAITING = 4  # the same of batches whose UTC is not known yet: they come again as BATCHES once it is
    GAP = 5  # what stood here was damaged; put in its place when the store was opened


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it starts, where the next one may start at the earliest, and what it holds."""

    position: int
    end: int
    kind: int
    payload: bytes


def position_of(number: int, offset: int) -> int:
    """The position of a byte of a segment."""
    return number << _OFFSET_BITS | offset


def segment_of(position: int) -> int:
    """The number of a position's segment."""
    return position >> _OFFSET_BITS


def offset_of(position: int) -> int:
    """Where in its segment a position is."""
    return position & (1 << _OFFSET_BITS) - 1


def start_of_segment(position: int) -> int:
    """Where the segment of a position starts."""
    return position_of(segment_of(position), 0)


def path_of(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number}.log"


def numbers_in(folder: Path) -> list[int]:
    """The segments that are there, ascending."""
    return sorted(int(path.stem) for path in folder.glob("*.log") if path.stem.isdecimal())


def header(number: int) -> bytes:
    """How a segment starts."""
    return HEADER.pack(MAGIC, VERSION, number)


def frame(position: int, kind: int, payload: bytes) -> bytes:
    """A record at its position."""
    body = bytes([kind]) + payload
    return FRAME.pack(len(body), checksum(position, body)) + body


def records(folder: Path, numbers: Iterable[int], start: int) -> Iterator[Record]:
    """The records that end behind position `start`. A segment that is damaged in its middle is read up to
    there and reported; reading goes on with the next one. Raises Fatal for a segment of a newer version.
    """
    wanted = [number for number in numbers if number >= segment_of(start)]
    for number in wanted:
        path = path_of(folder, number)
        data = path.read_bytes()
        check_header(path, data, number)
        offset = HEADER.size
        for record in frames(data, number):
            offset = offset_of(record.end)
            if record.end > start:
                yield record
        if number != wanted[-1] and any(data[offset : offset + FRAME.size]):
            log.error("%s: damaged at byte %d; what follows in it is lost", path, offset)


def frames(data: bytes, number: int) -> Iterator[Record]:
    """The whole frames of one segment, up to the first that is none."""
    offset = HEADER.size
    while offset + FRAME.size < len(data):
        length, crc = FRAME.unpack_from(data, offset)
        start = offset + FRAME.size
        if not 0 < length <= MAX_RECORD_BYTES or start + length > len(data):
            return
        body = data[start : start + length]
        position = position_of(number, offset)
        if checksum(position, body) != crc:
            return
        offset = start + length
        yield Record(position, position_of(number, offset), body[0], body[1:])


def check_header(path: Path, data: bytes, number: int) -> int:
    """The segment's version. Raises Fatal for one that is none of this hub's."""
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise Fatal(
            f"{path} is no journal segment: it starts with {data[:4]!r}; move it aside and start again"
        )
    version: int
    _, version, own = HEADER.unpack_from(data)
    if not 1 <= version <= VERSION:
        raise Fatal(f"{path} is of version {version}, this hub reads 1 to {VERSION}: update headgate.Hub")
    if own != number:
        raise Fatal(f"{path} says that it is segment {own}; give it back its name")
    return version


def checksum(position: int, body: bytes) -> int:
    """Of a record's kind and payload at their place."""
    return zlib.crc32(body, zlib.crc32(position.to_bytes(8, "little")))
