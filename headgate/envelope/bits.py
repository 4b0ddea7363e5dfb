"""Columns of codec compact: what is regular in them apart from the rest, in planes of bytes. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from headgate.envelope.header import varint, zigzag
from headgate.model import Value

INTEGERS, DOUBLES, TEXTS = 0, 1, 2
"""The low two bits of a column's first byte: what its values are."""
GAPS, QUALITY, FROM_FIRST = 4, 8, 0x80
"""Further bits: not all have values; not all are good; integers are differences from the first one alone."""
_WIDTHS = (1, 2, 4, 8)
LEVEL = 6
_MASK = (1 << 64) - 1
_EXACT = 1 << 53


@dataclass(frozen=True, slots=True)
class Packed:
    """A column: its `head`, and the bytes of its values, the lowest plane first."""

    head: bytes
    planes: Sequence[bytes] = ()


def deflated(heads: Iterable[bytes], columns: Iterable[Packed]) -> bytes:
    """A body: all heads, then of all columns the lowest bytes, the second lowest ...; one deflate stream."""
    columns = list(columns)
    head = b"".join(heads)
    planes = [column.planes[at] for at in range(8) for column in columns if at < len(column.planes)]
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
    signed = matrix.view(np.int64)
    heads = [zigzag(first) for first in signed[:, 0].tolist()]
    if matrix.shape[1] == 1:
        return [Packed(bytes((INTEGERS,)) + head) for head in heads]
    steps = (matrix[:, 1:] - matrix[:, :-1]).view(np.int64)
    plain = (matrix[:, 1:] - matrix[:, :1]).view(np.int64)
    flat = np.abs(plain.astype(np.float64)).sum(axis=1) < np.abs(steps.astype(np.float64)).sum(axis=1)
    chosen = np.where(flat[:, None], plain, steps)
    wide = ((chosen << 1) ^ (chosen >> 63)).view(np.uint64)
    most = wide.max(axis=1).tolist()
    lanes = np.ascontiguousarray(wide.astype("<u8").view(np.uint8).reshape(*wide.shape, 8).transpose(2, 0, 1))
    out = []
    for i, (head, top, is_flat) in enumerate(zip(heads, most, flat.tolist(), strict=True)):
        code = _width(top)
        attribute = INTEGERS | code << 4 | (FROM_FIRST if is_flat else 0)
        planes = [lanes[at, i].tobytes() for at in range(_WIDTHS[code])]
        out.append(Packed(bytes((attribute,)) + head, planes))
    return out


def scaled_matrix(rows: Sequence[Sequence[Value]], decimals: int) -> list[Packed | None]:
    """Columns of doubles without gaps that are integers / 10^decimals; None for each that is not exactly."""
    matrix = np.array(rows, dtype=np.float64)
    scale = float(10**decimals)
    with np.errstate(all="ignore"):
        whole = np.rint(matrix * scale)
        fits = (whole / scale == matrix) & (np.abs(whole) <= float(1 << 53))
        fits &= ~(np.signbit(matrix) & (matrix == 0))
        sound = fits.all(axis=1)
    packed = iter(integer_matrix(whole[sound].astype(np.int64).view(np.uint64)) if sound.any() else ())
    return [next(packed) if fit else None for fit in sound.tolist()]


def column(values: Sequence[Value], decimals: int | None, *, unsigned: bool = False) -> Packed:
    """Any values: None, numbers, bools, texts. `decimals`: of doubles that may be integers / 10^decimals.

    `unsigned`: who reads integers takes them as that.
    """
    present = [value for value in values if value is not None]
    packed = _present(present, decimals, unsigned=unsigned)
    if len(present) == len(values):
        return packed
    bits = np.packbits(np.array([value is not None for value in values]), bitorder="little").tobytes()
    return Packed(bytes((packed.head[0] | GAPS,)) + bits + packed.head[1:], packed.planes)


def with_quality(packed: Packed, quality: Sequence[int] | None) -> Packed:
    """The column with its quality, where not all of it is good."""
    if quality is None or not any(quality):
        return packed
    runs = [(len(list(run)), code) for code, run in groupby(quality)]
    words = varint(len(runs)) + b"".join(varint(count) + bytes((code,)) for count, code in runs)
    return Packed(bytes((packed.head[0] | QUALITY,)) + words + packed.head[1:], packed.planes)


def number_columns(lists: Sequence[Sequence[Value]]) -> list[Packed]:
    """Columns of statistics: those of integers (of doubles' precision) together, the others each alone."""
    alike: dict[int, list[int]] = {}
    for i, values in enumerate(lists):
        if set(map(type, values)) == {int} and _exact(values):
            alike.setdefault(len(values), []).append(i)
    found: dict[int, Packed] = {}
    for members in alike.values():
        found |= zip(members, integers([lists[i] for i in members]), strict=True)  # type: ignore[misc]  # ints
    return [found[i] if i in found else column(values, None) for i, values in enumerate(lists)]


def _exact(values: Sequence[Value]) -> bool:
    return all(-_EXACT <= value <= _EXACT for value in values if isinstance(value, int))


def _present(values: Sequence[Value], decimals: int | None, *, unsigned: bool) -> Packed:
    types = set(map(type, values))
    if decimals is not None and types <= {float} and values:
        (found,) = scaled_matrix([values], decimals)
        if found is not None:
            return found
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
    whole = np.frombuffer(struct.pack(f"<{len(doubles)}d", *doubles), np.uint8).reshape(-1, 8)
    return Packed(bytes((DOUBLES | 3 << 4,)), [whole[:, at].tobytes() for at in range(8)])


def _width(most: int) -> int:
    return next(code for code, width in enumerate(_WIDTHS) if most < 1 << 8 * width)
