"""A source of windows that is fed, restarted and compared with every sample it was ever given."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import pytest

from headgate.model import ClockState, Series, Value, WindowRow
from headgate.window.definition import Definition
from headgate.window.source import Source, SourceTuning
from tests.support.naive_windows import naive


@dataclass(frozen=True)
class Told:
    """Samples of one series, as a store would answer."""

    series: Series
    times_ms: list[int]
    values: list[Value]
    quality: list[int]


@dataclass
class ListHistory:
    """Everything that was told, in the order of acquisition."""

    rows: list[tuple[Series, int, Value, int]] = field(default_factory=list)
    asked: int = 0

    def samples(self, series: Collection[Series], from_ms: int, to_ms: int) -> Iterator[Told]:
        self.asked += 1
        for each in series:
            found = sorted(
                (row for row in self.rows if row[0] == each and from_ms <= row[1] < to_ms),
                key=lambda row: row[1],
            )
            if found:
                yield Told(each, [r[1] for r in found], [r[2] for r in found], [r[3] for r in found])


@dataclass(frozen=True)
class Rows:
    """Rows of one shape within a batch."""

    series: tuple[Series, ...]
    times_ms: Sequence[int]
    values: Sequence[Sequence[Value]]
    quality: Sequence[Sequence[int]] = ()


Key = tuple[int, int, Series]
"""(start, length, series)."""


class World:
    """Batches stay as a journal keeps them; `restart` replays from where the source says."""

    def __init__(self, definitions: Mapping[str, Definition], tuning: SourceTuning) -> None:
        self.history = ListHistory()
        self.definitions = definitions
        self.tuning = tuning
        self.batches: list[list[Rows]] = []
        self.sealed = 0
        self.needed = 0
        self.closed_ms: dict[int, int] = {}
        self.source = self._source()
        self.told: dict[Key, WindowRow] = {}
        self.revisions: dict[Key, int] = {}

    def batch(self, *rows: Rows) -> None:
        self.batches.append(list(rows))
        for each in rows:
            for i, (t, values) in enumerate(zip(each.times_ms, each.values, strict=True)):
                codes = each.quality[i] if each.quality else [0] * len(values)
                self.history.rows += [
                    (series, t, value, code)
                    for series, value, code in zip(each.series, values, codes, strict=True)
                ]
        self._feed(len(self.batches) - 1, fresh=True)

    def seal(self) -> None:
        """What is told now is durable; a crash goes back to here."""
        for window in self.source.take_closed():
            for series, row in window.rows.items():
                key = (window.start_ms, window.length_ms, series)
                assert window.revision > self.revisions.get(key, -1), f"{key} told twice"
                self.told[key], self.revisions[key] = row, window.revision
        self.sealed = len(self.batches)
        position = self.source.oldest_position
        self.needed = self.sealed if position is None else position - 1
        self.closed_ms = {step: until for step, until in self.source.closed_ms.items() if until is not None}

    def restart(self) -> None:
        self.source = self._source()
        for at in range(self.needed, len(self.batches)):
            self._feed(at, fresh=at >= self.sealed)

    def finish(self) -> None:
        self.source.close_all()
        self.seal()

    def expected(self, key: Key) -> None:
        """Compare one window with a computation over everything there ever was."""
        start_ms, length_ms, series = key
        definition = self.definitions[series.name]
        everything = sorted((r for r in self.history.rows if r[0] == series), key=lambda r: r[1])
        inside = [(t, v, q) for _, t, v, q in everything if start_ms <= t < start_ms + length_ms]
        before = [
            (t, v)
            for _, t, v, q in everything
            if start_ms - definition.memory_ms <= t < start_ms
            and q in (0, 1)
            and isinstance(v, int | float)
            and math.isfinite(v)
        ]
        wrap = definition.rule.wrap
        expected = naive(
            inside,  # type: ignore[arg-type]  # numbers here
            definition.rule.hold_ms,
            wrap or 0,
            before[-1] if before and definition.carries else None,
            start_ms,
            start_ms + length_ms,
        )
        if expected is None:
            assert key not in self.told
            return
        row = self.told[key]
        assert (row.count, row.min, row.max, row.first, row.last) == (
            expected.count,
            expected.low,
            expected.high,
            expected.first,
            expected.last,
        ), key
        span = max(float(expected.high - expected.low), abs(float(expected.mean)), 1e-300)
        assert float(row.mean) == pytest.approx(float(expected.mean), rel=1e-12, abs=1e-12 * span)
        assert row.std == pytest.approx(math.sqrt(expected.variance), rel=1e-9, abs=1e-12 * span)
        if "sum" in definition.statistics:
            assert row.sum == pytest.approx(float(expected.total), rel=1e-12, abs=1e-12 * span * row.count)
        if "quality" in definition.statistics:
            assert row.quality == expected.good / expected.seen
        if "time_mean" in definition.statistics and expected.weighted is not None:
            assert row.time_mean == pytest.approx(float(expected.weighted), rel=1e-10, abs=1e-10 * span), key
        if wrap is not None:
            assert row.resets == expected.resets, key
            increase = Fraction(row.increase or 0)
            assert increase == expected.increase or float(increase) == pytest.approx(
                float(expected.increase), rel=1e-9, abs=1e-6
            ), key

    def every_key(self) -> set[Key]:
        """All windows in which any sample lies."""
        keys: set[Key] = set()
        for series, t, _, _ in self.history.rows:
            definition = self.definitions[series.name]
            step, length = definition.step_ms, definition.length_ms
            last = t // step * step
            keys.update((start, length, series) for start in range(last - length + step, last + 1, step))
        return keys

    def _source(self) -> Source:
        return Source(
            lambda series: [self.definitions[series.name]],
            self.tuning,
            self.history,
            self.closed_ms,
            since_ms=max(self.closed_ms.values(), default=0),
        )

    def _feed(self, at: int, fresh: bool) -> None:
        self.source.began(at + 1, ClockState.SYNCED, fresh=fresh)
        for each in self.batches[at]:
            shape = self.source.shape(each.series, each.series)
            for i, (t_ms, row) in enumerate(zip(each.times_ms, each.values, strict=True)):
                shape.add(t_ms, row, each.quality[i] if each.quality else ())
        self.source.ended()
