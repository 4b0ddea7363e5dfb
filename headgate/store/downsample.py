"""Samples as buckets of equal length: how many, lowest, highest, mean, first and last, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from headgate.model import Series, Value
from headgate.store.arrays import Line, Times, Values


@dataclass(frozen=True, slots=True)
class Bucket:
    """The samples with a value in [start_ms, start_ms + step_ms). Texts have no lowest, highest and mean."""

    start_ms: int
    count: int
    low: Value
    high: Value
    mean: float | None
    first: Value
    last: Value
    kept_ms: int = 0
    """Put together, in part at least, from windows of this length, the raw ones being shed; 0: it is not."""

    def plus(self, later: Bucket) -> Bucket:
        """Together with what is later of the same bucket."""
        kept_ms = max(self.kept_ms, later.kept_ms)
        if self.mean is None or later.mean is None:
            count = self.count + later.count
            return Bucket(self.start_ms, count, None, None, None, self.first, later.last, kept_ms)
        count = self.count + later.count
        return Bucket(
            self.start_ms,
            count,
            min(self.low, later.low),  # type: ignore[type-var]  # numbers, where there is a mean
            max(self.high, later.high),  # type: ignore[type-var]  # as above
            self.mean + (later.mean - self.mean) * later.count / count,
            self.first,
            later.last,
            kept_ms,
        )


def downsampled(
    lines: Iterable[Line], step_ms: int, *, newest_first: bool = False
) -> Iterator[tuple[Series, list[Bucket]]]:
    """Buckets that start at multiples of `step_ms`, of lines that follow each other in time (`query.lines`).

    NaN counts as no value. A bucket that two lines share comes once, with the later of them or at the end.
    """
    found = ((line.series, _of_line(line, step_ms, newest_first=newest_first)) for line in lines)
    return stitched(found, newest_first=newest_first)


def stitched(
    found: Iterable[tuple[Series, list[Bucket]]], *, newest_first: bool = False
) -> Iterator[tuple[Series, list[Bucket]]]:
    """Stretches of buckets that follow each other in time; one that two of them share becomes one."""
    open_: dict[Series, Bucket] = {}
    for one, buckets in found:
        if not buckets:
            continue
        before = open_.pop(one, None)
        if before is not None and before.start_ms == buckets[0].start_ms:
            buckets[0] = buckets[0].plus(before) if newest_first else before.plus(buckets[0])
        elif before is not None:
            buckets.insert(0, before)
        open_[one] = buckets.pop()
        if buckets:
            yield one, buckets
    for series, bucket in open_.items():
        yield series, [bucket]


def _of_line(line: Line, step_ms: int, *, newest_first: bool) -> list[Bucket]:
    times, values = _filled(line)
    if not len(times):
        return []
    if newest_first:
        order = np.argsort(times, kind="stable")  # equal times stay as they were acquired
        times, values = times[order], values[order]
    numbers = times // step_ms
    starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
    counts = np.diff(np.r_[starts, len(numbers)])
    first, last = values[starts].tolist(), values[starts + counts - 1].tolist()
    if values.dtype == np.object_:
        nothing = [None] * len(starts)
        low, high, means = nothing, nothing, nothing
    else:
        plain = values.astype(np.uint8) if values.dtype == np.bool_ else values
        low = np.minimum.reduceat(plain, starts).tolist()
        high = np.maximum.reduceat(plain, starts).tolist()
        means = (np.add.reduceat(plain.astype(np.float64), starts) / counts).tolist()
    rows = zip(
        (numbers[starts] * step_ms).tolist(), counts.tolist(), low, high, means, first, last, strict=True
    )
    found = [Bucket(*row) for row in rows]
    return found[::-1] if newest_first else found


def _filled(line: Line) -> tuple[Times, Values]:
    """Where there is a value."""
    times, values, wanted = line.times_ms, line.values, line.present
    if values.dtype == np.float64:
        numbers = ~np.isnan(values.astype(np.float64, copy=False))
        wanted = numbers if wanted is None else wanted & numbers
    return (times, values) if wanted is None or wanted.all() else (times[wanted], values[wanted])
