"""The cloud's own decoder of the envelope codec `json` (docs/wire.md) to typed, frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from headgate_cloud.strict import (
    I64,
    U64,
    Undecodable,
    array,
    choice,
    fields,
    integer,
    mapping,
    number,
    parse,
    string,
)

__all__ = [
    "Column",
    "Context",
    "Envelope",
    "Header",
    "Previous",
    "Sample",
    "Undecodable",
    "WindowRow",
    "columns",
    "decode",
    "header",
]

STREAMS: Final = ("live", "backlog", "alarms", "reports", "health")
CLOCKS: Final = ("synced", "holdover", "unsynced")
KINDS: Final = ("f64", "i64", "u64", "bool", "text")
MAX_QUALITY: Final = 5
MAX_DECIMALS: Final = 18  # 10^18 is the largest power of ten in an i64

_EPOCH: Final = re.compile(r"[0-9a-f]{16}")
_SERIES: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REPORT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COUNT: Final = (1, I64[1])
_HEADER: Final = ("v", "kind", "stream", "epoch", "seq", "clock")
_PAYLOAD: Final = {"samples": ("times", "columns"), "windows": ("windows",), "report": ("report",)}
_STATS: Final = ("min", "max", "mean", "std", "first", "last")
_ASKED: Final = ("sum", "tmean", "good", "inc", "rate", "resets", "p")
_PERCENTILE: Final = re.compile(r"\d{1,3}(\.\d{1,6})?")

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
    that are good, `rate` is the increase per second. `percentiles`: (percent, value).
    """

    series: str
    start_ms: int
    length_ms: int
    unit: str
    decimals: int | None
    revision: int
    n: int
    min: int | float
    max: int | float
    mean: int | float
    std: int | float
    first: int | float
    last: int | float
    step_ms: int
    correction: int = 0
    sum: int | float | None = None
    time_mean: int | float | None = None
    quality: int | float | None = None
    increase: int | float | None = None
    rate: int | float | None = None
    resets: int | None = None
    percentiles: tuple[tuple[float, int | float], ...] = ()


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


def header(body: bytes) -> Header:
    """The header alone, of any payload; raises Undecodable."""
    return _header(mapping(parse(body), "$"))


def decode(body: bytes) -> Envelope:
    """Everything, checked whole; raises Undecodable naming the path of the first fault."""
    whole = mapping(parse(body), "$")
    head = _header(whole)
    more = ("prev", "context") if head.kind == "samples" else ("prev",)
    fields(whole, "$", (*_HEADER, *_PAYLOAD[head.kind]), more)
    if head.kind == "samples":
        context = _context(whole["context"]) if "context" in whole else None
        return Envelope(head, columns=columns(whole), context=context)
    if head.kind == "windows":
        return Envelope(head, windows=tuple(_windows(whole)))
    return Envelope(head, report=_report(whole["report"]))


def _header(whole: Mapping[str, object]) -> Header:
    for name in _HEADER:
        if name not in whole:
            raise Undecodable("$", f"{name!r} is missing")
    integer(whole["v"], "$.v", (1, 1))
    seq = integer(whole["seq"], "$.seq", _COUNT)
    if (seq == 1) != ("prev" in whole):
        raise Undecodable("$.prev", "is there with seq 1, and only then")
    prev = None
    if whole.get("prev") is not None:
        before = fields(whole["prev"], "$.prev", ("epoch", "seq"))
        prev = Previous(
            string(before["epoch"], "$.prev.epoch", _EPOCH), integer(before["seq"], "$.prev.seq", (0, I64[1]))
        )
    return Header(
        kind=choice(whole["kind"], "$.kind", tuple(_PAYLOAD)),
        stream=choice(whole["stream"], "$.stream", STREAMS),
        epoch=string(whole["epoch"], "$.epoch", _EPOCH),
        seq=seq,
        prev=prev,
        clock=choice(whole["clock"], "$.clock", CLOCKS),
    )


def _context(value: object) -> Context:
    path = "$.context"
    found = fields(value, path, ("alarm", "series", "t", "part", "parts"), ("cut",))
    if found.get("cut", True) is not True:
        raise Undecodable(f"{path}.cut", "is true where it is there")
    parts = integer(found["parts"], f"{path}.parts", _COUNT)
    return Context(
        string(found["alarm"], f"{path}.alarm", _NAME),
        string(found["series"], f"{path}.series", _SERIES),
        integer(found["t"], f"{path}.t", I64),
        integer(found["part"], f"{path}.part", (1, parts)),
        parts,
        "cut" in found,
    )


def columns(whole: Mapping[str, object]) -> tuple[Column, ...]:
    """Of an envelope of kind samples, or of a result of `query`; raises Undecodable."""
    for name in ("times", "columns"):
        if name not in whole:
            raise Undecodable("$", f"{name!r} is missing")
    times = [_times(row, f"$.times[{i}]") for i, row in enumerate(array(whole["times"], "$.times"))]
    found = mapping(whole["columns"], "$.columns")
    return tuple(_column(name, column, times) for name, column in found.items())


def _times(value: object, path: str) -> tuple[int, ...]:
    return tuple(t for t in _running_sum(array(value, path), path, I64) if t is not None)


def _column(name: str, value: object, times: list[tuple[int, ...]]) -> Column:
    path = f"$.columns[{name[:130]!r}]"
    series = string(name, path, _SERIES)
    found = fields(value, path, ("u", "k", "d", "r", "t", "v"), ("last", "q"))
    kind = choice(found["k"], f"{path}.k", KINDS)
    decimals = _decimals(found["d"], f"{path}.d")
    times_ms = times[integer(found["t"], f"{path}.t", (0, len(times) - 1))]
    raw = _values(array(found["v"], f"{path}.v"), f"{path}.v", kind, decimals)
    if len(raw) != len(times_ms):
        raise Undecodable(f"{path}.v", f"{len(raw)} values for {len(times_ms)} times")
    last = found.get("last")
    if (last is None) != all(value is None for value in raw):
        raise Undecodable(f"{path}.last", "is there where any value is, and only then")
    return Column(
        series=series,
        unit=string(found["u"], f"{path}.u"),
        kind=kind,
        decimals=decimals,
        revision=integer(found["r"], f"{path}.r", (0, I64[1])),
        times_ms=times_ms,
        raw=raw,
        quality=_quality(found["q"], f"{path}.q", len(raw)) if "q" in found else (0,) * len(raw),
        last=None if last is None else _last(last, f"{path}.last", kind, decimals),
    )


def _decimals(value: object, path: str) -> int | None:
    return None if value is None else integer(value, path, (0, MAX_DECIMALS))


def _values(found: list[object], path: str, kind: str, decimals: int | None) -> tuple[Raw | None, ...]:
    if kind in ("i64", "u64") or (kind == "f64" and decimals is not None):
        return tuple(_running_sum(found, path, U64 if kind == "u64" else I64))
    return tuple(None if v is None else _plain(v, f"{path}[{i}]", kind) for i, v in enumerate(found))


def _running_sum(found: list[object], path: str, bounds: tuple[int, int]) -> Iterator[int | None]:
    """First value, then differences; null is a gap, and differences go on from before it."""
    reached = 0
    for i, step in enumerate(found):
        if step is None and not path.startswith("$.times"):
            yield None
            continue
        # A difference may be as wide as the whole range, so only the sum is bounded.
        reached += integer(step, f"{path}[{i}]", (-U64[1], U64[1]))
        yield integer(reached, f"{path}[{i}]", bounds)


def _plain(value: object, path: str, kind: str) -> Raw:
    if kind == "bool":
        return integer(value, path, (0, 1)) == 1
    return string(value, path) if kind == "text" else float(number(value, path))


def _last(value: object, path: str, kind: str, decimals: int | None) -> Raw:
    """`last` is for rules to select, so it is plain; a bool may also be written true or false."""
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in ("i64", "u64") and not decimals:
        return integer(value, path, U64 if kind == "u64" else I64)
    return number(value, path) if kind in ("i64", "u64") else _plain(value, path, kind)


def _quality(value: object, path: str, length: int) -> tuple[int, ...]:
    codes: list[int] = []
    for i, run in enumerate(array(value, path)):
        pair = array(run, f"{path}[{i}]")
        if len(pair) != 2:
            raise Undecodable(f"{path}[{i}]", "a run is [count, code]")
        count = integer(pair[0], f"{path}[{i}][0]", (1, length - len(codes)))
        codes += [integer(pair[1], f"{path}[{i}][1]", (0, MAX_QUALITY))] * count
    if len(codes) != length:
        raise Undecodable(path, f"{len(codes)} codes for {length} values")
    return tuple(codes)


@dataclass(frozen=True, slots=True)
class _Span:
    start_ms: int
    length_ms: int
    step_ms: int
    correction: int


def _windows(whole: Mapping[str, object]) -> Iterator[WindowRow]:
    for i, window in enumerate(array(whole["windows"], "$.windows")):
        path = f"$.windows[{i}]"
        found = fields(window, path, ("start", "length_ms", "rows"), ("step_ms", "rev"))
        length_ms = integer(found["length_ms"], f"{path}.length_ms", _COUNT)
        start_ms = integer(found["start"], f"{path}.start")
        step_ms = integer(found.get("step_ms", length_ms), f"{path}.step_ms", (1, length_ms))
        correction = integer(found.get("rev", 0), f"{path}.rev", (0, I64[1]))
        if start_ms % step_ms:
            raise Undecodable(f"{path}.start", f"{start_ms} is no multiple of {step_ms}")
        span = _Span(start_ms, length_ms, step_ms, correction)
        for name, row in mapping(found["rows"], f"{path}.rows").items():
            yield _window_row(name, row, f"{path}.rows[{name[:130]!r}]", span)


def _window_row(name: str, row: object, path: str, span: _Span) -> WindowRow:
    found = fields(row, path, ("u", "d", "r", "n", *_STATS), _ASKED)
    low, high, mean, std, first, last = (number(found[stat], f"{path}.{stat}") for stat in _STATS)
    return WindowRow(
        series=string(name, path, _SERIES),
        start_ms=span.start_ms,
        length_ms=span.length_ms,
        step_ms=span.step_ms,
        correction=span.correction,
        unit=string(found["u"], f"{path}.u"),
        decimals=_decimals(found["d"], f"{path}.d"),
        revision=integer(found["r"], f"{path}.r", (0, I64[1])),
        n=integer(found["n"], f"{path}.n", _COUNT),
        min=low,
        max=high,
        mean=mean,
        std=std,
        first=first,
        last=last,
        sum=_asked(found, "sum", path),
        time_mean=_asked(found, "tmean", path),
        quality=_asked(found, "good", path),
        increase=_asked(found, "inc", path),
        rate=_asked(found, "rate", path),
        resets=integer(found["resets"], f"{path}.resets", (0, I64[1])) if "resets" in found else None,
        percentiles=tuple(_percentiles(found.get("p", {}), f"{path}.p")),
    )


def _asked(found: Mapping[str, object], name: str, path: str) -> int | float | None:
    return number(found[name], f"{path}.{name}") if name in found else None


def _percentiles(found: object, path: str) -> Iterator[tuple[float, int | float]]:
    for percent, value in mapping(found, path).items():
        yield float(string(percent, path, _PERCENTILE)), number(value, f"{path}[{percent!r}]")


def _report(value: object) -> Mapping[str, object]:
    """A report's type says which fields it has; only those of type dropped are fixed in version 1."""
    found = mapping(value, "$.report")
    if "type" not in found:
        raise Undecodable("$.report", "'type' is missing")
    if string(found["type"], "$.report.type", _REPORT) == "dropped":
        fields(found, "$.report", ("type", "series", "from", "to", "count", "why"))
        string(found["series"], "$.report.series")
        integer(found["from"], "$.report.from")
        integer(found["to"], "$.report.to")
        integer(found["count"], "$.report.count", (0, I64[1]))
        string(found["why"], "$.report.why")
    return found
