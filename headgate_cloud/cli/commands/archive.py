"""`headgate archive`: samples or windows that the cloud stored, as a summary, as CSV or as JSON."""

from __future__ import annotations

import argparse
import csv
import datetime
import fnmatch
import json
import sys
from collections.abc import Iterator
from typing import Final

from headgate_cloud.archive import Archive
from headgate_cloud.cli import times
from headgate_cloud.cli.cloud import chosen
from headgate_cloud.cli.errors import DONE, REFUSED
from headgate_cloud.cli.output import Column, Output, plain
from headgate_cloud.cli.session import now_ms
from headgate_cloud.merged import Merged
from headgate_cloud.reading import Reader
from headgate_cloud.schemas import Schemas
from headgate_cloud.tables import Tables

SAMPLE_FIELDS: Final = ("series", "t_ms", "time", "value", "unit", "quality")
WINDOW_FIELDS: Final = (
    *("series", "start_ms", "time", "length_ms", "step_ms", "correction", "unit", "n"),
    *("mean", "min", "max", "std", "first", "last", "sum", "time_mean", "quality"),
    *("increase", "rate", "resets", "percentiles"),
)
SUMMARY: Final = (
    Column("Series", whole=True),
    Column("Count", right=True),
    Column("First", whole=True),
    Column("Last", whole=True),
    Column("Newest", right=True),
)


def run(given: argparse.Namespace) -> int:
    """Exit code 1 where some envelope could not be read; what could is written all the same."""
    now = now_ms()
    from_ms, to_ms = times.instant_ms(given.start, now), times.instant_ms(given.end, now)
    reader, patterns = _reader(given), given.series or ["*"]

    def takes(series: str) -> bool:
        return any(fnmatch.fnmatchcase(series, pattern) for pattern in patterns)

    with Merged(from_ms, to_ms, takes) as merged:
        until_ms = min(now, to_ms + round(given.late * 1000))
        for envelope in reader.envelopes(given.gateway, from_ms, until_ms):
            merged.add(envelope)
        rows = _windows(merged) if given.windows else _samples(merged)
        out = Output(as_json=given.json)
        if given.json:
            for row in rows:
                sys.stdout.write(_line(row) + "\n")
        elif given.csv:
            _csv(rows, WINDOW_FIELDS if given.windows else SAMPLE_FIELDS)
        else:
            out.table(SUMMARY, list(_summary(rows, "start_ms" if given.windows else "t_ms")))
    return _say_unread(out, reader)


def _reader(given: argparse.Namespace) -> Reader:
    cloud = chosen(given)
    dynamodb, streams = cloud.client("dynamodb"), cloud.table("Streams")
    tables = Tables(dynamodb, cloud.table("Envelopes"), streams, "")
    return Reader(Archive(cloud.client("s3"), cloud.archive()), tables, Schemas(dynamodb, streams))


class _Exact(str):
    """JSON already."""


def _samples(merged: Merged) -> Iterator[dict[str, object]]:
    for found in merged.samples():
        yield {
            "series": found.series,
            "t_ms": found.t_ms,
            "time": _utc(found.t_ms),
            "value": _Exact(found.value),
            "unit": found.unit,
            "quality": found.quality,
        }


def _windows(merged: Merged) -> Iterator[dict[str, object]]:
    for found in merged.windows():
        start_ms = found["start_ms"]
        assert isinstance(start_ms, int)
        yield {"series": found.pop("series"), "time": _utc(start_ms), **found}


def _utc(t_ms: int) -> str:
    found = datetime.datetime.fromtimestamp(t_ms / 1000, datetime.UTC)
    return f"{found:%Y-%m-%dT%H:%M:%S}.{t_ms % 1000:03d}Z"


def _line(row: dict[str, object]) -> str:
    parts = (
        f"{json.dumps(name)}:{value if isinstance(value, _Exact) else json.dumps(value, ensure_ascii=False)}"
        for name, value in row.items()
    )
    return "{" + ",".join(parts) + "}"


def _csv(rows: Iterator[dict[str, object]], names: tuple[str, ...]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])


def _cell(value: object) -> object:
    """Texts as they are, and nothing for null."""
    if isinstance(value, _Exact):
        return json.loads(value) if value.startswith('"') else "" if value == "null" else str(value)
    return json.dumps(value) if isinstance(value, dict) else value


def _summary(rows: Iterator[dict[str, object]], at: str) -> Iterator[list[str]]:
    count, first = 0, 0
    before: dict[str, object] | None = None

    def cells(row: dict[str, object]) -> list[str]:
        newest = f"{_cell(row.get('value', row.get('mean')))} {row.get('unit', '')}"
        last = row[at]
        assert isinstance(last, int)
        return [plain(row["series"]), str(count), times.clock(first), times.clock(last), plain(newest)]

    for row in rows:
        if before is None or row["series"] != before["series"]:
            if before is not None:
                yield cells(before)
            found = row[at]
            assert isinstance(found, int)
            count, first = 0, found
        count, before = count + 1, row
    if before is not None:
        yield cells(before)


def _say_unread(out: Output, reader: Reader) -> int:
    counts = reader.counts
    why = {
        "unknown": "of a schema that the gateway has not told yet",
        "undecodable": "undecodable (they are in Rejected)",
        "damaged": "damaged in the archive",
    }
    said = [f"{counts[name]} {text}" for name, text in why.items() if counts[name]]
    if said:
        out.note(f"headgate: {counts['read']} envelopes read; not read: {'; '.join(said)}")
    return REFUSED if said else DONE
