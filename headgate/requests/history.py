"""`query`: a range of history out of the store, slice by slice, so that commits come in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.driver import Refused, Reply, Request
from headgate.envelope import numbers
from headgate.model import NAME_PART, Series, Value
from headgate.requests.buckets import MAX_STEP_MS, MIN_STEP_MS, FoundBuckets, bucket_slices
from headgate.requests.desk import Writing
from headgate.requests.model import short
from headgate.store.day_file import DAY_MS
from headgate.store.query import Column
from headgate.store.store import Store

MAX_SERIES = 500
DEFAULT_LIMIT = 10_000
MAX_LIMIT = 50_000
"""Samples of one reply; a client asks on from the last time it got."""
SLICE_MS = 300_000
"""History read in one turn of the store's thread: about 0.1 s at 1,000 samples a second on a Pi 4."""
_MAX_MS = 1 << 53


@dataclass(frozen=True, slots=True)
class Query:
    """Samples of `names` with from_ms <= t < to_ms, the first `limit` by time, or the last."""

    names: tuple[str, ...]
    from_ms: int
    to_ms: int
    limit: int
    newest_first: bool
    step_ms: int = 0
    """Buckets of this length instead of samples, which `limit` counts then; 0: samples."""


Row = tuple[int, Value, int]
"""(UTC ms, value, quality)."""


@dataclass(slots=True)
class Found:
    """Rows by series, in the order of time that was asked for. `more`: the limit cut some."""

    rows: dict[Series, list[Row]] = field(default_factory=dict)
    count: int = 0
    more: bool = False


def parse_query(args: Mapping[str, Any]) -> Query:
    """Read the arguments. Raises Refused."""
    faults = [f"unknown argument {short(key)!r}" for key in args if key not in _ARGS]
    names = args.get("series")
    if not isinstance(names, list) or not 0 < len(names) <= MAX_SERIES or not all(map(_is_name, names)):
        faults.append(f"series must list 1 to {MAX_SERIES} names like device/tag")
        names = []
    from_ms: Any = args.get("from")
    to_ms: Any = args.get("to")
    if not (_is_int(from_ms, 0, _MAX_MS) and _is_int(to_ms, 0, _MAX_MS) and from_ms < to_ms):
        faults.append("from and to must be UTC ms, from before to")
    limit = args.get("limit", DEFAULT_LIMIT)
    if not _is_int(limit, 1, MAX_LIMIT):
        faults.append(f"limit must be 1 to {MAX_LIMIT}")
    newest_first = args.get("newest_first", False)
    if not isinstance(newest_first, bool):
        faults.append("newest_first must be true or false")
    step_ms = args.get("step", 0)
    if "step" in args and not _is_int(step_ms, MIN_STEP_MS, MAX_STEP_MS):
        faults.append(f"step must be {MIN_STEP_MS} to {MAX_STEP_MS} ms")
    if faults:
        raise Refused("bad_request", "query: " + "; ".join(faults))
    return Query(tuple(dict.fromkeys(names)), from_ms, to_ms, limit, newest_first, step_ms)


def slices(query: Query, days: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The stretches of time to read one after the other, in the order asked for, where there are days."""
    order = -1 if query.newest_first else 1
    for day in sorted(days)[::order]:
        low, high = max(query.from_ms, day * DAY_MS), min(query.to_ms, (day + 1) * DAY_MS)
        for start in range(low, high, SLICE_MS)[::order]:
            yield start, min(start + SLICE_MS, high)


def add(found: Found, columns: Sequence[Column], query: Query) -> None:
    """Take in one slice; past the limit only what comes first by time."""
    arrived = [
        (t, column.series, value, quality)
        for column in columns
        for t, value, quality in zip(column.times_ms, column.values, column.quality, strict=True)
    ]
    arrived.sort(key=lambda row: row[0], reverse=query.newest_first)
    room = query.limit - found.count
    if len(arrived) > room:
        found.more = True
        del arrived[room:]
    found.count += len(arrived)
    for t, series, value, quality in arrived:
        found.rows.setdefault(series, []).append((t, value, quality))


def result(found: Found) -> tuple[dict[str, Any], str]:
    """`times` and `columns` as in an envelope, and what is to be said about it. A name has one revision."""
    newest: dict[str, Series] = {}
    for series in found.rows:
        known = newest.get(series.name)
        if known is None or series.revision > known.revision:
            newest[series.name] = series
    times: dict[str, int] = {}
    columns: dict[str, Any] = {}
    for name, series in sorted(newest.items()):
        rows = found.rows[series]
        stamps, values = [row[0] for row in rows], [row[1] for row in rows]
        index = times.setdefault(numbers.differences(stamps), len(times))
        decimals, v = numbers.column(series, values)
        column: dict[str, Any] = {
            "u": series.unit, "k": series.kind, "d": decimals, "r": series.revision, "t": index,
        }  # fmt: skip
        last = numbers.newest(stamps, values)
        if last is not None:
            column["last"] = json.loads(numbers.plain(last))
        column["v"] = json.loads(v)
        quality = [row[2] for row in rows]
        if any(quality):
            column["q"] = json.loads(numbers.runs(quality))
        columns[name] = column
    left = sorted({series.name for series in found.rows} if len(found.rows) > len(newest) else ())
    said = f"older revisions were left out of: {short(', '.join(left))}" if left else ""
    return {"times": [json.loads(text) for text in times], "columns": columns, "more": found.more}, said


@dataclass(frozen=True, slots=True)
class History:
    """The operation over an open store."""

    store: Store
    writer: Writing

    async def query(self, request: Request) -> Reply:
        """See docs/requests.md, op `query`. Raises Refused."""
        asked = parse_query(request.args)
        known = {series.name for series in await self.writer.call(self.store.series)}
        unknown = [name for name in asked.names if name not in known]
        if unknown:
            raise Refused("unknown_series", f"query: there are no samples of {unknown[0]!r}")
        if asked.step_ms:
            return Reply(request.id, "ok", "ok", "", await self._buckets(asked))
        found = Found()
        for start_ms, end_ms in slices(asked, await self.writer.call(self.store.days)):
            await self.writer.call(self._slice, asked, start_ms, end_ms, found)
            if found.more:
                break
        answer, detail = await self.writer.call(result, found)
        gaps = await self.writer.call(self.store.shed_within, asked.from_ms, asked.to_ms)
        if gaps:
            answer["gaps"] = gaps
            said = "raw samples were shed (gaps): ask with step for windows of them"
            detail = f"{detail}; {said}" if detail else said
        return Reply(request.id, "ok", "ok", detail, answer)

    async def _buckets(self, asked: Query) -> dict[str, Any]:
        found = FoundBuckets(asked.step_ms, asked.newest_first)
        days = await self.writer.call(self.store.days)
        kept = await self.writer.call(self.store.kept_days)
        bounds = (asked.from_ms, asked.to_ms)
        for start_ms, end_ms in bucket_slices(bounds, days, kept, SLICE_MS, newest_first=asked.newest_first):
            await self.writer.call(self._bucket_slice, asked, start_ms, end_ms, found)
            if found.is_enough(asked.limit, start_ms if asked.newest_first else end_ms):
                break
        return await self.writer.call(found.result, asked.limit)

    def _bucket_slice(self, asked: Query, start_ms: int, end_ms: int, found: FoundBuckets) -> None:
        back = asked.newest_first
        found.add(
            list(self.store.downsampled(asked.names, start_ms, end_ms, asked.step_ms, newest_first=back))
        )

    def _slice(self, asked: Query, start_ms: int, end_ms: int, found: Found) -> None:
        columns = self.store.query(asked.names, start_ms, end_ms, newest_first=asked.newest_first)
        add(found, list(columns), asked)


_ARGS = ("series", "from", "to", "newest_first", "limit", "step")


def _is_name(name: object) -> bool:
    device, _, tag = name.partition("/") if isinstance(name, str) else ("", "", "")
    return bool(NAME_PART.fullmatch(device) and NAME_PART.fullmatch(tag))


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
