"""What arrived: columns of samples, rows of windows, reports; and a decoder of its own for codec `json`."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

KINDS = frozenset({"f64", "i64", "u64", "bool", "text"})
SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
NAN_BITS = struct.unpack(">q", struct.pack(">d", float("nan")))[0]

Raw = int | str | None
"""A value as it is compared: a raw integer (value * 10^decimals), a double's 64 bits as an integer where
there are no decimals, a text, or None where there is no value."""


class DecodeError(Exception):
    """An envelope that does not follow docs/wire.md; says what and where in it."""


class Reading(NamedTuple):
    """One sample as it arrived."""

    series: str
    t_ms: int
    raw: Raw
    quality: int
    unit: str
    decimals: int | None


@dataclass(frozen=True, slots=True)
class Column:
    """The samples of one series in one envelope; times, raws and quality are parallel.

    `decimals` is None for doubles without a scale; integers count as 0 decimals. No `quality`: all good.
    """

    series: str
    unit: str
    decimals: int | None
    times: Sequence[int]
    raws: Sequence[Raw]
    quality: Sequence[int] = ()

    def readings(self) -> Iterator[Reading]:
        quality = self.quality or [0] * len(self.times)
        for t_ms, raw, code in zip(self.times, self.raws, quality, strict=True):
            yield Reading(self.series, t_ms, raw, code, self.unit, self.decimals)


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One series in one window [start_ms, start_ms + length_ms), in engineering units."""

    series: str
    start_ms: int
    length_ms: int
    n: int
    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    first: float | None
    last: float | None
    unit: str
    revision: int = 0
    mean_step: float = 0.0
    """What mean, and to a hundredth of it std, were rounded to."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One envelope, decoded. `received_ms`: when the cloud's rule saw it, UTC; 0 where it is not known."""

    stream: str
    epoch: str
    seq: int
    columns: tuple[Column, ...] = ()
    windows: tuple[WindowRow, ...] = ()
    report: dict[str, Any] | None = None
    received_ms: int = 0


def decode(body: bytes) -> Arrived:
    """Decode an envelope of codec `json`, version 1 or 2; raises DecodeError."""
    try:
        envelope = json.loads(body)
        if envelope["v"] not in (1, 2):
            raise DecodeError(f"version {envelope['v']!r}, this checker reads versions 1 and 2")
        second = envelope["v"] == 2
        head = (str(envelope["stream"]), str(envelope["epoch"]), int(envelope["seq"]))
        match envelope["kind"]:
            case "samples" if "context" in envelope:  # what surrounds an alarm comes in other envelopes too
                return Arrived(*head)
            case "samples":
                times = [list(accumulate(row)) for row in envelope["times"]]
                if second:
                    for row in envelope["columns"].values():
                        row.update(zip("ukdrt", envelope["sets"][row["s"]], strict=True))
                columns = (_column(name, row, times) for name, row in envelope["columns"].items())
                return Arrived(*head, columns=tuple(columns))
            case "windows":
                if second:
                    blocks = (row for block in envelope["windows"] for row in _block(block, envelope["sets"]))
                    return Arrived(*head, windows=tuple(blocks))
                rows = (row for window in envelope["windows"] for row in _windows(window))
                return Arrived(*head, windows=tuple(rows))
            case "report":
                return Arrived(*head, report=dict(envelope["report"]))
            case kind:
                raise DecodeError(f"kind {kind!r}, known are samples, windows, report")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise DecodeError(f"not an envelope of codec json: {error!r}") from error


def _column(name: str, row: dict[str, Any], times: Sequence[Sequence[int]]) -> Column:
    kind, decimals, values = row["k"], row.get("d"), row["v"]
    if kind not in KINDS:
        raise DecodeError(f"{name}: kind {kind!r}, known are {', '.join(sorted(KINDS))}")
    at = times[row["t"]]
    if len(at) != len(values):
        raise DecodeError(f"{name}: {len(values)} values for {len(at)} times")
    quality = [code for count, code in row.get("q", ()) for _ in range(count)]
    if quality and len(quality) != len(values):
        raise DecodeError(f"{name}: {len(quality)} qualities for {len(values)} values")
    raws: Sequence[Raw]
    if kind in {"i64", "u64"} or (kind == "f64" and decimals is not None):
        raws, decimals = _undelta(name, values), decimals or 0
    elif kind == "f64":
        raws = double_bits([_number(value) for value in values])
    else:
        raws = values
    return Column(name, row["u"], decimals, at, raws, quality)


def _undelta(name: str, deltas: Sequence[int | None]) -> list[Raw]:
    """First value, then differences; None keeps its place and the last value goes on."""
    if any(delta is not None and type(delta) is not int for delta in deltas):
        raise DecodeError(f"{name}: a difference is not an integer")
    if None not in deltas:
        return list(accumulate(delta or 0 for delta in deltas))
    sums = accumulate(delta or 0 for delta in deltas)
    return [None if delta is None else total for delta, total in zip(deltas, sums, strict=True)]


def double_bits(values: Sequence[float | None]) -> list[Raw]:
    """Doubles as their 64 bits: comparing them is exact, tells -0.0 from 0.0, and NaN equals NaN."""
    packed = struct.pack(f">{len(values)}d", *(0.0 if value is None else value for value in values))
    bits: list[Raw] = list(struct.unpack(f">{len(values)}q", packed))
    for index, value in enumerate(values):
        if value is None:
            bits[index] = None
        elif value != value:
            bits[index] = NAN_BITS
    return bits


def double_of(bits: int) -> float:
    """The double that `double_bits` made `bits` of."""
    value: float = struct.unpack(">d", struct.pack(">q", bits))[0]
    return value


def _windows(window: dict[str, Any]) -> Iterator[WindowRow]:
    for name, row in window["rows"].items():
        yield WindowRow(
            series=name,
            start_ms=window["start"],
            length_ms=window["length_ms"],
            n=row["n"],
            min=_number(row["min"]),
            max=_number(row["max"]),
            mean=_number(row["mean"]),
            std=_number(row["std"]),
            first=_number(row["first"]),
            last=_number(row["last"]),
            unit=row["u"],
            revision=window.get("rev", 0),
        )


def _block(block: dict[str, Any], sets: Sequence[Sequence[Any]]) -> Iterator[WindowRow]:
    """Version 2: columns over consecutive windows."""
    step_ms = block.get("step_ms", block["length_ms"])
    starts = [first + i * step_ms for first, count in block["start"] for i in range(count)]
    length = len(starts)
    revisions = _spread(block.get("rev", 0), length)
    for name, row in block["rows"].items():
        columns = dict(zip(block["columns"], row[1:], strict=False))
        more = row[-1] if len(row) > len(block["columns"]) + 1 else {}
        unit, _, decimals, _ = sets[more.get("s", 0)]
        digits = more.get("m", decimals or 0)
        short = digits is not None
        lists = {key: _spread(value, length - (short and key == "mean")) for key, value in columns.items()}
        if digits is not None:
            means = [round(Decimal(repr(row[0])).scaleb(digits))]
            for difference in reversed(lists["mean"]):
                means.insert(0, means[0] - difference)
            lists["mean"] = means
            if "min" in lists:
                lists["min"] = [-value for value in lists["min"]]
        counts = _spread(more.get("n", block.get("n")), length)
        yield from statistics(
            name, unit, decimals, digits, (starts, block["length_ms"], revisions), counts, lists
        )


def statistics(
    name: str,
    unit: str,
    decimals: int | None,
    digits: int | None,
    axis: tuple[Sequence[int], int, Sequence[int]],
    counts: Sequence[int],
    lists: Mapping[str, Sequence[Any]],
) -> Iterator[WindowRow]:
    """Rows of lists over time; with `digits` they are integers, the extremes relative to the mean."""
    starts, length_ms, revisions = axis
    if any(len(values) != len(starts) for values in (counts, *lists.values())):
        raise DecodeError(f"{name}: not a number for each of {len(starts)} windows")
    for i, start_ms in enumerate(starts):
        found = {key: values[i] for key, values in lists.items()}
        if digits is not None:
            base = found["mean"] // 10 ** (digits - (decimals or 0))
            for key in {"min", "max", "first", "last"} & found.keys():
                found[key] = (base + found[key]) / 10 ** (decimals or 0)
            found["mean"] /= 10**digits
            if "std" in found:
                found["std"] /= 10 ** (digits + 2)
        plain = {key: _number(found.get(key)) for key in ("min", "max", "mean", "std", "first", "last")}
        step = 0.0 if digits is None else 10.0**-digits
        revision = revisions[i] if revisions else 0
        yield WindowRow(
            name, start_ms, length_ms, counts[i], **plain, unit=unit, revision=revision, mean_step=step
        )


def _spread(value: Any, length: int) -> list[Any]:
    """A list as it is, anything else so many times."""
    return value if isinstance(value, list) else [value] * length


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(SPECIAL.get(value, value) if isinstance(value, str) else value)
