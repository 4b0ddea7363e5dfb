"""What the checker found, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EXAMPLES_MAX = 5
"""Examples kept of each kind of fault; the numbers are complete."""


class Faults:
    """Counts faults of one kind and keeps the first few in words."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, words: str, count: int = 1) -> None:
        self.count += count
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(words)


@dataclass(frozen=True, slots=True)
class LostPoll:
    """A poll of which values never arrived: `values` of its tags are missing."""

    device: str
    group: str
    count: int
    served_ms: int
    values: int


@dataclass(frozen=True, slots=True)
class BusSums:
    """Values of one field bus; `wrong` counts here also what could not be told apart."""

    served: int
    arrived: int
    lost: int
    doubled: int
    wrong: int


@dataclass(frozen=True, slots=True)
class TelemetryResult:
    """Numbers count values (samples), not polls.

    served: values in the polls of the interval. arrived: those of them that arrived at least once, right
    or wrong. lost = served - arrived. doubled: arrivals beyond the first. wrong: value, unit, decimals,
    quality or time differ, or nothing was served like it. unmatched: arrived without the counter that would
    tell their poll (it may still come; their polls count as lost). missing: series of which nothing arrived.
    unknown: arrived series that no device has. buses: the same numbers of each field bus.
    excused: values that never arrived and were not demanded (`Telemetry.excuse`).
    """

    served: int
    arrived: int
    lost: int
    doubled: int
    wrong: int
    unmatched: int
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    examples: dict[str, tuple[str, ...]]
    lost_polls: tuple[LostPoll, ...]
    buses: Mapping[str, BusSums]
    excused: int = 0

    @property
    def ok(self) -> bool:
        return self.served > 0 and not (
            self.lost or self.doubled or self.wrong or self.unmatched or self.missing
        )


@dataclass(frozen=True, slots=True)
class WindowsResult:
    """Numbers count rows (one series in one window): expected of the samples, arrived, and what is amiss.

    unjudged: rows that arrived for windows of which some sample has not arrived.
    """

    expected: int
    arrived: int
    lost: int
    doubled: int
    wrong: int
    unjudged: int
    examples: dict[str, tuple[str, ...]]

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.unjudged)


@dataclass(frozen=True, slots=True)
class CloudResult:
    """What the tables say for themselves.

    envelopes: stored. unreadable: bodies that are not what their key or digest says. gaps: envelopes missing
    below a stream's highest seq. rejected: by the ingest. reported_dropped: samples the gateway says it shed.
    """

    envelopes: int
    unreadable: int
    gaps: int
    rejected: int
    reported_dropped: int
    examples: dict[str, tuple[str, ...]]

    @property
    def ok(self) -> bool:
        return not (self.unreadable or self.rejected)


@dataclass(frozen=True, slots=True)
class Result:
    """Everything, for [since_ms, until_ms) of the devices' clock."""

    since_ms: int
    until_ms: int
    telemetry: TelemetryResult
    windows: WindowsResult
    cloud: CloudResult

    @property
    def ok(self) -> bool:
        return self.telemetry.ok and self.windows.ok and self.cloud.ok
