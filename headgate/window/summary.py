"""What one window amounts to for the series of one line: the columns, and the rows that envelopes carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from headgate.model import ClockState, Series, WindowRow
from headgate.window.counters import increases
from headgate.window.definition import Definition
from headgate.window.part import Exact, Floats, Integers, Numbers, Part, difference


@dataclass(frozen=True, slots=True)
class Carry:
    """The newest sample of each series before a window; `last_ms` is below 0 where there was none."""

    last: Numbers
    last_ms: Integers

    def followed_by(self, part: Part) -> Carry:
        """With the samples of a part that comes after all others."""
        there = (part.count > 0) & (part.last_ms >= self.last_ms)
        return Carry(np.where(there, part.last, self.last), np.where(there, part.last_ms, self.last_ms))


def carries_beside(carries: Sequence[Carry]) -> Carry:
    """Of different series."""
    if len(carries) == 1:
        return carries[0]
    last = np.concatenate([carry.last for carry in carries])
    return Carry(last, np.concatenate([carry.last_ms for carry in carries]))


def no_carry(width: int, dtype: np.dtype[np.generic]) -> Carry:
    """Where nothing was before."""
    return Carry(np.zeros(width, dtype), np.full(width, -1, np.int64))


@dataclass(frozen=True, slots=True)
class Summary:
    """Columns parallel to `series`, of the window [start_ms, start_ms + definition.length_ms).

    Where `count` is 0 nothing else means anything. `sum` is exact for integers. `time_mean` weighs each value
    with how long it held within the window. `quality` is the share of samples that are good. `rate` is the
    increase per second, NaN where no time has passed. `percentiles` has a row for each that was asked for.
    """

    series: tuple[Series, ...]
    definition: Definition
    start_ms: int
    revision: int
    clock: ClockState
    count: Integers
    low: Numbers
    high: Numbers
    mean: Floats
    std: Floats
    first: Numbers
    last: Numbers
    sum: Floats | Exact
    time_mean: Floats
    quality: Floats
    increase: Numbers | None
    rate: Floats | None
    resets: Integers | None
    percentiles: Floats | None

    def rows(self) -> Iterator[tuple[Series, WindowRow]]:
        """Of every series of which there was a sample that counts, with what its definition asks for."""
        wanted = self.definition.statistics
        columns = [
            column.tolist()
            for column in (self.count, self.low, self.high, self.mean, self.std, self.first, self.last)
        ]
        sums = self.sum.tolist() if "sum" in wanted else None
        means = self.time_mean.tolist() if "time_mean" in wanted else None
        shares = self.quality.tolist() if "quality" in wanted else None
        for i, (series, count, *plain) in enumerate(zip(self.series, *columns, strict=True)):
            if count:
                low, high, mean, std, first, last = plain
                increase, rate, resets = self._counted(i)
                row = WindowRow(
                    count=count,
                    min=low,
                    max=high,
                    mean=mean,
                    std=std,
                    first=first,
                    last=last,
                    sum=None if sums is None else sums[i],
                    time_mean=None if means is None else means[i],
                    quality=None if shares is None else shares[i],
                    increase=increase,
                    rate=rate,
                    resets=resets,
                    percentiles=self._percentiles(i),
                )
                yield series, row

    def _counted(self, i: int) -> tuple[float | int | None, float | None, int | None]:
        if self.increase is None or self.rate is None or self.resets is None:
            return None, None, None
        rate = float(self.rate[i])
        increase = self.increase[i]
        whole = isinstance(increase, int)
        return increase if whole else float(increase), None if np.isnan(rate) else rate, int(self.resets[i])

    def _percentiles(self, i: int) -> tuple[tuple[float, float], ...]:
        if self.percentiles is None:
            return ()
        found: Sequence[float] = self.percentiles[:, i].tolist()
        return tuple(zip(self.definition.percentiles, found, strict=True))


def summary_of(
    part: Part,
    carry: Carry | None,
    percentiles: Floats | None,
    series: tuple[Series, ...],
    definition: Definition,
    *,
    start_ms: int,
    revision: int,
    clock: ClockState,
) -> Summary:
    """A part that holds all of a window's samples, as the window's statistics."""
    count = np.maximum(part.count, 1)
    base = part.base.astype(np.float64)
    if part.total is None:
        mean = base + part.offset
        total: Floats | Exact = mean * count
    else:
        total = part.total
        mean = (part.total / count.astype(np.object_)).astype(np.float64)
    time_mean = base + _weighted(part, carry, definition, start_ms)
    std = np.sqrt(part.m2 / count)
    increase = rate = resets = None
    if definition.rule.wrap is not None:
        increase, rate, resets = _counted(part, carry, definition, start_ms)
    return Summary(
        series=series,
        definition=definition,
        start_ms=start_ms,
        revision=revision,
        clock=clock,
        count=part.count,
        low=part.low,
        high=part.high,
        mean=mean,
        std=std,
        first=part.first,
        last=part.last,
        sum=total,
        time_mean=time_mean,
        quality=part.good / np.maximum(part.seen, 1),
        increase=increase,
        rate=rate,
        resets=resets,
        percentiles=percentiles,
    )


def _weighted(part: Part, carry: Carry | None, definition: Definition, start_ms: int) -> Floats:
    """The mean weighed by time, less the part's base."""
    hold_ms = definition.rule.hold_ms
    tail = np.minimum(start_ms + definition.length_ms - part.last_ms, hold_ms)
    area = part.area + difference(part.last, part.base) * tail
    weight = part.weight_ms + tail
    if carry is not None:
        head = np.minimum(part.first_ms, carry.last_ms + hold_ms) - start_ms
        head = np.where(carry.last_ms >= 0, np.maximum(head, 0), 0)
        area = area + np.where(head > 0, difference(carry.last, part.base), 0.0) * head
        weight = weight + head
    return np.asarray(area / np.maximum(weight, 1), np.float64)


def _counted(
    part: Part, carry: Carry | None, definition: Definition, start_ms: int
) -> tuple[Numbers, Floats, Integers]:
    assert part.increase is not None, "a counter's part counts"
    assert part.resets is not None, "a counter's part counts"
    increase, resets, since_ms = part.increase, part.resets, part.first_ms
    if carry is not None and definition.rule.wrap is not None:
        there = (carry.last_ms >= max(0, start_ms - definition.memory_ms)) & (part.count > 0)
        step, reset = increases(carry.last, part.first, definition.rule.wrap)
        increase = increase + np.where(there, step, 0).astype(increase.dtype)
        resets = resets + (reset & there)
        since_ms = np.where(there, carry.last_ms, since_ms)
    passed_s = (part.last_ms - since_ms) / 1000
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(passed_s > 0, increase.astype(np.float64) / passed_s, np.nan)
    return increase, rate, resets
