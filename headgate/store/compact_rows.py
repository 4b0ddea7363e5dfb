"""The values of a record of batches: rows of shapes whose columns are of the same classes in one matrix."""

from __future__ import annotations

import itertools
import json
from collections import Counter
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


@dataclass(slots=True)
class Memory:
    """What records go on from: the row before of each form and class of columns; what is stacked often."""

    rows: dict[tuple[int, str], U64] = field(default_factory=dict)
    powers: dict[tuple[int, ...], NDArray[np.float64]] = field(default_factory=dict)

    def before(self, columns: int, members: Sequence[int], kind: str) -> U64:
        """The row before of each form, zeros where there is none."""
        nothing = np.zeros(columns, np.uint64)
        return np.stack([self.rows.get((at, kind), nothing) for at in members])

    def powers_of(
        self, forms: Mapping[int, Form], members: Sequence[int], sizes: Sequence[int]
    ) -> NDArray[np.float64]:
        """Powers of ten for so many rows of each form."""
        key = tuple(members)
        found = self.powers.get(key)
        if found is None:
            found = self.powers[key] = np.stack([forms[at].powers for at in members])
        return found if len(found) == sum(sizes) else np.repeat(found, sizes, axis=0)


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of a shape are written: indexes of series in their table, and a code for each column."""

    series: tuple[int, ...]
    codes: str
    family: str = field(init=False)
    powers: NDArray[np.float64] = field(init=False)
    head: bytes = field(init=False)

    def __post_init__(self) -> None:
        scales = [SCALED.index(code) for code in self.codes if code in SCALED]
        object.__setattr__(self, "family", "".join(_CLASS.get(code, code) for code in self.codes))
        object.__setattr__(self, "powers", POWERS[scales])
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


def write_rows(
    out: bytearray, forms: Mapping[int, Form], rows: Sequence[Rows], memory: Memory
) -> dict[int, dict[int, str]]:
    """Rows of each form, family by family, after those in `memory`, which becomes theirs.

    Where values do not fit: which codes of which form are to change. Then what was written is of no use, and
    `memory` stays.
    """
    misfits: dict[int, dict[int, str]] = {}
    ends: dict[tuple[int, str], U64] = {}
    by_number = dict(zip(forms, rows, strict=True))
    for family, members in _families(forms).items():
        sizes = [len(by_number[at]) for at in members]
        flat = [row for at in members for row in by_number[at]]
        for kind in sorted(set(family)):
            places = forms[members[0]].places(kind)
            part = flat if len(places) == len(family) else [[row[i] for i in places] for row in flat]
            if kind == JSON:
                text = json.dumps(part, separators=(",", ":")).encode()
                out += varint(len(text))
                write_plane(out, text)
            elif kind != NOTHING:
                numbers, wrong = _numbers(
                    kind, part, memory.powers_of(forms, members, sizes) if kind == "s" else None
                )
                if wrong is not None:
                    _note(misfits, members, sizes, places, wrong, JSON if kind == INTEGERS else BITS)
                else:
                    _write_matrix(out, numbers, members, sizes, kind, memory, ends)
    if not misfits:
        memory.rows |= ends
    return misfits


def _numbers(
    kind: str, part: Rows, powers: NDArray[np.float64] | None
) -> tuple[U64, NDArray[np.bool_] | None]:
    """Rows of a class as integers, and which of the values do not fit into it, if any."""
    if powers is not None:
        found, same = scaled(np.array(part, np.float64), powers)
        return found.view(np.uint64), None if same.all() else ~same
    if kind == BITS:
        return np.array(part, np.float64).view(np.uint64), None
    try:
        return np.array(part, np.int64).view(np.uint64), None
    except OverflowError:
        wrong = [[value not in _I64 for value in row] for row in part]
        return np.zeros((0, 0), np.uint64), np.array(wrong)


def _note(
    misfits: dict[int, dict[int, str]],
    members: Sequence[int],
    sizes: Sequence[int],
    places: Sequence[int],
    wrong: NDArray[np.bool_],
    instead: str,
) -> None:
    starts = np.flatnonzero(_firsts(sizes)).tolist()
    for at, found in zip(members, np.logical_or.reduceat(wrong, starts, axis=0), strict=True):
        changes = {places[i]: instead for i in np.flatnonzero(found).tolist()}
        if changes:
            misfits.setdefault(at, {}).update(changes)


def read_rows(
    reader: Reader, forms: Sequence[Form], which: Sequence[int], memory: Memory
) -> dict[int, list[tuple[Value, ...]]]:
    """The rows of each form that has any; `which` has the form of each row. Raises Reject."""
    used = {at: forms[at] for at in dict.fromkeys(which)}
    counts = Counter(which)
    found: dict[int, list[tuple[Value, ...]]] = {}
    for family, members in _families(used).items():
        sizes = [counts[at] for at in members]
        columns: dict[int, Iterable[Value]] = {}
        for kind in sorted(set(family)):
            places = used[members[0]].places(kind)
            part = _read_class(reader, kind, len(places), used, members, sizes, memory)
            columns |= zip(places, zip(*part, strict=True), strict=True)
        flat = list(zip(*(columns[i] for i in range(len(family))), strict=True))
        start = 0
        for at, size in zip(members, sizes, strict=True):
            found[at] = flat[start : start + size]
            start += size
    return found


def _read_class(
    reader: Reader,
    kind: str,
    width: int,
    forms: Mapping[int, Form],
    members: Sequence[int],
    sizes: Sequence[int],
    memory: Memory,
) -> Rows:
    total = sum(sizes)
    if kind == NOTHING:
        return [(None,) * width] * total
    if kind == JSON:
        found = json.loads(bytes(read_plane(reader, reader.count())))
        if not isinstance(found, list) or len(found) != total or any(len(row) != width for row in found):
            raise Reject(f"not {total} rows of {width} values")
        return found
    numbers = _read_matrix(reader, width, members, sizes, kind, memory)
    if kind == INTEGERS:
        integers: list[list[Value]] = numbers.view(np.int64).tolist()
        return integers
    if kind == BITS:
        doubles: list[list[Value]] = numbers.view(np.float64).tolist()
        return doubles
    values: list[list[Value]] = unscaled(
        numbers.view(np.int64), memory.powers_of(forms, members, sizes)
    ).tolist()
    return values


def _families(forms: Mapping[int, Form]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, form in forms.items():
        found.setdefault(form.family, []).append(at)
    return found


def _firsts(counts: Sequence[int]) -> NDArray[np.bool_]:
    first = np.zeros(sum(counts), np.bool_)
    first[np.cumsum([0, *counts[:-1]])] = True
    return first


def _write_matrix(
    out: bytearray,
    numbers: U64,
    members: Sequence[int],
    sizes: Sequence[int],
    kind: str,
    memory: Memory,
    ends: dict[tuple[int, str], U64],
) -> None:
    """Rows as differences from the row of their form before; those that have none as they are."""
    before = memory.before(numbers.shape[1], members, kind)
    if len(numbers) == len(members):
        steps = numbers - before
    else:
        first = _firsts(sizes)
        steps = np.empty_like(numbers)
        steps[1:] = numbers[1:] - numbers[:-1]
        steps[first] = numbers[first] - before
    for at, end in zip(members, itertools.accumulate(sizes), strict=True):
        ends[at, kind] = numbers[end - 1]
    signs = (steps.view(np.int64) >> 63).view(np.uint64)
    folded = ((steps << np.uint64(1)) ^ signs).astype("<u8", copy=False)
    width = (int(folded.max()).bit_length() + 7) // 8
    out.append(width)
    planes = np.ascontiguousarray(folded).view(np.uint8).reshape(-1, 8)
    for plane in range(width):
        write_plane(out, planes[:, plane].tobytes())


def _read_matrix(
    reader: Reader, columns: int, members: Sequence[int], sizes: Sequence[int], kind: str, memory: Memory
) -> U64:
    total, width = sum(sizes), reader.u8()
    if width > 8:
        raise Reject(f"numbers of {width} B")
    planes = np.zeros((total * columns, 8), np.uint8)
    for plane in range(width):
        planes[:, plane] = np.frombuffer(read_plane(reader, total * columns), np.uint8)
    folded = planes.view("<u8").reshape(total, columns).astype(np.uint64)
    numbers = (folded >> np.uint64(1)) ^ (np.uint64(0) - (folded & np.uint64(1)))
    before = memory.before(columns, members, kind)
    start = 0
    for row, (at, size) in enumerate(zip(members, sizes, strict=True)):
        part = numbers[start : start + size]
        part[0] += before[row]
        np.cumsum(part, axis=0, out=part)
        memory.rows[at, kind] = part[-1].copy()
        start += size
    return numbers


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
