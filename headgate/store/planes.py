"""Integers as few bytes: differences above a base, cut into planes of one byte, each plane as it is cheapest.

Everything is modulo 2^64, so any i64 and any u64 comes back. docs/store.md has the format.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.errors import Reject

U64 = NDArray[np.uint64]
_STORED, _CONSTANT, _DEFLATED = 0, 1, 2
_MASK = (1 << 64) - 1
_MOST = 1 << 26
_LOST_OFTEN = 8
_WORTH_TRYING_BYTES = 16
_WORTH_QUICKLY_BYTES = 160
"""Where it is to be quick, nothing is gained below: a sync writes a page of 4 KiB in any case."""
_WORTH_MORE_BYTES = 48
"""A plane that is smaller than this after run-length coding is not tried a second way."""


class Reader:
    """Takes what was written from the front. Raises Reject where there is too little."""

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self._data = memoryview(data)
        self.at = at

    def take(self, count: int) -> memoryview:
        end = self.at + count
        if end > len(self._data):
            raise Reject(f"{count} B expected at byte {self.at}, there are {len(self._data)} in all")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Reject(f"a number of more than 64 bits before byte {self.at}")

    def count(self) -> int:
        """A number of things that are to be made."""
        return bounded(self.varint())

    def end(self) -> None:
        if self.at != len(self._data):
            raise Reject(f"{len(self._data) - self.at} B too many at byte {self.at}")


def bounded(count: int) -> int:
    """Raises Reject where there are more of something than a record or a block ever has."""
    if not 0 <= count <= _MOST:
        raise Reject(f"{count} things")
    return count


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; 0 <= value < 2^64."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """A number modulo 2^64 as a varint that is short near zero, below it too."""
    value &= _MASK
    return varint(value << 1 & _MASK ^ (_MASK if value >> 63 else 0))


def read_signed(reader: Reader) -> int:
    """What `signed` wrote, modulo 2^64."""
    found = reader.varint()
    return (found >> 1 ^ (_MASK if found & 1 else 0)) & _MASK


class Effort:
    """Whether a second way to pack a plane is worth a try: where it has lost often, it is rarely."""

    def __init__(self) -> None:
        self._lost = 0

    def worth(self) -> bool:
        """Ask before each plane."""
        if self._lost >= _LOST_OFTEN:
            self._lost += 1
        return self._lost < _LOST_OFTEN or self._lost % _LOST_OFTEN == 0

    def told(self, *, won: bool) -> None:
        """What came of it."""
        self._lost = 0 if won else max(self._lost + 1, 1)


def write_plane(out: bytearray, data: bytes, effort: Effort | None = None) -> None:
    """Bytes whose count the reader knows, in the cheapest way there is; with no `effort`, in a quick one."""
    if data.count(data[:1]) == len(data):
        out.append(_CONSTANT)
        out += data[:1]
        return
    worth_bytes = _WORTH_QUICKLY_BYTES if effort is None else _WORTH_TRYING_BYTES
    best = _deflate(data, zlib.Z_RLE) if len(data) >= worth_bytes else data
    if effort is not None and len(best) > _WORTH_MORE_BYTES and effort.worth():
        other = _deflate(data, zlib.Z_DEFAULT_STRATEGY)
        effort.told(won=len(other) < len(best))
        best = min(best, other, key=len)
    length = varint(len(best))
    if len(best) + len(length) < len(data):
        out.append(_DEFLATED)
        out += length + best
    else:
        out.append(_STORED)
        out += data


def read_plane(reader: Reader, count: int) -> bytes | memoryview:
    """`count` bytes that `write_plane` wrote; none when `count` is 0. Raises Reject."""
    if not count:
        return b""
    match reader.u8():
        case 0:
            return reader.take(count)
        case 1:
            return bytes(reader.take(1)) * count
        case 2:
            packed = reader.take(reader.varint())
            try:
                found = zlib.decompressobj(-15).decompress(packed, count + 1)
            except zlib.error as error:
                raise Reject(f"plane before byte {reader.at}: {error}") from error
            if len(found) != count:
                raise Reject(f"plane before byte {reader.at} has {len(found)} B, not {count}")
            return found
        case tag:
            raise Reject(f"plane of unknown form {tag} before byte {reader.at}")


def _deflate(data: bytes, strategy: int) -> bytes:
    # A window and tables that are not much larger than a plane: clearing them is most of the cost.
    bits = 15 if len(data) > 16_384 else 12
    packer = zlib.compressobj(6, zlib.DEFLATED, -bits, 8 if bits == 15 else 5, strategy)
    return packer.compress(data) + packer.flush()


@dataclass(frozen=True, slots=True)
class Plan:
    """How rows of integers are best written: the order of differences of each row, and these differences."""

    orders: list[int]
    steps: tuple[U64, U64, U64]


def plan(rows: U64) -> Plan:
    """Choose for each row [row, sample] between values, differences, and differences of these."""
    first = np.diff(rows, axis=1)
    second = np.diff(first, axis=1)
    costs = np.stack([_spread(rows), _spread(first), _spread(second)])
    return Plan(np.argmin(costs, axis=0).tolist(), (rows, first, second))


def _spread(rows: U64) -> NDArray[np.float64]:
    """The mean distance from the mean: a stand-in for the bits that a value needs."""
    if not rows.shape[1]:
        return np.full(len(rows), np.inf)
    numbers = rows.view(np.int64).astype(np.float64)
    numbers -= numbers.mean(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.abs(numbers, out=numbers).mean(axis=1)
    return found


def write_integers(out: bytearray, chosen: Plan, row: int, effort: Effort) -> None:
    """One row of a plan; it has one sample or more."""
    order = chosen.orders[row]
    steps = chosen.steps[order][row]
    numbers = steps.view(np.int64)
    low, high = int(numbers.min()), int(numbers.max())
    width = ((high - low).bit_length() + 7) // 8
    out.append(order | width << 2)
    for lower in range(order):
        out += signed(int(chosen.steps[lower][row, 0]))
    out += signed(low)
    if not width:
        return
    above = (steps - np.uint64(low & _MASK)).astype("<u8", copy=False)
    planes = above.view(np.uint8).reshape(-1, 8)
    for plane in range(width):
        write_plane(out, planes[:, plane].tobytes(), effort)


@dataclass(frozen=True, slots=True)
class Packed:
    """Integers as they were written: where they start, their base, and the planes of what is above it."""

    order: int
    starts: list[int]
    low: int
    planes: list[bytes | memoryview]


def read_packed(reader: Reader, count: int) -> Packed:
    """What `write_integers` wrote of `count` integers, at least one. Raises Reject."""
    head = reader.u8()
    order, width = head & 3, head >> 2
    if order > 2 or width > 8 or order >= count:
        raise Reject(f"integers of unknown form {head} before byte {reader.at}")
    starts = [read_signed(reader) for _ in range(order)]
    low = read_signed(reader)
    return Packed(order, starts, low, [read_plane(reader, count - order) for _ in range(width)])


def unpacked(rows: Sequence[Packed], count: int) -> U64:
    """Rows [row, sample] of equal order and as many planes each, as the integers that they were."""
    order, width = rows[0].order, len(rows[0].planes)
    numbers = np.empty((len(rows), count), np.uint64)
    steps = numbers[:, order:]
    steps[:] = np.array([row.low for row in rows], np.uint64)[:, None]
    for plane in range(width):
        flat = b"".join([row.planes[plane] for row in rows])
        above = np.frombuffer(flat, np.uint8).reshape(len(rows), -1)
        steps += above if not plane else above.astype(np.uint64) << np.uint64(8 * plane)
    for level in reversed(range(order)):
        numbers[:, level] = np.array([row.starts[level] for row in rows], np.uint64)
        part = numbers[:, level:]
        np.cumsum(part, axis=1, out=part)
    return numbers


def read_integers(reader: Reader, count: int) -> U64:
    """`count` integers modulo 2^64, at least one. Raises Reject."""
    found: U64 = unpacked([read_packed(reader, count)], count)[0]
    return found
