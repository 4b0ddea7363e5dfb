"""One poll group: what was served of it, what arrived, and which read an arrived sample stands for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway_sim.checker.arrived import Column, Raw
from gateway_sim.checker.served import Poll
from gateway_sim.devices.plantfile import Group, Tag

EARLY_MS, LATE_MS = 50, 2000
"""A sample's time may be this much before and after the time its device served it."""
CLOSE_MS = 50
"""Reads of one group that lie closer than this are told apart by their values."""
GOOD = 0


@dataclass(slots=True)
class Row:
    """What arrived of one group with one timestamp, by tag index; `again`: what found its place taken."""

    raws: list[Raw]
    again: list[tuple[int, Raw]] = field(default_factory=list)
    flaws: list[tuple[int, str]] = field(default_factory=list)

    def counters(self) -> list[int]:
        """What arrived of the group's first tag: its counter, and further ones if several came."""
        found = [self.raws[0], *(raw for index, raw in self.again if index == 0)]
        return [raw for raw in found if isinstance(raw, int)]


class GroupCheck:
    """One poll group of one device: what was served, and what arrived of it."""

    bus, kind = "modbus", "polls"
    excused: Sequence[tuple[int, int]] = ()

    def __init__(self, device: str, group: Group) -> None:
        self.timeline: Timeline | None = None
        self.device, self.group = device, group
        self.names = [f"{device}/{tag.name}" for tag in group.tags]
        self.polls: dict[int, Poll] = {}
        self.rows: dict[int, Row] = {}
        self.valueless = 0

    def demands(self, poll: Poll) -> bool:
        """Whether a poll must have arrived."""
        return poll.required and not self.is_excused(poll)

    def is_excused(self, poll: Poll) -> bool:
        """Whether it was served while nobody could keep it."""
        return any(since_ms <= poll.t_ms < until_ms for since_ms, until_ms in self.excused)

    def counts(self, t_ms: int, row: Row) -> list[int]:
        """The polls that a timestamp stands for; they need not be in the record."""
        return row.counters()

    def matched(self) -> list[tuple[int, Row, list[int]]]:
        """What arrived, in order of time, with the polls it stands for."""
        return [(t_ms, row, self.counts(t_ms, row)) for t_ms, row in sorted(self.rows.items())]

    def arrive(self, index: int, column: Column) -> None:
        """Put a column's values to their timestamps; the tag's index is its place in the group."""
        flaw = _flaw(self.group.tags[index], column)
        width = len(self.group.tags)
        rows = self.rows
        for position, (t_ms, raw) in enumerate(zip(column.times, column.raws, strict=True)):
            if raw is None:  # the gateway's mark for a poll that failed; nothing was served for it
                self.valueless += 1
                continue
            row = rows.get(t_ms)
            if row is None:
                row = rows[t_ms] = Row([None] * width)
            if row.raws[index] is None:
                row.raws[index] = raw
            else:
                row.again.append((index, raw))
            if flaw:
                row.flaws.append((index, flaw))
            if column.quality and column.quality[position] != GOOD:
                row.flaws.append((index, f"quality {column.quality[position]}, arrived with a served value"))


class NearestCheck(GroupCheck):
    """Reads of a device that counts none: the nearest in time is meant."""

    def counts(self, t_ms: int, row: Row) -> list[int]:
        """One read: a device answers one at a time, so that what comes twice with one time is doubled."""

        def off_ms(count: int) -> int:
            return abs(self.polls[count].t_ms - t_ms)

        near = sorted(Timeline.of(self).near(t_ms), key=off_ms)
        if not near:
            return [-1]
        # A read may be answered between another one and its sample's time: of such the values tell.
        close = [count for count in near if off_ms(count) <= off_ms(near[0]) + CLOSE_MS]
        return [next((count for count in close if self.polls[count].raws == row.raws), near[0])]


def check_of(device: str, group: Group) -> GroupCheck:
    """The check that a group's way of counting allows."""
    return GroupCheck(device, group) if group.counter is not None else NearestCheck(device, group)


class Timeline:
    """A check's polls in order of time. Made once for as many polls as there are."""

    def __init__(self, check: GroupCheck) -> None:
        ordered = sorted((poll.t_ms, count) for count, poll in check.polls.items())
        self.size = len(ordered)
        self._times = [t_ms for t_ms, _ in ordered]
        self._counts = [count for _, count in ordered]

    @staticmethod
    def of(check: GroupCheck) -> Timeline:
        known = check.timeline
        if known is None or known.size != len(check.polls):
            known = check.timeline = Timeline(check)
        return known

    def near(self, t_ms: int) -> Sequence[int]:
        """Those that a sample of this time may stand for."""
        first = bisect_left(self._times, t_ms - LATE_MS)
        end = bisect_left(self._times, t_ms + EARLY_MS + 1)
        return self._counts[first:end]


def _flaw(tag: Tag, column: Column) -> str:
    """What is wrong with all of a column, in words, or nothing."""
    if column.unit != tag.unit:
        return f"unit {tag.unit!r} was served, {column.unit!r} arrived"
    if column.decimals != tag.decimals:
        return f"{tag.decimals} decimals were served, {column.decimals} arrived"
    return ""
