"""Columns of codec compact: what is regular in them apart from the rest, in planes of bytes. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from headgate.envelope.header import varint
from headgate.model import Value

INTEGERS, DOUBLES, TEXTS = 0, 1, 2
"""The low two bits of a column's first byte: what its values are."""
GAPS, QUALITY, FROM_FIRST = 4, 8, 0x80
"""Further bits: not all have values; not all are good; integers are differences from the first one alone."""
_WIDTHS = (1, 2, 4, 8)
LEVEL = 6
_MASK = (1 << 64) - 1
_EXACT = 1 << 53
_EDGES = np.array([1 << 8, 1 << 16, 1 << 32], np.uint64)
"""From which on an integer needs the next of _WIDTHS."""
_SHIFTS = np.arange(0, 64, 7).astype(np.uint64)
_POWERS = np.array([float(10**exponent) for exponent in range(16)])
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Packed:
    """A column: its `head`, and the bytes of its values, the lowest plane first."""

    head: bytes
    planes: Sequence[bytes] = ()


def deflated(heads: Iterable[bytes], planes: Iterable[bytes]) -> bytes:
    """A body: all heads, then of all columns the lowest bytes, the second lowest ...; one deflate stream."""
    head = b"".join(heads)
    pack = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
    return pack.compress(varint(len(head)) + head + b"".join(planes)) + pack.flush()


def integers(rows: Sequence[Sequence[int]]) -> list[Packed]:
    """Columns of one length, all values there, each within 64 bits (signed or not)."""
    if not rows or not rows[0]:
        return [Packed(bytes((INTEGERS,)))] * len(rows)
    try:
        matrix = np.array(rows, dtype=np.int64).view(np.uint64)
    except OverflowError:
        matrix = np.array([[value & _MASK for value in row] for row in rows], dtype=np.uint64)
    return integer_matrix(matrix)


def integer_matrix(matrix: NDArray[np.uint64]) -> list[Packed]:
    """The same of a matrix of at least one column of time; numbers modulo 2^64."""
    table = IntegerTable.of(matrix)
    return [Packed(head, table.planes(i)) for i, head in enumerate(table.heads)]


@dataclass(frozen=True, slots=True)
class IntegerTable:
    """Columns of integers of one length: their heads, `lanes[level, column]`, how many levels each has."""

    heads: list[bytes]
    lanes: NDArray[np.uint8]
    widths: NDArray[np.int64]

    @staticmethod
    def of(matrix: NDArray[np.uint64]) -> IntegerTable:
        """`matrix[column, time]`, with at least one time; numbers modulo 2^64."""
        signed = matrix.view(np.int64)
        first = signed[:, 0]
        count, times = matrix.shape
        attributes = np.zeros(count, np.uint8)
        widths = np.zeros(count, np.int64)
        lanes = np.zeros((8, count, 0), np.uint8)
        if times > 1:
            steps = (matrix[:, 1:] - matrix[:, :-1]).view(np.int64)
            plain = (matrix[:, 1:] - matrix[:, :1]).view(np.int64)
            flat = np.abs(plain.astype(np.float64)).sum(axis=1) < np.abs(steps.astype(np.float64)).sum(axis=1)
            chosen = np.where(flat[:, None], plain, steps)
            wide = ((chosen << 1) ^ (chosen >> 63)).view(np.uint64)
            codes = np.searchsorted(_EDGES, wide.max(axis=1), side="right")
            widths = np.array(_WIDTHS)[codes]
            attributes = (codes << 4 | np.where(flat, FROM_FIRST, 0)).astype(np.uint8)
            bytes_of = wide.astype("<u8").view(np.uint8).reshape(*wide.shape, 8)
            lanes = np.ascontiguousarray(bytes_of[:, :, : widths.max()].transpose(2, 0, 1))
        return IntegerTable(_heads(attributes, (first << 1) ^ (first >> 63)), lanes, widths)

    def planes(self, column: int) -> list[bytes]:
        """Of one column."""
        return [self.lanes[level, column].tobytes() for level in range(self.widths[column])]

    def plane(self, level: int, start: int, end: int) -> bytes:
        """What the columns from `start` to before `end` have on a level."""
        if level >= len(self.lanes):
            return b""
        return self.lanes[level, start:end][self.widths[start:end] > level].tobytes()


def _heads(attributes: NDArray[np.uint8], numbers: NDArray[np.int64]) -> list[bytes]:
    """Each an attribute (INTEGERS) and a varint."""
    words = numbers.view(np.uint64)[:, None] >> _SHIFTS
    there = words > 0
    there[:, 0] = True
    table = np.empty((len(attributes), 1 + len(_SHIFTS)), np.uint8)
    table[:, 0] = attributes
    table[:, 1:] = words & np.uint64(0x7F)
    table[:, 1:-1][there[:, 1:]] |= 0x80
    whole = table.tobytes()
    sizes = (1 + there.sum(axis=1)).tolist()
    width = table.shape[1]
    return [whole[at : at + size] for at, size in zip(range(0, len(whole), width), sizes, strict=True)]


def scaled(matrix: NDArray[np.float64], decimals: NDArray[np.int64]) -> tuple[NDArray[np.int64], Flags]:
    """Columns of doubles as integers / 10^decimals, and which columns are that exactly.

    `decimals` has an entry for each column.
    """
    scale = _POWERS[decimals][:, None]
    with np.errstate(all="ignore"):
        whole = np.rint(matrix * scale)
        fits = (whole / scale == matrix) & (np.abs(whole) <= float(_EXACT))
        fits &= ~(np.signbit(matrix) & (matrix == 0))
        return np.where(fits, whole, 0.0).astype(np.int64), fits.all(axis=1)


def column(values: Sequence[Value], decimals: int | None, *, unsigned: bool = False) -> Packed:
    """Any values: None, numbers, bools, texts. `decimals`: of doubles that may be integers / 10^decimals.

    `unsigned`: who reads integers takes them as that.
    """
    present = [value for value in values if value is not None]
    packed = _present(present, decimals, unsigned=unsigned)
    if len(present) == len(values):
        return packed
    flags = np.packbits(np.array([value is not None for value in values]), bitorder="little").tobytes()
    return Packed(bytes((packed.head[0] | GAPS,)) + flags + packed.head[1:], packed.planes)


def with_quality(packed: Packed, quality: Sequence[int] | None) -> Packed:
    """The column with its quality, where not all of it is good."""
    if quality is None or not any(quality):
        return packed
    runs = [(len(list(run)), code) for code, run in groupby(quality)]
    words = varint(len(runs)) + b"".join(varint(count) + bytes((code,)) for count, code in runs)
    return Packed(bytes((packed.head[0] | QUALITY,)) + words + packed.head[1:], packed.planes)


@dataclass(frozen=True, slots=True)
class PackedTable:
    """As IntegerTable, of columns that were packed each alone."""

    columns: Sequence[Packed]

    @property
    def heads(self) -> list[bytes]:
        """Of all columns."""
        return [column.head for column in self.columns]

    def plane(self, level: int, start: int, end: int) -> bytes:
        """What the columns from `start` to before `end` have on a level."""
        return b"".join(c.planes[level] for c in self.columns[start:end] if level < len(c.planes))


def number_table(lists: Sequence[Sequence[Value]]) -> IntegerTable | PackedTable:
    """Columns of statistics, of one length: integers (of doubles' precision) together, or each alone."""
    whole = np.array(lists) if all(set(map(type, values)) <= {int} for values in lists) else np.zeros(0)
    if whole.dtype == np.int64 and whole.min() >= -_EXACT and whole.max() <= _EXACT:
        return IntegerTable.of(whole.view(np.uint64))
    return PackedTable(_number_columns(lists))


def _number_columns(lists: Sequence[Sequence[Value]]) -> list[Packed]:
    """Those of integers (of doubles' precision) together, the others each alone."""
    alike: dict[int, list[int]] = {}
    for i, values in enumerate(lists):
        if set(map(type, values)) == {int} and _exact(values):  # type: ignore[arg-type]  # ints
            alike.setdefault(len(values), []).append(i)
    found: dict[int, Packed] = {}
    for members in alike.values():
        found |= zip(members, integers([lists[i] for i in members]), strict=True)  # type: ignore[misc]  # ints
    return [found[i] if i in found else column(values, None) for i, values in enumerate(lists)]


def _exact(numbers: Sequence[int]) -> bool:
    return min(numbers) >= -_EXACT and max(numbers) <= _EXACT


def _present(values: Sequence[Value], decimals: int | None, *, unsigned: bool) -> Packed:
    types = set(map(type, values))
    if decimals is not None and types <= {float} and values:
        whole, fits = scaled(np.array([values], np.float64), np.array([decimals]))
        if fits[0]:
            return integer_matrix(whole.view(np.uint64))[0]
    if types <= {int, bool}:
        numbers: list[int] = [int(value) for value in values]  # type: ignore[arg-type]  # by their types
        low, high = (0, 1 << 64) if unsigned else (-(1 << 63), 1 << 63)
        if all(low <= number < high for number in numbers):
            return integers([numbers])[0]
        values, types = [str(number) for number in numbers], {str}
    if types <= {str}:
        texts = [value.encode() for value in values if isinstance(value, str)]
        return Packed(bytes((TEXTS,)) + b"".join(varint(len(text)) + text for text in texts))
    doubles: list[float] = [float(value) for value in values]  # type: ignore[arg-type]  # no texts among them
    lanes = np.frombuffer(struct.pack(f"<{len(doubles)}d", *doubles), np.uint8).reshape(-1, 8)
    return Packed(bytes((DOUBLES | 3 << 4,)), [lanes[:, at].tobytes() for at in range(8)])
