"""Samples as arrays: what waits to be sealed and what a query reads, eight bytes a number and no objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from headgate.columns import Columns, Rows
from headgate.model import Kind, Series, Value

Times = NDArray[np.int64]
Flags = NDArray[np.bool_]
Codes = NDArray[np.uint8]
Values = (
    NDArray[np.float64] | NDArray[np.int64] | NDArray[np.uint64] | NDArray[np.bool_] | NDArray[np.object_]
)
"""Of one kind: f64, i64, u64, bool, or texts as objects."""

DTYPES: Mapping[Kind, np.dtype[np.generic]] = {
    "f64": np.dtype(np.float64),
    "i64": np.dtype(np.int64),
    "u64": np.dtype(np.uint64),
    "bool": np.dtype(np.bool_),
    "text": np.dtype(np.object_),
}
_NOTHING: Mapping[Kind, float | int | str] = {"f64": 0.0, "i64": 0, "u64": 0, "bool": False, "text": ""}


@dataclass(frozen=True, slots=True)
class Shape:
    """Series that are read together, and which of them are of each kind."""

    series: tuple[Series, ...]
    places: Mapping[Kind, tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        places: dict[Kind, list[int]] = {}
        for i, series in enumerate(self.series):
            places.setdefault(series.kind, []).append(i)
        object.__setattr__(self, "places", {kind: tuple(found) for kind, found in places.items()})


@dataclass(frozen=True, slots=True)
class Line:
    """One series: `values[i]` at `times_ms[i]` where `present[i]` (None: everywhere); no `quality`: all good.

    `values` has the type of the series' kind; where nothing is present it holds no meaning.
    """

    series: Series
    times_ms: Times
    values: Values
    present: Flags | None = None
    quality: Codes | None = None

    def __len__(self) -> int:
        """How many samples, those without a value included."""
        return len(self.times_ms)

    def picked(self, rows: slice | Flags | NDArray[np.intp], times_ms: Times | None = None) -> Line:
        """Only these rows, in their order; `times_ms`: their times, where somebody has them already."""
        return Line(
            self.series,
            self.times_ms[rows] if times_ms is None else times_ms,
            self.values[rows],
            None if self.present is None else self.present[rows],
            None if self.quality is None else self.quality[rows],
        )

    def value_list(self) -> list[Value]:
        """The values as Python has them, None where there is none."""
        found: list[Value] = self.values.tolist()
        if self.present is not None:
            for i in np.flatnonzero(~self.present).tolist():
                found[i] = None
        return found

    def quality_list(self) -> list[int]:
        """The quality codes."""
        return [0] * len(self) if self.quality is None else self.quality.tolist()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of a shape over shared times, in the order of acquisition.

    `values[kind]` and `present[kind]` are [series of the kind, time]; no entry in `present`: no gaps.
    `quality` is [series, time]; None: all good.
    """

    shape: Shape
    times_ms: Times
    values: Mapping[Kind, Values]
    present: Mapping[Kind, Flags]
    quality: Codes | None

    def __len__(self) -> int:
        """How many samples."""
        return len(self.shape.series) * len(self.times_ms)

    def lines(self, wanted: Collection[int] | None = None) -> Iterator[Line]:
        """The series at these places, or all."""
        for kind, places in self.shape.places.items():
            present = self.present.get(kind)
            for row, place in enumerate(places):
                if wanted is None or place in wanted:
                    yield Line(
                        self.shape.series[place],
                        self.times_ms,
                        self.values[kind][row],
                        None if present is None else present[row],
                        None if self.quality is None else self.quality[place],
                    )

    def picked(self, rows: Flags) -> Stretch:
        """Only these rows, of every series."""
        return Stretch(
            self.shape,
            self.times_ms[rows],
            {kind: values[:, rows] for kind, values in self.values.items()},
            {kind: flags[:, rows] for kind, flags in self.present.items()},
            None if self.quality is None else self.quality[:, rows],
        )


def from_columns(group: Sequence[Columns], shape: Shape) -> Stretch:
    """Columns of a shape after each other. Their values fit their series' kinds (`headgate.columns`)."""
    rows = [columns.values for columns in group if isinstance(columns.values, Rows)]
    if len(rows) == len(group):
        return _of_rows(group, rows, shape)
    if any(len(columns.times_ms) > 1 for columns in group):
        return joined([_stretch([columns], shape) for columns in group])
    return _stretch(group, shape)


def _of_rows(group: Sequence[Columns], rows: Sequence[Rows], shape: Shape) -> Stretch:
    flat = np.frombuffer(b"".join(row for part in rows for row in part.packed), np.uint64)
    bits = flat.reshape(-1, len(shape.series)).T
    values: dict[Kind, Values] = {}
    for kind, places in shape.places.items():
        found: NDArray[np.uint64] = np.ascontiguousarray(bits[list(places)])
        values[kind] = found.view(DTYPES[kind])
    times = np.array([t for columns in group for t in columns.times_ms], np.int64)
    return Stretch(shape, times, values, {}, _qualities(group, len(shape.series)))


def _stretch(group: Sequence[Columns], shape: Shape) -> Stretch:
    """One of any length, or several of one time each."""
    values: dict[Kind, Values] = {}
    present: dict[Kind, Flags] = {}
    for kind, places in shape.places.items():
        if len(group) == 1:
            found, gaps = _matrix(kind, [group[0].values[i] for i in places])
        elif len(places) == len(shape.series):
            flat = list(chain.from_iterable(chain.from_iterable(columns.values for columns in group)))
            found, gaps = _transposed(kind, flat, len(places))
        else:
            flat = [columns.values[i][0] for columns in group for i in places]
            found, gaps = _transposed(kind, flat, len(places))
        values[kind] = found
        if gaps is not None:
            present[kind] = gaps
    times = np.array([t for columns in group for t in columns.times_ms], np.int64)
    return Stretch(shape, times, values, present, _qualities(group, len(shape.series)))


def _transposed(kind: Kind, flat: Sequence[Value], width: int) -> tuple[Values, Flags | None]:
    found, gaps = _matrix(kind, [flat])
    turned = found.reshape(-1, width).T
    return turned, None if gaps is None else gaps.reshape(-1, width).T


def _qualities(group: Sequence[Columns], width: int) -> Codes | None:
    if not any(any(columns.quality) for columns in group):
        return None
    parts = []
    for columns in group:
        good = bytes(len(columns.times_ms))
        flat = b"".join(codes or good for codes in columns.quality)
        parts.append(np.frombuffer(flat, np.uint8).reshape(width, -1))
    return np.concatenate(parts, axis=1)


def joined(parts: Sequence[Stretch]) -> Stretch:
    """Stretches of one shape after each other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    values: dict[Kind, Values] = {}
    present: dict[Kind, Flags] = {}
    for kind in first.values:
        values[kind] = np.concatenate([part.values[kind] for part in parts], axis=1)
        if any(kind in part.present for part in parts):
            flags = [
                _all_true(part.values[kind]) if kind not in part.present else part.present[kind]
                for part in parts
            ]
            present[kind] = np.concatenate(flags, axis=1)
    quality = None
    if any(part.quality is not None for part in parts):
        width = len(first.shape.series)
        codes = [
            np.zeros((width, len(part.times_ms)), np.uint8) if part.quality is None else part.quality
            for part in parts
        ]
        quality = np.concatenate(codes, axis=1)
    return Stretch(first.shape, np.concatenate([part.times_ms for part in parts]), values, present, quality)


def joined_lines(parts: Sequence[Line], times_ms: Times) -> Line:
    """Lines of one series after each other, whose times all together are these."""
    first = parts[0]
    if len(parts) == 1:
        return first
    present, quality = None, None
    if any(part.present is not None for part in parts):
        present = np.concatenate(
            [np.ones(len(part), np.bool_) if part.present is None else part.present for part in parts]
        )
    if any(part.quality is not None for part in parts):
        quality = np.concatenate(
            [np.zeros(len(part), np.uint8) if part.quality is None else part.quality for part in parts]
        )
    values = np.concatenate([part.values for part in parts])
    return Line(first.series, times_ms, values, present, quality)


def line_of(series: Series, times_ms: Times, values: Sequence[Value], quality: Codes | None) -> Line:
    """A line from Python's values."""
    (row,), gaps = _matrix(series.kind, [values])
    return Line(series, times_ms, row, None if gaps is None else gaps[0], quality)


def _matrix(kind: Kind, rows: Sequence[Sequence[Value]]) -> tuple[Values, Flags | None]:
    """Rows of a kind as one array, and where there is a value, unless that is everywhere."""
    dtype = DTYPES[kind]
    if kind == "f64":
        found = np.array(rows, np.float64)
        if not np.isnan(found).any():  # None becomes NaN
            return found, None
    elif not any(None in row for row in rows):
        return np.array(rows, dtype), None
    flags = np.array([[value is not None for value in row] for row in rows], np.bool_)
    nothing = _NOTHING[kind]
    filled = [[nothing if value is None else value for value in row] for row in rows]
    return np.array(filled, dtype), None if flags.all() else flags


def _all_true(like: Values) -> Flags:
    return np.ones(like.shape, np.bool_)
