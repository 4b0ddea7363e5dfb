"""Telemetry: every value that a device served arrived exactly once, equal, with its unit and its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway_sim.checker.arrived import Column, Raw, Reading, double_of
from gateway_sim.checker.groups import EARLY_MS, LATE_MS, GroupCheck, Row, check_of
from gateway_sim.checker.result import BusSums, Faults, LostPoll, TelemetryResult
from gateway_sim.checker.served import Poll
from gateway_sim.devices.plantfile import Plant, Tag


class Telemetry:
    """Takes served polls and arrived columns in any order; `result` judges an interval at any time.

    `more` are checks besides the plant's, `unchecked` series that may arrive and are not judged.
    """

    def __init__(self, plant: Plant, more: Iterable[GroupCheck] = (), unchecked: Iterable[str] = ()) -> None:
        checks = [check_of(device.name, group) for device in plant.devices for group in device.groups]
        checks += more
        self.groups = {(check.device, check.group.name): check for check in checks}
        self._unchecked = frozenset(unchecked)
        self._excused: list[tuple[int, int]] = []
        for check in checks:
            check.excused = self._excused
        self.places = {
            name: (check, index) for check in self.groups.values() for index, name in enumerate(check.names)
        }
        self.unknown: set[str] = set()

    def excuse(self, since_ms: int, until_ms: int) -> None:
        """What is served in [since_ms, until_ms) may be missing; what arrives of it must be right."""
        self._excused.append((since_ms, until_ms))

    def serve(self, polls: Iterable[Poll]) -> None:
        for poll in polls:
            self.groups[poll.device, poll.group].polls[poll.count] = poll

    def arrive(self, columns: Iterable[Column]) -> None:
        for column in columns:
            place = self.places.get(column.series)
            if place is None and column.series in self._unchecked:
                continue
            if place is None:
                self.unknown.add(column.series)
            else:
                place[0].arrive(place[1], column)

    def result(self, since_ms: int, until_ms: int) -> TelemetryResult:
        """Judge the polls that were served in [since_ms, until_ms)."""
        judges: dict[str, _Judge] = {}
        for check in self.groups.values():
            judges.setdefault(check.bus, _Judge(since_ms, until_ms)).group(check)
        every = list(judges.values())
        kinds = ("lost", "doubled", "wrong", "unmatched")
        faults = {kind: [getattr(judge, kind) for judge in every] for kind in kinds}
        count = {kind: sum(found.count for found in faults[kind]) for kind in kinds}
        served = sum(judge.served for judge in every)
        return TelemetryResult(
            served,
            served - count["lost"],
            count["lost"],
            count["doubled"],
            count["wrong"],
            count["unmatched"],
            tuple(name for judge in every for name in judge.missing),
            tuple(sorted(self.unknown)),
            {kind: tuple(words for found in faults[kind] for words in found.examples) for kind in kinds},
            tuple(lost for judge in every for lost in judge.lost_polls),
            {bus: judge.sums() for bus, judge in judges.items()},
            sum(judge.excused for judge in every),
        )


def check_telemetry(
    plant: Plant, polls: Iterable[Poll], columns: Iterable[Column], since_ms: int, until_ms: int
) -> TelemetryResult:
    """All at once, for records and columns that are complete."""
    telemetry = Telemetry(plant)
    telemetry.serve(polls)
    telemetry.arrive(columns)
    return telemetry.result(since_ms, until_ms)


def columns_of(readings: Iterable[Reading]) -> list[Column]:
    """Single readings (of another decoder) as the columns that `arrive` takes."""
    return [Column(r.series, r.unit, r.decimals, [r.t_ms], [r.raw], [r.quality]) for r in readings]


Match = tuple[int, Row, list[int]]
"""UTC ms, what arrived with it, and the polls it stands for."""


class _Judge:
    def __init__(self, since_ms: int, until_ms: int) -> None:
        self.since_ms, self.until_ms = since_ms, until_ms
        self.served = self.excused = 0
        self.lost, self.doubled, self.wrong, self.unmatched = Faults(), Faults(), Faults(), Faults()
        self.missing: list[str] = []
        self.lost_polls: list[LostPoll] = []

    def group(self, check: GroupCheck) -> None:
        rows_of: dict[int, list[Match]] = {}
        for t_ms, row, counts in check.matched():
            for count in set(counts):
                rows_of.setdefault(count, []).append((t_ms, row, counts))
            if not counts or any(count not in check.polls for count in counts):
                self._strays(check, t_ms, row, counts)
        judged = [poll for poll in check.polls.values() if self.since_ms <= poll.t_ms < self.until_ms]
        seen = [False] * len(check.names)
        for poll in judged:
            rows = rows_of.get(poll.count, [])
            if check.demands(poll) or rows:
                self.served += len(check.names)
                self._poll(check, poll, rows, seen)
            elif check.is_excused(poll):
                self.excused += len(check.names)
        if any(check.demands(poll) for poll in judged):
            self.missing += [name for name, there in zip(check.names, seen, strict=True) if not there]

    def sums(self) -> BusSums:
        """What was counted, apart from what only words tell."""
        lost = self.lost.count
        wrong = self.wrong.count + self.unmatched.count
        return BusSums(self.served, self.served - lost, lost, self.doubled.count, wrong)

    def _strays(self, check: GroupCheck, t_ms: int, row: Row, counts: Sequence[int]) -> None:
        """Values that no served poll stands behind."""
        if not self.since_ms - EARLY_MS <= t_ms < self.until_ms:
            return
        for index, raw in enumerate(row.raws):
            if raw is None:
                continue
            arrived = f"{check.names[index]} at {t_ms}: arrived {_words(check.group.tags[index], raw)}"
            if counts:
                self.wrong.add(f"{arrived}, but {check.kind} {counts} are not in the record")
            else:
                self.unmatched.add(f"{arrived}, but its counter did not")

    def _poll(self, check: GroupCheck, poll: Poll, rows: list[Match], seen: list[bool]) -> None:
        if len(rows) == 1 and rows[0][1].raws == poll.raws and not (rows[0][1].again or rows[0][1].flaws):
            seen[:] = [True] * len(seen)  # the plain case costs one comparison
            self._time(check, poll, rows[0][0], len(seen))
            return
        lost = 0
        for index, expected in enumerate(poll.raws):
            lost += self._value(check, poll, index, expected, rows, seen)
        for t_ms, row, _ in rows:
            self._time(check, poll, t_ms, sum(raw is not None for raw in row.raws))
        if lost:
            self.lost_polls.append(LostPoll(check.device, check.group.name, poll.count, poll.t_ms, lost))

    def _value(
        self,
        check: GroupCheck,
        poll: Poll,
        index: int,
        expected: Raw,
        rows: list[Match],
        seen: list[bool],
    ) -> int:
        """Judge one tag of one poll; 1 if it never arrived."""
        tag, where = check.group.tags[index], f"{check.names[index]} poll {poll.count}"
        arrived = [raw for _, row, counts in rows for raw in _share(row, index, poll.count, counts)]
        if not arrived:
            self.lost.add(f"{where}: served {_words(tag, expected)} at {poll.t_ms}, never arrived")
            return 1
        seen[index] = True
        if len(arrived) > 1:
            self.doubled.add(f"{where}: served once, arrived {len(arrived)} times", len(arrived) - 1)
        flaws = [words for _, row, _ in rows for at, words in row.flaws if at == index]
        if different := [raw for raw in arrived if raw != expected]:
            self.wrong.add(f"{where}: served {_words(tag, expected)}, arrived {_words(tag, different[0])}")
        elif flaws:
            self.wrong.add(f"{where}: {flaws[0]}")
        return 0

    def _time(self, check: GroupCheck, poll: Poll, t_ms: int, values: int) -> None:
        if not poll.t_ms - EARLY_MS <= t_ms <= poll.t_ms + LATE_MS:
            offset = t_ms - poll.t_ms
            words = f"{check.device}/{check.group.name} poll {poll.count}: served at {poll.t_ms}"
            self.wrong.add(f"{words}, its samples say {offset:+d} ms", values)


def _share(row: Row, index: int, count: int, counts: Sequence[int]) -> list[Raw]:
    """A tag's arrivals for poll `count`: of k polls with one timestamp the n-th has the n-th value."""
    values = [row.raws[index], *(raw for at, raw in row.again if at == index)]
    values = [raw for raw in values if raw is not None]
    counts = list(dict.fromkeys(counts))
    return values[counts.index(count) :: len(counts)] if len(counts) > 1 else values


def _words(tag: Tag, raw: Raw) -> str:
    return repr(double_of(raw)) if tag.type == "float32" and isinstance(raw, int) else str(raw)
