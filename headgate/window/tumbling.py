"""Tumbling windows of one source, closed by its event-time watermark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from headgate.columns import Columns, picked
from headgate.model import ClockState, Series, Window
from headgate.window.stats import Stats, countable


@dataclass(slots=True)
class _Open:
    position: int
    clock: ClockState = ClockState.SYNCED
    rows: dict[Series, Stats] = field(default_factory=dict)


class Tumbling:
    """Windows aligned to multiples of their length. A window closes once a sample `lateness_ms` behind its
    end was seen; what comes for it later is late and not counted.

    `closed_until_ms`: no window before it is opened again; None for a source that was never seen.
    """

    def __init__(self, length_ms: int, lateness_ms: int, closed_until_ms: int | None = None) -> None:
        self.length_ms = length_ms
        self.closed_until_ms = closed_until_ms
        self._lateness_ms = lateness_ms
        self._open: dict[int, _Open] = {}
        self._closed: list[Window] = []

    @property
    def oldest_position(self) -> int | None:
        """The journal position of the first batch that an open window holds samples of."""
        return min((window.position for window in self._open.values()), default=None)

    def add(self, groups: Iterable[Columns], position: int, clock: ClockState) -> int:
        """Take in what a batch brought, then close what its newest sample allows; returns the late ones."""
        late = 0
        newest_ms: int | None = None
        for columns in groups:
            newest_ms = max(columns.times_ms) if newest_ms is None else max(newest_ms, *columns.times_ms)
            for start_ms, part in self._by_window(columns):
                if self.closed_until_ms is not None and start_ms < self.closed_until_ms:
                    late += len(part)
                else:
                    self._take(start_ms, part, position, clock)
        if newest_ms is not None:
            self._close_until((newest_ms - self._lateness_ms) // self.length_ms * self.length_ms)
        return late

    def close_all(self) -> None:
        """Close every open window as it stands: the source is silent, or the length changes."""
        if self._open:
            self._close_until(max(self._open) + self.length_ms)

    def take_closed(self) -> list[Window]:
        """The windows closed since the last call, each one once, oldest first."""
        closed, self._closed = self._closed, []
        return closed

    def _by_window(self, columns: Columns) -> list[tuple[int, Columns]]:
        length_ms = self.length_ms
        starts = [t // length_ms * length_ms for t in columns.times_ms]
        if len(set(starts)) == 1:
            return [(starts[0], columns)]
        return [
            (start, picked(columns, [i for i, s in enumerate(starts) if s == start]))
            for start in sorted(set(starts))
        ]

    def _take(self, start_ms: int, columns: Columns, position: int, clock: ClockState) -> None:
        window = self._open.get(start_ms)
        if window is None:
            window = self._open[start_ms] = _Open(position)
        window.clock = max(window.clock, clock)
        for i, series in enumerate(columns.series):
            times, values = countable(columns, i)
            if values:
                stats = window.rows.get(series)
                if stats is None:
                    stats = window.rows[series] = Stats()
                stats.add(times, values)

    def _close_until(self, until_ms: int) -> None:
        if self.closed_until_ms is not None and until_ms <= self.closed_until_ms:
            return
        self.closed_until_ms = until_ms
        for start_ms in sorted(start for start in self._open if start < until_ms):
            window = self._open.pop(start_ms)
            if window.rows:
                rows = {series: stats.row() for series, stats in window.rows.items()}
                self._closed.append(Window(start_ms, self.length_ms, window.clock, rows))
