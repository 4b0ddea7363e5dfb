"""The values of a record of batches: rows of shapes whose columns are of the same classes in one matrix."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headgate.errors import Reject
from headgate.model import Value
from headgate.store.planes import Reader, read_plane, varint, write_plane
from headgate.store.scale import MAX_DECIMALS, POWERS, scaled, unscaled

Rows = Sequence[Sequence[Value]]
U64 = NDArray[np.uint64]

SCALED = "abcdefghijklmnop"
"""A column of integers / 10^n, the n-th letter from `a` = 0."""
BITS, INTEGERS, NOTHING, JSON = "R", "I", "N", "J"
_CLASS = dict.fromkeys(SCALED, "s")
_I64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of a shape are written: indexes of series in their table, and a code for each column."""

    series: tuple[int, ...]
    codes: str
    family: str = field(init=False)
    decimals: list[int] = field(init=False)
    head: bytes = field(init=False)

    def __post_init__(self) -> None:
        scales = [SCALED.index(code) for code in self.codes if code in SCALED]
        object.__setattr__(self, "family", "".join(_CLASS.get(code, code) for code in self.codes))
        object.__setattr__(self, "decimals", scales)
        object.__setattr__(self, "head", self._head())

    @classmethod
    def of(cls, series: tuple[int, ...], types: Sequence[type], hints: Sequence[int | None]) -> Form:
        """The form for values of these types, where floats of series with decimals may be integers."""
        return cls(series, "".join(_code(kind, hint) for kind, hint in zip(types, hints, strict=True)))

    def changed(self, codes: Mapping[int, str]) -> Form:
        """With other codes at some places."""
        return Form(self.series, "".join(codes.get(i, code) for i, code in enumerate(self.codes)))

    def places(self, kind: str) -> list[int]:
        """The columns of a class."""
        return [i for i, found in enumerate(self.family) if found == kind]

    def _head(self) -> bytes:
        runs = list(_runs(self.series))
        out = bytearray(varint(len(runs)))
        for first, count in runs:
            out += varint(first) + varint(count)
        for code, same in itertools.groupby(self.codes):
            out += code.encode() + varint(sum(1 for _ in same))
        return bytes(out)


def read_form(reader: Reader) -> Form:
    """What `Form.head` wrote. Raises Reject."""
    series: list[int] = []
    for _ in range(reader.count()):
        first, count = reader.varint(), reader.count()
        series += range(first, first + count)
    codes = ""
    while len(codes) < len(series):
        code = chr(reader.u8())
        codes += code * min(reader.varint(), len(series) + 1)
        if code not in SCALED and code not in (BITS, INTEGERS, NOTHING, JSON):
            raise Reject(f"columns of unknown code {code!r}")
    if len(codes) != len(series):
        raise Reject(f"{len(codes)} columns for {len(series)} series")
    return Form(tuple(series), codes)


def write_rows(out: bytearray, forms: Sequence[Form], rows: Sequence[Rows]) -> dict[int, dict[int, str]]:
    """Rows of each form, family by family. Where values do not fit, which codes of which form are to change;
    then what was written is of no use.
    """
    misfits: dict[int, dict[int, str]] = {}
    for family, members in _families(forms).items():
        first = _firsts([len(rows[at]) for at in members])
        flat = [row for at in members for row in rows[at]]
        for kind in sorted(set(family)):
            places = forms[members[0]].places(kind)
            part = flat if len(places) == len(family) else [[row[i] for i in places] for row in flat]
            wrong: NDArray[np.bool_] | None = None
            match kind:
                case "s":
                    powers = _powers(forms, members, rows)
                    numbers, same = scaled(np.array(part, np.float64), powers)
                    wrong = None if same.all() else ~same
                    _write_matrix(out, numbers.view(np.uint64), first)
                    instead = BITS
                case "R":
                    _write_matrix(out, np.array(part, np.float64).view(np.uint64), first)
                case "I":
                    try:
                        _write_matrix(out, np.array(part, np.int64).view(np.uint64), first)
                    except OverflowError:
                        wrong = np.array([[value not in _I64 for value in row] for row in part])
                        instead = JSON
                case "J":
                    text = json.dumps(part, separators=(",", ":")).encode()
                    out += varint(len(text))
                    write_plane(out, text)
            if wrong is not None:
                starts = np.flatnonzero(first).tolist()
                for at, found in zip(members, np.logical_or.reduceat(wrong, starts, axis=0), strict=True):
                    changes = {places[i]: instead for i in np.flatnonzero(found).tolist()}
                    if changes:
                        misfits.setdefault(at, {}).update(changes)
    return misfits


def read_rows(reader: Reader, forms: Sequence[Form], which: Sequence[int]) -> list[list[tuple[Value, ...]]]:
    """The rows of each form; `which` has the form of each row. Raises Reject."""
    counts = np.bincount(np.array(which, np.intp), minlength=len(forms)).tolist()
    found: list[list[tuple[Value, ...]]] = [[] for _ in forms]
    for family, members in _families(forms).items():
        sizes = [counts[at] for at in members]
        columns: dict[int, Iterable[Value]] = {}
        for kind in sorted(set(family)):
            places = forms[members[0]].places(kind)
            part = _read_class(reader, kind, len(places), forms, members, sizes)
            columns |= zip(places, zip(*part, strict=True), strict=True)
        flat = list(zip(*(columns[i] for i in range(len(family))), strict=True))
        start = 0
        for at, size in zip(members, sizes, strict=True):
            found[at] = flat[start : start + size]
            start += size
    return found


def _read_class(
    reader: Reader, kind: str, width: int, forms: Sequence[Form], members: Sequence[int], sizes: Sequence[int]
) -> Sequence[Sequence[Value]]:
    total = sum(sizes)
    if kind == NOTHING:
        return [(None,) * width] * total
    if kind == JSON:
        found = json.loads(bytes(read_plane(reader, reader.count())))
        if not isinstance(found, list) or len(found) != total or any(len(row) != width for row in found):
            raise Reject(f"not {total} rows of {width} values")
        return found
    numbers = _read_matrix(reader, sizes, width)
    if kind == INTEGERS:
        integers: list[list[Value]] = numbers.view(np.int64).tolist()
        return integers
    if kind == BITS:
        doubles: list[list[Value]] = numbers.view(np.float64).tolist()
        return doubles
    powers = np.repeat(POWERS[[forms[at].decimals for at in members]], sizes, axis=0)
    values: list[list[Value]] = unscaled(numbers.view(np.int64), powers).tolist()
    return values


def _powers(forms: Sequence[Form], members: Sequence[int], rows: Sequence[Rows]) -> NDArray[np.float64]:
    return np.repeat(
        POWERS[[forms[at].decimals for at in members]], [len(rows[at]) for at in members], axis=0
    )


def _families(forms: Sequence[Form]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, form in enumerate(forms):
        found.setdefault(form.family, []).append(at)
    return found


def _firsts(counts: Sequence[int]) -> NDArray[np.bool_]:
    first = np.zeros(sum(counts), np.bool_)
    first[np.cumsum([0, *counts[:-1]])] = True
    return first


def _write_matrix(out: bytearray, numbers: U64, first: NDArray[np.bool_]) -> None:
    """First rows as they are, others as differences from the row before."""
    _write_zigzag(out, numbers[first])
    if len(first) > int(first.sum()):
        _write_zigzag(out, np.diff(numbers, axis=0)[~first[1:]])


def _read_matrix(reader: Reader, counts: Sequence[int], width: int) -> U64:
    first = _firsts(counts)
    numbers = np.empty((len(first), width), np.uint64)
    starts = np.flatnonzero(first)
    numbers[first] = _read_zigzag(reader, len(starts), width)
    if len(first) > len(starts):
        numbers[~first] = _read_zigzag(reader, len(first) - len(starts), width)
    for start, count in zip(starts.tolist(), counts, strict=True):
        if count > 1:
            part = numbers[start : start + count]
            np.cumsum(part, axis=0, out=part)
    return numbers


def _write_zigzag(out: bytearray, rows: U64) -> None:
    signs = (rows.view(np.int64) >> 63).view(np.uint64)
    folded = ((rows << np.uint64(1)) ^ signs).astype("<u8", copy=False)
    width = (int(folded.max()).bit_length() + 7) // 8
    out.append(width)
    planes = np.ascontiguousarray(folded).view(np.uint8).reshape(-1, 8)
    for plane in range(width):
        write_plane(out, planes[:, plane].tobytes())


def _read_zigzag(reader: Reader, count: int, columns: int) -> U64:
    width = reader.u8()
    if width > 8:
        raise Reject(f"numbers of {width} B")
    planes = np.zeros((count * columns, 8), np.uint8)
    for plane in range(width):
        planes[:, plane] = np.frombuffer(read_plane(reader, count * columns), np.uint8)
    folded = planes.view("<u8").reshape(count, columns).astype(np.uint64)
    return (folded >> np.uint64(1)) ^ (np.uint64(0) - (folded & np.uint64(1)))


def _code(kind: type, hint: int | None) -> str:
    if kind is float:
        return BITS if hint is None or hint > MAX_DECIMALS else SCALED[hint]
    if kind is int:
        return INTEGERS
    return NOTHING if kind is type(None) else JSON


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of consecutive numbers as (first, count)."""
    first, count = numbers[0], 1
    for number in numbers[1:]:
        if number == first + count:
            count += 1
        else:
            yield first, count
            first, count = number, 1
    yield first, count
