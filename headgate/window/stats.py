"""Running statistics of one series in one window, stable for values far from zero."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headgate.columns import Columns
from headgate.model import Quality, WindowRow

Number = float | int

_COUNTS = frozenset((Quality.GOOD, Quality.UNCERTAIN))


class Stats:
    """Count, min, max, mean, population std, first and last (by time; of equal times, as acquired).

    Chunks are merged by the method of Chan, Golub and LeVeque (1979), so the spread survives a large mean.
    """

    __slots__ = ("_first_ms", "_last_ms", "_m2", "count", "first", "last", "max", "mean", "min")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._m2 = 0.0
        self.min: Number = math.inf
        self.max: Number = -math.inf
        self.first: Number = 0.0
        self.last: Number = 0.0
        self._first_ms = 0
        self._last_ms = 0

    @property
    def std(self) -> float:
        """Of the population; 0.0 for a single sample."""
        return math.sqrt(self._m2 / self.count) if self.count else 0.0

    def row(self) -> WindowRow:
        """As it stands."""
        return WindowRow(self.count, self.min, self.max, self.mean, self.std, self.first, self.last)

    def add(self, times_ms: Sequence[int], values: Sequence[Number]) -> None:
        """Take in one or more samples, in the order of acquisition; all finite."""
        count = len(values)
        mean = _sum(values) / count
        steps = [value - mean for value in values]
        m2 = sum([step * step for step in steps])
        total = self.count + count
        apart = mean - self.mean
        self.mean = mean if not self.count else self.mean + apart * (count / total)
        self._m2 += m2 + (apart * apart * (self.count * count / total) if self.count else 0.0)
        self.min = min(self.min, min(values))  # the inner one runs over the chunk
        self.max = max(self.max, max(values))
        first_ms, last_ms = min(times_ms), max(times_ms)
        if not self.count or first_ms < self._first_ms:
            self._first_ms, self.first = first_ms, values[times_ms.index(first_ms)]
        if not self.count or last_ms >= self._last_ms:
            newest = len(times_ms) - 1 - list(reversed(times_ms)).index(last_ms)
            self._last_ms, self.last = last_ms, values[newest]
        self.count = total


def countable(columns: Columns, at: int) -> tuple[Sequence[int], Sequence[Number]]:
    """Times and values of one series that count: finite numbers (a bool is 0 or 1), good or uncertain."""
    times, values, quality = columns.times_ms, columns.values[at], columns.quality[at]
    kind = columns.series[at].kind
    if kind == "text":
        return (), ()
    if quality is None and kind != "bool" and None not in values:
        numbers: Sequence[Number] = values  # type: ignore[assignment]  # numbers by kind, none missing
        if kind != "f64" or math.isfinite(sum(numbers)):  # one that is not finite shows in the sum
            return times, numbers
    kept_times: list[int] = []
    kept: list[Number] = []
    for i, value in enumerate(values):
        counts = quality is None or quality[i] in _COUNTS
        if counts and isinstance(value, int | float) and math.isfinite(value):
            kept_times.append(times[i])
            kept.append(int(value) if isinstance(value, bool) else value)
    return kept_times, kept


def _sum(values: Sequence[Number]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:
        return float(sum(values))
