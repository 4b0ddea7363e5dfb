"""What an envelope is once it is decoded, in whatever codec it came: typed, frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

STREAMS: Final = ("live", "backlog", "alarms", "reports", "health")
CLOCKS: Final = ("synced", "holdover", "unsynced")
KINDS: Final = ("f64", "i64", "u64", "bool", "text")
MAX_QUALITY: Final = 5
MAX_DECIMALS: Final = 18  # 10^18 is the largest power of ten in an i64

MAX_WINDOWS: Final = 10_000
"""In one row: what a short list of runs may not exceed."""

Raw = int | float | bool | str
Value = int | float | bool | str | Decimal


@dataclass(frozen=True, slots=True)
class Previous:
    """The epoch before in the same stream, and its last seq."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Header:
    """What every envelope carries; with the topic's thing it is the envelope's key."""

    kind: str
    stream: str
    epoch: str
    seq: int
    prev: Previous | None
    clock: str


@dataclass(frozen=True, slots=True)
class SchemaRow:
    """A series as a schema of codec compact names it."""

    name: str
    unit: str
    kind: str
    decimals: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series; `value` is None where the device gave none."""

    t_ms: int
    value: Value | None
    quality: int


@dataclass(frozen=True, slots=True)
class Column:
    """The samples of one series; `times_ms`, `raw` and `quality` have one length.

    `raw` holds integers before scaling for i64, u64 and f64 with decimals, values as they are otherwise.
    """

    series: str
    unit: str
    kind: str
    decimals: int | None
    revision: int
    times_ms: tuple[int, ...]
    raw: tuple[Raw | None, ...]
    quality: tuple[int, ...]
    last: Raw | None

    def samples(self) -> Iterator[Sample]:
        """Scaled: f64 as the nearest double, integers with decimals as exact Decimals."""
        for t_ms, value, quality in zip(self.times_ms, self.values(), self.quality, strict=True):
            yield Sample(t_ms, value, quality)

    def values(self) -> list[Value | None]:
        """Of `samples`, the values alone."""
        return [None if raw is None else self._scale(raw) for raw in self.raw]

    def _scale(self, raw: Raw) -> Value:
        if type(raw) is not int or self.decimals is None:
            return float(raw) if self.kind == "f64" else raw
        if self.kind == "f64":
            scaled: float = raw / 10**self.decimals  # int / int is rounded once, to the nearest double
            return scaled
        return raw if self.decimals == 0 else Decimal(raw).scaleb(-self.decimals)


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One series in one window [start_ms, start_ms + length_ms).

    Of rows that differ in `correction` alone the highest holds. What is None was not asked for (or could not
    be told, of a rate): `time_mean` weighs values with how long they held, `quality` is the share of samples
    that are good, `rate` is the increase per second. `percentiles`: (percent, value). `mean_step`: what mean,
    `time_mean` and (a hundredth of it) `std` were rounded to; None: they are exact.
    """

    series: str
    start_ms: int
    length_ms: int
    unit: str
    decimals: int | None
    revision: int
    n: int
    min: int | float | None
    max: int | float | None
    mean: int | float
    std: int | float | None
    first: int | float | None
    last: int | float | None
    step_ms: int
    correction: int = 0
    sum: int | float | None = None
    time_mean: int | float | None = None
    quality: int | float | None = None
    increase: int | float | None = None
    rate: int | float | None = None
    resets: int | None = None
    percentiles: tuple[tuple[float, int | float], ...] = ()
    mean_step: float | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The event whose surroundings these samples are: `alarm` was raised over `series` at `t_ms`.

    `part` of `parts` envelopes; `cut`: there would have been more.
    """

    alarm: str
    series: str
    t_ms: int
    part: int
    parts: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """A decoded envelope: columns for kind samples, windows for windows, report for report.

    With `context` the columns may have come, or come yet, in other envelopes as well.
    """

    header: Header
    columns: tuple[Column, ...] = ()
    windows: tuple[WindowRow, ...] = ()
    report: Mapping[str, object] | None = None
    context: Context | None = None
