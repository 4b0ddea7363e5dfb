"""One alarm over one series, sample by sample: a state, and an event each time that it changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from headgate.alarm.config import Alarm
from headgate.errors import Reject
from headgate.model import AlarmEvent, Series

Number = float | int


@dataclass(frozen=True, slots=True)
class MonitorState:
    """All that a monitor remembers: `since_ms`, since when it has been beyond the limit; `from_`, the sample
    that a change is measured from; `newest_ms` is -1 before the first sample.
    """

    raised: bool = False
    newest_ms: int = -1
    since_ms: int | None = None
    value: Number | None = None
    from_: tuple[int, Number] | None = None

    def row(self) -> list[Any]:
        """As JSON can say it."""
        return [self.raised, self.newest_ms, self.since_ms, self.value, self.from_]

    @classmethod
    def of_row(cls, row: object) -> MonitorState:
        """What `row` gave. Raises Reject for anything else."""
        match row:
            case [bool(raised), int(newest), int() | None as since, int() | float() | None as value, None]:
                return cls(raised, newest, since, value)
            case [
                bool(raised),
                int(newest),
                int() | None as since,
                int() | float() | None as value,
                [int(t_ms), int() | float() as first],
            ]:
                return cls(raised, newest, since, value, (t_ms, first))
        raise Reject(f"no state of an alarm: {row!r:.200}")


class Monitor:
    """Feed it samples that count. One that is older than the newest it has seen is passed over."""

    def __init__(self, alarm: Alarm, series: Series, state: MonitorState | None = None) -> None:
        state = state or MonitorState()
        self._alarm = alarm
        self._series = series
        self._raised = state.raised
        self._newest_ms = state.newest_ms
        self._since_ms = state.since_ms
        self._value = state.value
        self._from = state.from_

    @property
    def alarm(self) -> Alarm:
        """What it watches for."""
        return self._alarm

    @property
    def state(self) -> MonitorState:
        """What another monitor goes on from."""
        return MonitorState(self._raised, self._newest_ms, self._since_ms, self._value, self._from)

    def sample(self, t_ms: int, value: Number) -> AlarmEvent | None:
        """Take in a sample."""
        if t_ms < self._newest_ms:
            return None
        self._newest_ms = t_ms
        if self._alarm.condition == "stale_s":
            return self._clear(t_ms, value) if self._raised else None
        measured = self._measured(t_ms, value)
        if measured is None:
            return None
        self._value = measured
        beyond = self._beyond(measured)
        if beyond > 0:
            if self._since_ms is None:
                self._since_ms = t_ms
            return self._held(t_ms)
        self._since_ms = None
        return self._clear(t_ms, measured) if beyond <= -self._alarm.hysteresis else None

    def tick(self, utc_ms: int) -> AlarmEvent | None:
        """Time has passed without a sample."""
        if self._newest_ms < 0:
            return None
        if self._alarm.condition != "stale_s":
            return self._held(utc_ms)
        due_ms = self._newest_ms + round(1000 * self._alarm.limit)
        if self._raised or utc_ms < due_ms:
            return None
        self._raised = True
        return self._event("raised", due_ms, None)

    def _measured(self, t_ms: int, value: Number) -> Number | None:
        """What is compared with the limit; of a rate there is none until two samples are apart enough."""
        if self._alarm.condition in ("above", "below"):
            return value
        before = self._from
        if before is None or t_ms < before[0]:
            self._from = (t_ms, value)
            return None
        passed_ms = t_ms - before[0]
        if passed_ms == 0 or passed_ms < self._alarm.over_ms:
            return None
        self._from = (t_ms, value)
        return (value - before[1]) / passed_ms * 1000

    def _beyond(self, measured: Number) -> Number:
        """How far beyond the limit; 0 or less: not beyond it."""
        match self._alarm.condition:
            case "above" | "rise_per_s":
                return measured - self._alarm.limit
            case "below":
                return self._alarm.limit - measured
            case _:
                return -measured - self._alarm.limit

    def _held(self, t_ms: int) -> AlarmEvent | None:
        """Raise it when the condition has held for long enough."""
        if self._raised or self._since_ms is None or t_ms - self._since_ms < self._alarm.hold_ms:
            return None
        self._raised = True
        raised_ms = self._since_ms + self._alarm.hold_ms
        return self._event("raised", raised_ms, self._value)

    def _clear(self, t_ms: int, value: Number | None) -> AlarmEvent | None:
        if not self._raised:
            return None
        self._raised = False
        return self._event("cleared", t_ms, value)

    def _event(self, state: Literal["raised", "cleared"], t_ms: int, value: Number | None) -> AlarmEvent:
        alarm = self._alarm
        return AlarmEvent(
            alarm.name, self._series, state, alarm.severity, alarm.condition, alarm.limit, t_ms, value
        )
