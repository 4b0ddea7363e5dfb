"""How a file is cut into parts, and what S3 will call them: one pass over the file gives every checksum."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from headgate.errors import Reject

MAX_PARTS = 10_000
"""Of a multipart upload (Amazon S3 user guide, "Amazon S3 multipart upload limits")."""
CHUNK_BYTES = 1024**2
"""What is read, hashed and sent at a time: smaller pieces cost 12 to 100 % more CPU (measured)."""
PARTS_A_PAGE = 110
"""Of a `parts` message: 54 B each, and at most 7,000 B go up."""
_MIB = 1024**2

Check = Callable[[], None]
"""Raises where the work is to end early."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A file's parts; `checksums` are their SHA-256 in base64, `sha256` is S3's composite of them."""

    file_id: str
    size_bytes: int
    part_bytes: int
    checksums: tuple[str, ...]

    @property
    def parts(self) -> int:
        return len(self.checksums)

    @property
    def sha256(self) -> str:
        return composite(self.checksums)

    def place(self, number: int) -> tuple[int, int]:
        """Offset and size in bytes of part `number`, from 1."""
        offset = (number - 1) * self.part_bytes
        return offset, min(self.part_bytes, self.size_bytes - offset)

    def pages(self) -> Iterator[list[tuple[int, str]]]:
        """The parts with their checksums, a message's worth at a time."""
        numbered = list(enumerate(self.checksums, 1))
        for first in range(0, len(numbered), PARTS_A_PAGE):
            yield numbered[first : first + PARTS_A_PAGE]


def part_bytes_for(size_bytes: int, wanted_bytes: int) -> int:
    """The size of parts for a file: the wanted one, or more (whole MiB) where that makes too many."""
    least = -(-size_bytes // MAX_PARTS)
    return max(wanted_bytes, -(-least // _MIB) * _MIB)


def count_of(size_bytes: int, part_bytes: int) -> int:
    """How many parts; an empty file is one empty part."""
    return max(1, -(-size_bytes // part_bytes))


def make_plan(file_id: str, file: BinaryIO, size_bytes: int, part_bytes: int, check: Check) -> Plan:
    """Read the file once. Raises Reject where it is not `size_bytes` long, and whatever `check` raises."""
    buffer = memoryview(bytearray(min(CHUNK_BYTES, max(1, size_bytes))))
    checksums = []
    for number in range(count_of(size_bytes, part_bytes)):
        digest = hashlib.sha256()
        for piece in read_exactly(file, min(part_bytes, size_bytes - number * part_bytes), buffer):
            check()
            digest.update(piece)
        checksums.append(base64.b64encode(digest.digest()).decode())
    return Plan(file_id, size_bytes, part_bytes, tuple(checksums))


def read_exactly(file: BinaryIO, size_bytes: int, buffer: memoryview) -> Iterator[memoryview]:
    """Pieces of together `size_bytes`, each valid until the next. Raises Reject where the file ends first."""
    left = size_bytes
    while left > 0:
        # An unbuffered file's readinto is a method of RawIOBase, which BinaryIO does not have.
        got = file.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if not got:
            raise Reject(f"the file ends {left} B early: it changed")
        left -= got
        yield buffer[:got]


def composite(checksums: Sequence[str]) -> str:
    """S3's SHA-256 of a multipart object: of the parts' digests, with `-N` behind it."""
    digests = b"".join(base64.b64decode(checksum) for checksum in checksums)
    return f"{base64.b64encode(hashlib.sha256(digests).digest()).decode()}-{len(checksums)}"
