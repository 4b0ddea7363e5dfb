"""`query` with `step`: buckets instead of samples, also of days whose raw samples were shed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.model import Series, Value
from headgate.store.day_file import DAY_MS
from headgate.store.downsample import Bucket
from headgate.store.windows_file import MEAN_DECIMALS

MIN_STEP_MS = 1_000
MAX_STEP_MS = DAY_MS


@dataclass(slots=True)
class FoundBuckets:
    """Buckets by series and start, put together of slices that follow each other in time."""

    step_ms: int
    newest_first: bool
    held: dict[Series, dict[int, Bucket]] = field(default_factory=dict)

    def add(self, found: Sequence[tuple[Series, list[Bucket]]]) -> None:
        """What one slice holds; it may share its outermost buckets with its neighbours."""
        for series, buckets in found:
            held = self.held.setdefault(series, {})
            for bucket in buckets:
                before = held.get(bucket.start_ms)
                if before is not None:
                    bucket = bucket.plus(before) if self.newest_first else before.plus(bucket)
                held[bucket.start_ms] = bucket

    def is_enough(self, limit: int, reached_ms: int) -> bool:
        """Whether more than `limit` are whole, everything up to (or down to) `reached_ms` being read."""
        starts = (start for held in self.held.values() for start in held)
        if self.newest_first:
            return sum(start >= reached_ms for start in starts) > limit
        return sum(start + self.step_ms <= reached_ms for start in starts) > limit

    def result(self, limit: int) -> dict[str, Any]:
        """The first `limit` by time, as a reply has them."""
        rows = [(start, series) for series, held in self.held.items() for start in held]
        rows.sort(key=lambda row: (row[0], row[1].name, row[1].revision), reverse=self.newest_first)
        found: dict[Series, list[Bucket]] = {}
        for start, series in rows[:limit]:
            found.setdefault(series, []).append(self.held[series][start])
        buckets = [
            {
                "series": series.name,
                "unit": series.unit,
                "kind": series.kind,
                "revision": series.revision,
                "kept_ms": max(bucket.kept_ms for bucket in found[series]),
                "rows": [_row(bucket, series.decimals) for bucket in found[series]],
            }
            for series in sorted(found, key=lambda one: (one.name, one.revision))
        ]
        return {"step": self.step_ms, "buckets": buckets, "more": len(rows) > limit}


def bucket_slices(
    bounds: tuple[int, int],
    days: Collection[int],
    kept: Collection[int],
    slice_ms: int,
    *,
    newest_first: bool,
) -> Iterator[tuple[int, int]]:
    """The stretches of time to read one after the other, where there is something. Of a day of which windows
    are `kept` all at once: their file is read as a whole.
    """
    order = -1 if newest_first else 1
    for day in sorted({*days, *kept})[::order]:
        low, high = max(bounds[0], day * DAY_MS), min(bounds[1], (day + 1) * DAY_MS)
        length_ms = DAY_MS if day in kept else slice_ms
        for start in range(low, high, length_ms)[::order]:
            yield start, min(start + length_ms, high)


def _row(bucket: Bucket, decimals: int | None) -> list[Value]:
    """JSON has no infinite numbers."""
    mean = bucket.mean
    if mean is not None and decimals is not None:
        mean = round(mean, decimals + MEAN_DECIMALS)
    values = (bucket.low, bucket.high, mean, bucket.first, bucket.last)
    plain = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    return [bucket.start_ms, bucket.count, *plain]
