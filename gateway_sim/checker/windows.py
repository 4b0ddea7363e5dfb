"""Windows: recomputed from the served records and the arrived timestamps, by arithmetic of their own."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from gateway_sim.checker.arrived import WindowRow, double_of
from gateway_sim.checker.groups import EARLY_MS, LATE_MS, GroupCheck
from gateway_sim.checker.result import Faults, WindowsResult
from gateway_sim.checker.telemetry import Telemetry

MEAN_RELATIVE = 1e-9
"""How far mean and std may be off, relative to their exact values."""
STD_FLOOR_RELATIVE = 1e-12
"""A std near 0 may be off by this share of the largest magnitude: doubles carry no more."""

Expected = dict[str, WindowRow]
"""Recomputed rows by series."""


@dataclass(frozen=True, slots=True)
class _Samples:
    """One group's matched samples: times in order and, parallel to them, the served raws of all its tags.

    `absent`: when the polls were served of which nothing arrived, in order.
    """

    times: list[int]
    raws: list[Sequence[int]]
    absent: list[int]

    def complete(self, start_ms: int, end_ms: int) -> bool:
        """Whether everything arrived whose time may lie in [start_ms, end_ms)."""
        first = bisect_left(self.absent, start_ms - LATE_MS)
        return first == len(self.absent) or self.absent[first] >= end_ms + EARLY_MS


class Windows:
    """Takes arrived window rows; `result` recomputes those that lie whole within an interval."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], dict[str, list[WindowRow]]] = {}

    def arrive(self, rows: Iterable[WindowRow]) -> None:
        for row in rows:
            window = self.rows.setdefault((row.start_ms, row.length_ms), {})
            window.setdefault(row.series, []).append(row)

    def result(self, telemetry: Telemetry, length_ms: int, since_ms: int, until_ms: int) -> WindowsResult:
        """Judge every window of `length_ms` that lies whole within [since_ms, until_ms)."""
        judge = _Judge()
        samples = [(check, _samples(check)) for check in telemetry.groups.values()]
        starts = {t_ms // length_ms * length_ms for _, matched in samples for t_ms in matched.times}
        starts |= {start_ms for start_ms, length in self.rows if length == length_ms}
        for start_ms in sorted(starts):
            if not since_ms <= start_ms <= until_ms - length_ms:
                continue
            arrived = self.rows.get((start_ms, length_ms), {})
            for check, matched in samples:
                rows = {name: arrived[name] for name in check.names if name in arrived}
                if matched.complete(start_ms, start_ms + length_ms):
                    judge.window(dict(_recompute(check, matched, start_ms, length_ms)), rows, start_ms)
                else:
                    judge.unjudged += len(rows)
        return judge.result()


def _samples(check: GroupCheck) -> _Samples:
    """Join the arrived timestamps with what was served: by time, of equal times as acquired."""
    joined = sorted(
        (t_ms, count)
        for t_ms, _, counts in check.matched()
        for count in dict.fromkeys(counts)
        if count in check.polls
    )
    served: list[Sequence[int]] = [
        check.polls[count].raws  # type: ignore[misc]  # served raws are integers: no None, no text
        for _, count in joined
    ]
    arrived = {count for _, count in joined}
    absent = sorted(
        poll.t_ms for count, poll in check.polls.items() if check.demands(poll) and count not in arrived
    )
    return _Samples([t_ms for t_ms, _ in joined], served, absent)


def _recompute(
    check: GroupCheck, samples: _Samples, start_ms: int, length_ms: int
) -> Iterator[tuple[str, WindowRow]]:
    first = bisect_left(samples.times, start_ms)
    end = bisect_left(samples.times, start_ms + length_ms)
    if first == end:
        return
    columns = zip(*samples.raws[first:end], strict=True)
    for name, tag, raws in zip(check.names, check.group.tags, columns, strict=True):
        statistics = of_doubles(raws) if tag.decimals is None else of_integers(raws, tag.decimals)
        yield name, WindowRow(name, start_ms, length_ms, len(raws), *statistics, unit=tag.unit)


def of_integers(raws: Sequence[int], decimals: int) -> tuple[float, float, float, float, float, float]:
    """min, max, mean, std (population), first, last of raws / 10^decimals; exact until the last rounding."""
    scale, n, total = 10**decimals, len(raws), sum(raws)
    squares = sum(raw * raw for raw in raws)
    variance = Fraction(n * squares - total * total, n * n * scale * scale)
    return (
        min(raws) / scale,
        max(raws) / scale,
        total / (n * scale),
        math.sqrt(variance),
        raws[0] / scale,
        raws[-1] / scale,
    )


def of_doubles(bits: Sequence[int]) -> tuple[float, float, float, float, float, float]:
    """The same of doubles given as their bits; sums are exact (fsum)."""
    values = [double_of(raw) for raw in bits]
    n = len(values)
    mean = math.fsum(values) / n
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n)
    return min(values), max(values), mean, std, values[0], values[-1]


class _Judge:
    def __init__(self) -> None:
        self.expected = self.arrived = self.unjudged = 0
        self.lost, self.doubled, self.wrong = Faults(), Faults(), Faults()

    def window(self, expected: Expected, arrived: dict[str, list[WindowRow]], start_ms: int) -> None:
        self.expected += len(expected)
        for name, want in expected.items():
            rows = arrived.get(name, [])
            if not rows:
                self.lost.add(f"{name} window {start_ms}: {want.n} samples, never arrived")
                continue
            self.arrived += 1
            highest = max(row.revision for row in rows)  # what a window amounts to once it was corrected
            doubled = len(rows) - len({row.revision for row in rows})
            if doubled:
                self.doubled.add(f"{name} window {start_ms}: arrived {len(rows)} times", doubled)
            for row in rows:
                if row.revision == highest and (fault := difference(want, row)):
                    self.wrong.add(f"{name} window {start_ms}: {fault}")
                    break
        for name in arrived.keys() - expected.keys():
            self.wrong.add(f"{name} window {start_ms}: arrived, but no sample lies in it")

    def result(self) -> WindowsResult:
        return WindowsResult(
            self.expected,
            self.arrived,
            self.lost.count,
            self.doubled.count,
            self.wrong.count,
            self.unjudged,
            {
                "lost": tuple(self.lost.examples),
                "doubled": tuple(self.doubled.examples),
                "wrong": tuple(self.wrong.examples),
            },
        )


def difference(want: WindowRow, got: WindowRow) -> str:
    """What differs, in words, or nothing."""
    for key in ("unit", "n", "min", "max", "first", "last"):
        if (expected := getattr(want, key)) != (found := getattr(got, key)):
            return f"{key} {expected!r} recomputed, {found!r} arrived"
    largest = max(abs(want.min or 0.0), abs(want.max or 0.0))
    half = got.mean_step * (0.5 + MEAN_RELATIVE)  # what rounding may take
    for key, floor in (("mean", half), ("std", STD_FLOOR_RELATIVE * largest + half / 100)):
        expected, found = getattr(want, key), getattr(got, key)
        if found is None or not math.isclose(expected, found, rel_tol=MEAN_RELATIVE, abs_tol=floor):
            return f"{key} {expected!r} recomputed, {found!r} arrived"
    return ""


def check_windows(
    telemetry: Telemetry, rows: Iterable[WindowRow], length_ms: int, since_ms: int, until_ms: int
) -> WindowsResult:
    """All at once, for telemetry and rows that are complete."""
    windows = Windows()
    windows.arrive(rows)
    return windows.result(telemetry, length_ms, since_ms, until_ms)
