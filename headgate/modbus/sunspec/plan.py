"""The reads of a poll group of SunSpec points; pure."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from headgate.deadband import Deadband, Keeper
from headgate.modbus.config import Device, Group
from headgate.modbus.sunspec.reading import Proven, plan_proven
from headgate.modbus.tags import Tag
from headgate.modbus.thinning import ABSENCE_MS, Absence, Tally, Thinning
from headgate.modbus.work import Ask, Proof, Read

_CHANGED = Deadband(Fraction(0), percent=False, heartbeat_ms=ABSENCE_MS)


class ModelPlan:
    """Of the points of one group. Models share reads until the device refuses one.

    Strings, which hardly ever change, are reported when they do, and hourly; what the device does not have,
    too.
    """

    def __init__(self, device: Device, group: Group, index_of: Callable[[Tag], int], tally: Tally) -> None:
        self._device = device
        self._tags = group.tags
        self._series = [index_of(tag) for tag in group.tags]
        self._keepers = [_keeper(tag, group.interval_ms) for tag in group.tags]
        self._tally = tally
        self._together = self._planned_together = True

    def reads(self, now_ms: int) -> list[Read]:
        """The reads as they are to be now."""
        self._planned_together = self._together
        found = plan_proven(
            self._tags,
            max_count=self._device.max_registers,
            max_gap=self._device.max_gap,
            together=self._together,
        )
        return [self._read(proven) for proven in found]

    def is_stale(self, now_ms: int) -> bool:
        """Whether they were refused since."""
        return self._planned_together != self._together

    def _read(self, proven: Proven) -> Read:
        asks = asks_of(proven, self._tags[proven.members[0]])
        return Read(
            asks[proven.main],
            tuple(self._series[i] for i in proven.members),
            proven.decode,
            Proof(asks, proven.main, proven.holds, self._refused),
            Thinning([self._keepers[i] for i in proven.members], self._tally),
        )

    def _refused(self) -> None:
        self._together = False


def _keeper(tag: Tag, interval_ms: int) -> Keeper | Absence:
    if tag.deadband is not None:
        return Keeper(tag.deadband, interval_ms)
    return Keeper(_CHANGED, interval_ms) if tag.form.type == "string" else Absence()


def asks_of(proven: Proven, tag: Tag) -> tuple[Ask, ...]:
    """The transactions of a reading, in the table of one of its tags."""
    return tuple(Ask(tag.table, span.address, span.count) for span in proven.spans)
