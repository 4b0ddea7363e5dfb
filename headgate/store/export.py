"""Samples and buckets as CSV or columnar JSON, written as they come."""

from __future__ import annotations

import csv
import datetime
import json
import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TextIO

from headgate.model import Quality, Series, Value
from headgate.store.arrays import Line
from headgate.store.downsample import Bucket

_SAMPLE = ("time", "t_ms", "series", "revision", "value", "unit", "quality")
_BUCKET = (
    "time",
    "t_ms",
    "series",
    "revision",
    "count",
    "low",
    "high",
    "mean",
    "first",
    "last",
    "unit",
    "kept_ms",
)


class Writer(Protocol):
    """Where samples go."""

    def line(self, line: Line) -> None:
        """Samples of one series."""

    def buckets(self, series: Series, buckets: Sequence[Bucket]) -> None:
        """Buckets of one series."""

    def close(self) -> None:
        """Nothing more comes."""


class CsvWriter:
    """A row for each sample or bucket; doubles in the shortest form that gives them back."""

    def __init__(self, out: TextIO, *, of_buckets: bool) -> None:
        self._rows = csv.writer(out, lineterminator="\n")
        self._rows.writerow(_BUCKET if of_buckets else _SAMPLE)

    def line(self, line: Line) -> None:
        series = line.series
        self._rows.writerows(
            (iso(t), t, series.name, series.revision, _cell(value), series.unit, _quality(code))
            for t, value, code in zip(
                line.times_ms.tolist(), line.value_list(), line.quality_list(), strict=True
            )
        )

    def buckets(self, series: Series, buckets: Sequence[Bucket]) -> None:
        self._rows.writerows(
            (
                iso(b.start_ms), b.start_ms, series.name, series.revision, b.count, _cell(b.low),
                _cell(b.high), _cell(b.mean), _cell(b.first), _cell(b.last), series.unit, b.kept_ms or None,
            )
            for b in buckets
        )  # fmt: skip

    def close(self) -> None:
        pass


class JsonWriter:
    """One JSON list of columns, each a stretch of one series; NaN and the infinities are texts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._open = "[\n"

    def line(self, line: Line) -> None:
        quality = line.quality_list()
        self._column(
            line.series,
            {"t_ms": line.times_ms.tolist(), "values": [_plain(value) for value in line.value_list()]}
            | ({"quality": quality} if any(quality) else {}),
        )

    def buckets(self, series: Series, buckets: Sequence[Bucket]) -> None:
        names: tuple[str, ...] = ("start_ms", "count", "low", "high", "mean", "first", "last")
        if any(b.kept_ms for b in buckets):
            names = (*names, "kept_ms")
        self._column(series, {name: [_plain(getattr(b, name)) for b in buckets] for name in names})

    def close(self) -> None:
        self._out.write("\n]\n" if self._open != "[\n" else "[]\n")

    def _column(self, series: Series, columns: dict[str, list[Value]] | dict[str, object]) -> None:
        about = {
            "series": series.name, "revision": series.revision, "unit": series.unit, "kind": series.kind,
            "decimals": series.decimals,
        }  # fmt: skip
        self._out.write(self._open + json.dumps(about | columns, separators=(",", ":"), allow_nan=False))
        self._open = ",\n"


def write(writer: Writer, found: Iterable[Line] | Iterable[tuple[Series, list[Bucket]]]) -> int:
    """Write everything; returns how many samples or buckets there were."""
    count = 0
    for one in found:
        if isinstance(one, Line):
            writer.line(one)
            count += len(one)
        else:
            writer.buckets(*one)
            count += len(one[1])
    writer.close()
    return count


def iso(t_ms: int) -> str:
    """UTC, to the millisecond."""
    stamp = datetime.datetime.fromtimestamp(t_ms // 1000, datetime.UTC)
    return f"{stamp:%Y-%m-%dT%H:%M:%S}.{t_ms % 1000:03d}Z"


def _cell(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else value


def _plain(value: Value) -> Value:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _quality(code: int) -> str:
    try:
        return Quality(code).name.lower()
    except ValueError:
        return str(code)
