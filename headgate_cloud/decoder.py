"""The cloud's own decoder of the envelope codec `json` (docs/wire.md) to typed, frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from headgate_cloud.forms import (
    CLOCKS,
    STREAMS,
    Column,
    Context,
    Envelope,
    Header,
    Previous,
    Sample,
    WindowRow,
)
from headgate_cloud.json_columns import SERIES, columns, columns_of_sets, decimals_of
from headgate_cloud.json_windows import windows_of_sets
from headgate_cloud.strict import (
    I64,
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

_EPOCH: Final = re.compile(r"[0-9a-f]{16}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_REPORT: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_COUNT: Final = (1, I64[1])
_HEADER: Final = ("v", "kind", "stream", "epoch", "seq", "clock")
_PAYLOAD: Final = {"samples": ("times", "columns"), "windows": ("windows",), "report": ("report",)}
_VERSIONS: Final = (1, 2)
_STATS: Final = ("min", "max", "mean", "std", "first", "last")
_ASKED: Final = ("sum", "tmean", "good", "inc", "rate", "resets", "p")
_PERCENTILE: Final = re.compile(r"\d{1,3}(\.\d{1,6})?")


def header(body: bytes) -> Header:
    """The header alone, of any payload; raises Undecodable."""
    return _header(mapping(parse(body), "$"))


def decode(body: bytes) -> Envelope:
    """Everything, checked whole; raises Undecodable naming the path of the first fault."""
    whole = mapping(parse(body), "$")
    head = _header(whole)
    sets = () if whole["v"] == 1 or head.kind == "report" else ("sets",)
    more = ("prev", "context") if head.kind == "samples" else ("prev",)
    fields(whole, "$", (*_HEADER, *_PAYLOAD[head.kind], *sets), more)
    if sets and head.kind == "windows":
        return Envelope(head, windows=windows_of_sets(whole))
    if head.kind == "samples":
        context = _context(whole["context"]) if "context" in whole else None
        found = columns_of_sets(whole) if sets else columns(whole)
        return Envelope(head, columns=found, context=context)
    if head.kind == "windows":
        return Envelope(head, windows=tuple(_windows(whole)))
    return Envelope(head, report=_report(whole["report"]))


def _header(whole: Mapping[str, object]) -> Header:
    for name in _HEADER:
        if name not in whole:
            raise Undecodable("$", f"{name!r} is missing")
    integer(whole["v"], "$.v", (_VERSIONS[0], _VERSIONS[-1]))
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
        string(found["series"], f"{path}.series", SERIES),
        integer(found["t"], f"{path}.t", I64),
        integer(found["part"], f"{path}.part", (1, parts)),
        parts,
        "cut" in found,
    )


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
        series=string(name, path, SERIES),
        start_ms=span.start_ms,
        length_ms=span.length_ms,
        step_ms=span.step_ms,
        correction=span.correction,
        unit=string(found["u"], f"{path}.u"),
        decimals=decimals_of(found["d"], f"{path}.d"),
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
