"""Windows turned into columns over time: integers where those are exact, what both codecs write. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from headgate.envelope.numbers import EXACT, scaled
from headgate.model import Series, Value, Window, WindowRow

STATISTICS = ("mean", "min", "max", "std", "first", "last")
"""What every window has, beside the count; an envelope may carry fewer of them, the mean always."""
ASKED = (
    ("sum", "sum"),
    ("good", "quality"),
    ("inc", "increase"),
    ("rate", "rate"),
    ("resets", "resets"),
)
"""On the wire, and in a row: what is sent plain where it was asked for."""
MAX_MORE_DIGITS = 6
MAX_WHOLE = 10**15
"""A double tells whole numbers of so many digits apart, whatever power of ten they are divided by."""
STD_DIGITS = 2
"""Of a deviation, more than of the mean."""


@dataclass(frozen=True, slots=True)
class WindowColumns:
    """Series over the same windows: `rows[series][j]` is of the window that starts at `starts_ms[j]`."""

    length_ms: int
    step_ms: int | None
    starts_ms: tuple[int, ...]
    revisions: tuple[int, ...]
    rows: Mapping[Series, Sequence[WindowRow]]

    def part(self, first: int, end: int) -> WindowColumns:
        """Only the windows from `first` up to `end`."""
        return WindowColumns(
            self.length_ms,
            self.step_ms,
            self.starts_ms[first:end],
            self.revisions[first:end],
            {series: rows[first:end] for series, rows in self.rows.items()},
        )


@dataclass(frozen=True, slots=True)
class RowColumns:
    """One series' statistics over its windows.

    `digits`: what the mean is rounded to (10^-digits), and all of STATISTICS are integers: the mean in that
    unit, std in 10^-(digits + 2), tmean as its difference from the mean, the others in 10^-decimals as their
    difference from the mean (rounded down to 10^-decimals). None: they are plain numbers.
    """

    digits: int | None
    counts: list[int]
    numbers: Mapping[str, Sequence[Value]]
    plain: Mapping[str, Sequence[Value]]
    percentiles: Mapping[str, Sequence[Value]]


def in_columns(windows: Iterable[Window]) -> Iterator[WindowColumns]:
    """Every row once; in one of the results a name stands for one series, in the order of first sight."""
    shapes: dict[tuple[int, int | None], dict[Series, list[tuple[int, int, WindowRow]]]] = {}
    for window in windows:
        lines = shapes.setdefault((window.length_ms, window.step_ms), {})
        for series, row in window.rows.items():
            lines.setdefault(series, []).append((window.start_ms, window.revision, row))
    for (length_ms, step_ms), lines in shapes.items():
        blocks: dict[tuple[tuple[int, ...], tuple[int, ...]], dict[Series, list[WindowRow]]] = {}
        for series, found in lines.items():
            found.sort(key=lambda item: item[:2])
            key = (tuple(start for start, _, _ in found), tuple(revision for _, revision, _ in found))
            blocks.setdefault(key, {})[series] = [row for _, _, row in found]
        for (starts, revisions), rows in blocks.items():
            for apart in _names_apart(rows):
                yield WindowColumns(length_ms, step_ms, starts, revisions, apart)


def columns_of(
    series: Series, rows: Sequence[WindowRow], wanted: frozenset[str], *, rounded: bool
) -> RowColumns:
    """The statistics that are `wanted` (names of STATISTICS) and all that was asked for."""
    plain = {}
    for name, attribute in ASKED:
        values = [getattr(row, attribute) for row in rows]
        if any(value is not None for value in values):
            plain[name] = values
    percentiles: dict[str, Sequence[Value]] = {}
    if any(row.percentiles for row in rows):
        each = [{f"{100 * share:.6g}": value for share, value in row.percentiles} for row in rows]
        for percent in dict.fromkeys(percent for row in each for percent in row):
            percentiles[percent] = [row.get(percent) for row in each]
    counts = [row.count for row in rows]
    found = _rounded(series, rows, wanted) if rounded else None
    if found is not None:
        return RowColumns(found[0], counts, found[1], plain, percentiles)
    numbers: dict[str, Sequence[Value]] = {
        name: [getattr(row, name) for row in rows] for name in STATISTICS if name in wanted
    }
    if any(row.time_mean is not None for row in rows):
        plain["tmean"] = [row.time_mean for row in rows]
    return RowColumns(None, counts, numbers, plain, percentiles)


def _rounded(
    series: Series, rows: Sequence[WindowRow], wanted: frozenset[str]
) -> tuple[int, dict[str, Sequence[Value]]] | None:
    if series.kind == "f64" and series.decimals is None:
        return None
    decimals = series.decimals or 0
    digits = _digits(decimals, [row.std for row in rows])
    means = _whole([row.mean for row in rows], digits)
    if means is None:
        return None
    more = 10 ** (digits - decimals)
    bases = [mean // more for mean in means]
    found: dict[str, Sequence[Value]] = {"mean": means}
    for name in STATISTICS[1:]:
        if name not in wanted:
            continue
        values = [getattr(row, name) for row in rows]
        if name == "std":
            whole = _whole(values, digits + STD_DIGITS)
        else:
            whole = _extremes(series, values, decimals)
            whole = (
                None if whole is None else [value - base for value, base in zip(whole, bases, strict=True)]
            )
        if whole is None or not all(-EXACT <= number <= EXACT for number in whole):
            return None
        found[name] = whole
    times = [row.time_mean for row in rows]
    if any(value is not None for value in times):
        if None in times:
            return None
        whole = _whole(times, digits)  # type: ignore[arg-type]  # no None among them
        if whole is None:
            return None
        found["tmean"] = [value - mean for value, mean in zip(whole, means, strict=True)]
    return digits, found


def _digits(decimals: int, deviations: Sequence[float]) -> int:
    """So many that a step is at most half of the least deviation that is one."""
    least = min((std for std in deviations if std > 0), default=math.inf)
    digits = decimals
    while 10.0**-digits > least / 2 and digits < decimals + MAX_MORE_DIGITS:
        digits += 1
    return digits


def _whole(values: Sequence[float], digits: int) -> list[int] | None:
    scale = 10**digits
    try:
        whole = [round(value * scale) for value in values]
    except (ValueError, OverflowError):
        return None
    return whole if all(-MAX_WHOLE <= number <= MAX_WHOLE for number in whole) else None


def _extremes(series: Series, values: Sequence[float | int], decimals: int) -> list[int] | None:
    if series.kind == "f64":
        return scaled(values, decimals)  # type: ignore[return-value]  # no None among them
    return [int(value) for value in values] if all(type(value) is int for value in values) else None


def _names_apart(rows: Mapping[Series, list[WindowRow]]) -> Iterator[dict[Series, list[WindowRow]]]:
    """Revisions of one series would share a name: each goes into a mapping of its own."""
    rest = dict(rows)
    while rest:
        names: dict[str, Series] = {}
        for series in rest:
            names.setdefault(series.name, series)
        yield {series: rest.pop(series) for series in list(names.values())}
