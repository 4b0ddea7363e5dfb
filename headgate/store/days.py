"""Buckets over any days: of raw samples, and of windows where the raw ones are shed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from headgate.errors import Reject
from headgate.model import Series
from headgate.store.day_file import DAY_MS
from headgate.store.downsample import Bucket, downsampled, stitched
from headgate.store.head import Snapshot
from headgate.store.query import Damaged, lines
from headgate.store.windows_file import open_windows, standing

_Found = Iterator[tuple[Series, list[Bucket]]]


@dataclass(frozen=True, slots=True)
class Days:
    """What is held of some series: raw samples below `blocks` and in memory, windows below `windows`."""

    blocks: Path
    windows: Path
    snapshot: Snapshot
    names: Collection[str]
    damaged: Damaged | None = None

    def buckets(self, from_ms: int, to_ms: int, step_ms: int, *, newest_first: bool = False) -> _Found:
        """Buckets that start at multiples of `step_ms`, by time. A window counts where it starts."""
        return stitched(self._stretches(from_ms, to_ms, step_ms, newest_first), newest_first=newest_first)

    def _stretches(self, from_ms: int, to_ms: int, step_ms: int, newest_first: bool) -> _Found:
        """Time is cut where days with windows start and end: between them raw samples stream as ever."""
        kept = standing(self.blocks, self.windows)
        cuts = [(from_ms, to_ms, False)]
        for day in sorted(day for day in kept if day * DAY_MS < to_ms and (day + 1) * DAY_MS > from_ms):
            start, end, _ = cuts.pop()
            low, high = max(start, day * DAY_MS), min(end, (day + 1) * DAY_MS)
            cuts += [(start, low, False), (low, high, True), (high, end, False)]
        for low, high, is_kept in reversed(cuts) if newest_first else cuts:
            if low >= high:
                continue
            if is_kept:
                yield from self._mixed(kept[low // DAY_MS], low, high, step_ms, newest_first)
            else:
                yield from self._raw(low, high, step_ms, newest_first)

    def _raw(self, low: int, high: int, step_ms: int, newest_first: bool) -> _Found:
        found = lines(
            self.blocks,
            self.snapshot,
            self.names,
            low,
            high,
            newest_first=newest_first,
            damaged=self.damaged,
        )
        return downsampled(found, step_ms, newest_first=newest_first)

    def _mixed(self, paths: list[Path], low: int, high: int, step_ms: int, newest_first: bool) -> _Found:
        """A day that was shed, with what came for it later."""
        whole: dict[Series, dict[int, Bucket]] = {}
        for path in paths:
            for series, buckets in self._kept(path):
                _add(whole.setdefault(series, {}), [b for b in buckets if low <= b.start_ms < high], step_ms)
        for series, buckets in self._raw(low, high, step_ms, newest_first=False):
            _add(whole.setdefault(series, {}), buckets, step_ms)
        for series in sorted(whole, key=lambda one: (one.name, one.revision)):
            found = sorted(whole[series].values(), key=lambda one: one.start_ms, reverse=newest_first)
            if found:
                yield series, found

    def _kept(self, path: Path) -> _Found:
        try:
            with open_windows(path) as reader:
                for series, buckets in reader.buckets(self.names):
                    yield series, [replace(bucket, kept_ms=reader.step_ms) for bucket in buckets]
        except Reject:
            if path.exists():  # else it was shed meanwhile
                raise


def _add(held: dict[int, Bucket], buckets: list[Bucket], step_ms: int) -> None:
    for bucket in buckets:
        start = bucket.start_ms // step_ms * step_ms
        moved = replace(bucket, start_ms=start)
        held[start] = held[start].plus(moved) if start in held else moved
