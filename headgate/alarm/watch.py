"""All alarms over everything that comes: which monitor a sample concerns, and what came of it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Iterable, Mapping

from headgate.alarm.config import AlarmsConfig
from headgate.alarm.monitor import Monitor, MonitorState
from headgate.columns import Columns
from headgate.errors import Reject
from headgate.model import AlarmEvent, Quality, Series, series_row

MAX_MONITORS = 10_000
"""Series that are watched, times the alarms over each; beyond it a series is not watched."""

Key = tuple[str, str]
"""(alarm, name of the series)."""
Saved = tuple[int, str]
"""A state as text, and the journal position up to which it has taken in everything."""

log = logging.getLogger(__name__)


class Watch:
    """States outlive the process: `saved` is what `unsaved` gave. `unwatched`: series there was no room for.

    A saved state takes in nothing of a batch before its journal position again: it has that in it. States
    belong to a rule over a name: a series' new revision takes one over, a changed rule begins anew.
    """

    def __init__(self, alarms: AlarmsConfig = (), saved: Mapping[Key, Saved] | None = None) -> None:
        self.unwatched = 0
        self._alarms = alarms
        self._monitors: dict[Series, tuple[Monitor, ...]] = {}
        self._names: dict[str, Series] = {}
        self._count = 0
        self._saved = dict(saved or {})
        self._touched: set[Key] = set()
        self._whole_at = 0
        self._fewer = False
        self._found: dict[Key, tuple[str, MonitorState]] = {}
        self._replayed_end = max((position for position, _ in self._saved.values()), default=0)
        self._restore()

    def samples(self, groups: Iterable[Columns], position: int) -> list[AlarmEvent]:
        """What the batch at that journal position changed.

        Only finite numbers of good or uncertain quality count.
        """
        events: list[AlarmEvent] = []
        if not self._alarms:
            return events
        for columns in groups:
            for at, series in enumerate(columns.series):
                monitors = self._monitors.get(series)
                if monitors is None:
                    monitors = self._added(series)
                if monitors and position < self._replayed_end:
                    monitors = self._behind(monitors, series.name, position)
                if monitors:
                    events += _followed(columns, at, monitors)
        return self._noted(events)

    def tick(self, utc_ms: int) -> list[AlarmEvent]:
        """What the mere passing of time changed."""
        found = (monitor.tick(utc_ms) for monitors in self._monitors.values() for monitor in monitors)
        return self._noted([event for event in found if event is not None])

    def change(self, alarms: AlarmsConfig) -> None:
        """Other alarms from now on; what did not change of them goes on."""
        self._found = self._states()
        known = list(self._monitors)
        self._alarms, self._monitors, self._names, self._count, self.unwatched = alarms, {}, {}, 0, 0
        for series in known:
            self._added(series)
        self._found.clear()
        self._fewer = True

    def forget(self, devices: Collection[str]) -> None:
        """These devices are gone: their end is no fault."""
        for series in [each for each in self._monitors if each.name.partition("/")[0] in devices]:
            self._count -= len(self._monitors.pop(series))
            self._names.pop(series.name, None)
            self._fewer = True

    def unsaved(self, position: int, replay: int) -> dict[Key, Saved | None]:
        """What is to be saved; None for what is gone. See `were_saved`.

        `position`: where the journal is. A replay from `replay` on over what was saved gives the same states
        again, but for what time alone changed: that was told as an event. So all is saved only once the
        replay begins behind where that was done last.
        """
        whole = replay > self._whole_at
        if whole:
            self._whole_at = position
        if not (whole or self._touched or self._fewer):
            return {}
        now = {
            (monitor.alarm.name, series.name): (monitor, series)
            for series, monitors in self._monitors.items()
            for monitor in monitors
        }
        found: dict[Key, Saved | None] = dict.fromkeys(self._saved.keys() - now.keys())
        for key in now.keys() if whole else self._touched & now.keys():
            monitor, series = now[key]
            text = json.dumps(
                [monitor.alarm.rule, series_row(series), monitor.state.row()], separators=(",", ":")
            )
            if key in self._touched or self._saved.get(key, (0, ""))[1] != text:
                found[key] = position, text
        return found

    def were_saved(self, rows: Mapping[Key, Saved | None]) -> None:
        """These are durable, and so is whatever else there was."""
        self._touched.clear()
        self._fewer = False
        for key, saved in rows.items():
            if saved is None:
                self._saved.pop(key, None)
            else:
                self._saved[key] = saved

    def _restore(self) -> None:
        known: dict[Series, None] = {}
        for key, (_, text) in self._saved.items():
            try:
                match json.loads(text):
                    case [str(rule), [name, unit, kind, decimals, revision], state]:
                        known[Series(name, unit, kind, decimals, revision)] = None
                        self._found[key] = rule, MonitorState.of_row(state)
                    case _:
                        raise Reject(f"no state of an alarm: {text:.200}")
            except (Reject, ValueError, TypeError) as error:
                log.error("alarm %s of %s begins anew: %s", *key, error)
        for series in sorted(known, key=lambda each: (each.name, each.revision)):
            self._added(series)
        self._fewer = bool(self._found)
        self._found.clear()

    def _states(self) -> dict[Key, tuple[str, MonitorState]]:
        return {
            (monitor.alarm.name, series.name): (monitor.alarm.rule, monitor.state)
            for series, monitors in self._monitors.items()
            for monitor in monitors
        }

    def _added(self, series: Series) -> tuple[Monitor, ...]:
        self._take_over(series)
        watching = [alarm for alarm in self._alarms if alarm.watches(series.name)]
        monitors: tuple[Monitor, ...] = ()
        if series.kind == "text" or self._count + len(watching) > MAX_MONITORS:
            self.unwatched += bool(watching)
        else:
            for alarm in watching:
                rule, state = self._found.pop((alarm.name, series.name), ("", None))
                monitors += (Monitor(alarm, series, state if rule == alarm.rule else None),)
        self._count += len(monitors)
        self._monitors[series] = monitors
        return monitors

    def _take_over(self, series: Series) -> None:
        """From the revision before it, if there is one."""
        former = self._names.get(series.name)
        self._names[series.name] = series
        for monitor in self._monitors.pop(former, ()) if former is not None else ():
            self._count -= 1
            self._found[monitor.alarm.name, series.name] = monitor.alarm.rule, monitor.state

    def _behind(self, monitors: tuple[Monitor, ...], name: str, position: int) -> tuple[Monitor, ...]:
        """Those whose saved state does not have the batch at that position in it."""
        return tuple(m for m in monitors if position >= self._saved.get((m.alarm.name, name), (0, ""))[0])

    def _noted(self, events: list[AlarmEvent]) -> list[AlarmEvent]:
        self._touched.update((event.alarm, event.series.name) for event in events)
        return events


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
