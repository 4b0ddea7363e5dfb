"""All alarms over everything that comes: which monitor a sample concerns, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from headgate.alarm.config import AlarmsConfig
from headgate.alarm.monitor import Monitor
from headgate.columns import Columns
from headgate.model import AlarmEvent, Quality, Series

MAX_MONITORS = 10_000
"""Series that are watched, times the alarms over each; beyond it a series is not watched."""


class Watch:
    """States live as long as the configuration. `unwatched`: series there was no room for."""

    def __init__(self, alarms: AlarmsConfig = ()) -> None:
        self.unwatched = 0
        self._alarms = alarms
        self._monitors: dict[Series, tuple[Monitor, ...]] = {}
        self._count = 0

    def samples(self, groups: Iterable[Columns]) -> list[AlarmEvent]:
        """What a batch changed. Only finite numbers of good or uncertain quality count."""
        events: list[AlarmEvent] = []
        if not self._alarms:
            return events
        for columns in groups:
            for at, series in enumerate(columns.series):
                monitors = self._monitors.get(series)
                if monitors is None:
                    monitors = self._added(series)
                if monitors:
                    events += _followed(columns, at, monitors)
        return events

    def tick(self, utc_ms: int) -> list[AlarmEvent]:
        """What the mere passing of time changed."""
        found = (monitor.tick(utc_ms) for monitors in self._monitors.values() for monitor in monitors)
        return [event for event in found if event is not None]

    def _added(self, series: Series) -> tuple[Monitor, ...]:
        monitors = tuple(Monitor(alarm, series) for alarm in self._alarms if alarm.watches(series.name))
        if series.kind == "text" or self._count + len(monitors) > MAX_MONITORS:
            self.unwatched += bool(monitors)
            monitors = ()
        self._count += len(monitors)
        self._monitors[series] = monitors
        return monitors


def _followed(columns: Columns, at: int, monitors: tuple[Monitor, ...]) -> Iterable[AlarmEvent]:
    quality = columns.quality[at]
    order = sorted(range(len(columns.times_ms)), key=columns.times_ms.__getitem__)
    for i in order:
        value = columns.values[at][i]
        if quality is not None and quality[i] > Quality.UNCERTAIN:
            continue
        if isinstance(value, int | float) and math.isfinite(value):
            for monitor in monitors:
                event = monitor.sample(columns.times_ms[i], value)
                if event is not None:
                    yield event
