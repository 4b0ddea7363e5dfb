"""Samples as columns: the form in which windows, envelopes and blocks take what a batch brought."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import overload

from headgate.errors import Reject
from headgate.model import Batch, Frame, Kind, Quality, Series, Value

MAX_UTC_MS = 4_102_444_800_000
"""2100-01-01: a later time is a wrong offset, not a sample."""
MAX_TEXT_BYTES = 1_800
"""Of one text as JSON: an envelope carries it twice (as value and as `last`) within 5,120 B."""

_ALLOWED: Mapping[Kind, frozenset[type]] = {
    "f64": frozenset({float, NoneType}),
    "i64": frozenset({int, NoneType}),
    "u64": frozenset({int, NoneType}),
    "bool": frozenset(),
    "text": frozenset(),
}
_RANGE = {"i64": (-(1 << 63), (1 << 63) - 1), "u64": (0, (1 << 64) - 1)}
_PLAIN: Mapping[Kind, tuple[str, type]] = {"f64": ("d", float), "i64": ("q", int), "u64": ("Q", int)}
"""Kinds whose values are 64 bits of memory: as `struct` names them, and as Python has them."""


class Rows(Sequence[Sequence[Value]]):
    """Columns without gaps, kept as rows: of each time the 64 bits of every value, one after the other.

    `form` says what they are (`d`, `q`, `Q`). A column becomes Python's values when it is first asked for.
    """

    __slots__ = ("_columns", "form", "packed")

    def __init__(self, form: struct.Struct, packed: Sequence[bytes]) -> None:
        self.form = form
        self.packed = packed
        self._columns: list[tuple[Value, ...]] | None = None

    def __len__(self) -> int:
        return self.form.size // 8

    @overload
    def __getitem__(self, at: int) -> Sequence[Value]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Sequence[Value]]: ...
    def __getitem__(self, at: int | slice) -> Sequence[Value] | Sequence[Sequence[Value]]:
        if self._columns is None:
            self._columns = list(zip(*map(self.form.unpack, self.packed), strict=True))
        return self._columns[at]


class SeriesTuple(tuple[Series, ...]):
    """The series of a shape: a key that hashes them only once."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash


@dataclass(frozen=True, slots=True)
class Columns:
    """Series over one shared column of UTC times: `values[i][j]` is `series[i]` at `times_ms[j]`.

    Times are in the order of acquisition. Values fit their series' kind: floats for f64, ints for i64 and
    u64, bools, texts; None where there is none. `quality[i]` is parallel to `values[i]`, or None: all good.
    """

    series: tuple[Series, ...]
    times_ms: Sequence[int]
    values: Sequence[Sequence[Value]]
    quality: Sequence[bytes | None]

    def __len__(self) -> int:
        """How many samples."""
        return len(self.series) * len(self.times_ms)


def from_batch(batch: Batch, table: Sequence[Series]) -> tuple[list[Columns], int]:
    """The batch's frames as columns, one group per shape, and how many values did not fit their kind.

    A value that does not fit becomes None with quality bad_value. Raises Reject for a series index that the
    table does not have and for a time outside 1970..2100.
    """
    shapes: dict[Sequence[int], list[Frame]] = {}
    for frame in batch.frames:
        shapes.setdefault(tuple(frame.series), []).append(frame)
    groups: list[Columns] = []
    unfit = 0
    for indexes, frames in shapes.items():
        shape = _shape_of(batch, indexes, table)
        times = [frame.boot_ms + batch.utc_offset_ms for frame in frames]
        if min(times) < 0 or max(times) > MAX_UTC_MS:
            raise Reject(
                f"batch {batch.bridge}/{batch.run_id:016x}/{batch.seq}: times {min(times)}..{max(times)} ms "
                "are outside 1970..2100"
            )
        qualities = _qualities(frames, len(indexes))
        rows = shape.rows([frame.values for frame in frames])
        if rows is not None:
            groups.append(Columns(shape.series, times, rows, qualities))
            continue
        values: list[Sequence[Value]] = []
        for i, column in enumerate(zip(*(frame.values for frame in frames), strict=True)):
            fitted, bad = _fit(column, shape.series[i].kind)
            values.append(fitted)
            if bad:
                unfit += len(bad)
                qualities[i] = _marked(qualities[i], len(column), bad)
        groups.append(Columns(shape.series, times, values, qualities))
    return groups, unfit


class _Shape:
    """What is known of frames with the same series of one table."""

    def __init__(self, table: Sequence[Series], indexes: Sequence[int]) -> None:
        self.table = table
        self.series = SeriesTuple(table[i] for i in indexes)
        plain = [_PLAIN[series.kind] for series in self.series if series.kind in _PLAIN]
        self._form: struct.Struct | None = None
        if len(plain) == len(self.series):
            self._form = struct.Struct("=" + "".join(tag for tag, _ in plain))
        self._types = tuple(kind for _, kind in plain)

    def rows(self, frames: Sequence[Sequence[Value]]) -> Rows | None:
        """Their values as they lie in memory, where every one is there and fits its kind."""
        if self._form is None or any(tuple(map(type, values)) != self._types for values in frames):
            return None
        try:
            return Rows(self._form, [self._form.pack(*values) for values in frames])
        except struct.error:  # an integer that its kind does not hold
            return None


_MAX_KNOWN = 4_096
_known: dict[tuple[bytes, Sequence[int]], _Shape] = {}


def _shape_of(batch: Batch, indexes: Sequence[int], table: Sequence[Series]) -> _Shape:
    """One object for the same series, by which others know them again."""
    key = (batch.dictionary, indexes)
    found = _known.get(key)
    if found is None or found.table is not table:
        if max(indexes) >= len(table):
            raise Reject(
                f"batch {batch.bridge}/{batch.run_id:016x}/{batch.seq}: series {max(indexes)} of a "
                f"dictionary of {len(table)}"
            )
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        found = _known[key] = _Shape(table, indexes)
    return found


def merged(groups: Iterable[Columns]) -> list[Columns]:
    """Columns of one shape after each other become one, in the order of acquisition."""
    shapes: dict[tuple[Series, ...], list[Columns]] = {}
    for columns in groups:
        shapes.setdefault(columns.series, []).append(columns)
    return [_joined(parts) for parts in shapes.values()]


def picked(columns: Columns, rows: Sequence[int]) -> Columns:
    """Only the given rows (times), of every series."""
    return Columns(
        columns.series,
        [columns.times_ms[i] for i in rows],
        [[values[i] for i in rows] for values in columns.values],
        [None if quality is None else bytes(quality[i] for i in rows) for quality in columns.quality],
    )


def _joined(parts: Sequence[Columns]) -> Columns:
    first = parts[0]
    if len(parts) == 1:
        return first
    width = len(first.series)
    quality: list[bytes | None] = [None] * width
    if any(any(part.quality) for part in parts):
        for i in range(width):
            runs = [part.quality[i] or bytes(len(part.times_ms)) for part in parts]
            flat = b"".join(runs)
            quality[i] = flat if any(flat) else None
    values: Sequence[Sequence[Value]]
    rows = [part.values for part in parts if isinstance(part.values, Rows)]
    if len(rows) == len(parts):
        values = Rows(rows[0].form, [row for part in rows for row in part.packed])
    else:
        values = [[value for part in parts for value in part.values[i]] for i in range(width)]
    return Columns(first.series, [t for part in parts for t in part.times_ms], values, quality)


def sliced(columns: Columns, start: int, end: int) -> Columns:
    """Only the times from `start` to before `end`, of every series."""
    if start == 0 and end >= len(columns.times_ms):
        return columns
    part = slice(start, end)
    values: Sequence[Sequence[Value]]
    if isinstance(columns.values, Rows):
        values = Rows(columns.values.form, columns.values.packed[part])
    else:
        values = [column[part] for column in columns.values]
    quality = [None if codes is None else codes[part] for codes in columns.quality]
    return Columns(columns.series, columns.times_ms[part], values, quality)


def _qualities(frames: Sequence[Frame], width: int) -> list[bytes | None]:
    if not any(any(frame.quality) for frame in frames):
        return [None] * width
    rows = [bytes(frame.quality) or bytes(width) for frame in frames]
    flat = b"".join(rows)
    return [column if any(column) else None for column in (flat[i::width] for i in range(width))]


def _marked(quality: bytes | None, length: int, bad: Sequence[int]) -> bytes:
    marked = bytearray(quality or bytes(length))
    for i in bad:
        marked[i] = Quality.BAD_VALUE
    return bytes(marked)


def _fit(column: Sequence[Value], kind: Kind) -> tuple[Sequence[Value], Sequence[int]]:
    """The column with every value of the kind's type, and the places of those that could not be."""
    types = set(map(type, column))
    if types <= _ALLOWED[kind]:
        if kind == "f64":
            return column, ()
        low, high = _RANGE[kind]
        numbers = [value for value in column if isinstance(value, int)]
        if not numbers or (min(numbers) >= low and max(numbers) <= high):
            return column, ()
    fitted = [_fit_one(value, kind) for value in column]
    return fitted, [i for i, value in enumerate(fitted) if value is None and column[i] is not None]


def _fit_one(value: Value, kind: Kind) -> Value:
    """The value as its kind wants it; None when it is none of that kind."""
    match kind:
        case "f64":
            return _as_float(value)
        case "bool":
            return bool(value) if value in (0, 1) else None
        case "text":
            return value if isinstance(value, str) and _text_fits(value) else None
        case _:
            low, high = _RANGE[kind]
            return int(value) if isinstance(value, int) and low <= value <= high else None


def _as_float(value: Value) -> float | None:
    if value is None or isinstance(value, str):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isnan(number) or number == value else None


def _text_fits(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: no text that could be stored or sent
        return False
    return len(json.dumps(text)) <= MAX_TEXT_BYTES
