"""One day's raw samples become windows, some series at a time; and what a day file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headgate.model import Series
from headgate.store.day_file import DAY_MS, day_path, open_day
from headgate.store.downsample import Bucket, downsampled
from headgate.store.head import Snapshot
from headgate.store.query import lines
from headgate.store.windows_file import Gone, WindowsWriter

SLICE_SAMPLES = 200_000
"""Raw samples of one slice: about 20 ms on a Raspberry Pi."""
MIN_SAMPLES = 16
"""Of a window, on average: a row of fewer is hardly smaller than they are, and takes longer windows."""
COARSER = (1, 5, 15, 60)
"""How many times as long windows may get for it."""


class Thinning:
    """A day file on its way to a windows file. Raises Reject where the day file is damaged."""

    def __init__(self, blocks: Path, day: int, part: Path, step_ms: int) -> None:
        self.day = day
        self._blocks = blocks
        with open_day(day_path(blocks, day)) as reader:
            self.through = reader.through()
        self._gone = day_contents(blocks, day)
        step_ms = coarsened(self._gone, step_ms)
        self._waiting = _grouped(self._gone, step_ms)
        self.writer = WindowsWriter(part, step_ms)

    @property
    def gone(self) -> Sequence[Gone]:
        """What the windows stand for."""
        return self._gone

    def slice(self) -> bool:
        """Do some series; whether there are more."""
        if self._waiting:
            group = self._waiting.pop(0)
            low = self.day * DAY_MS
            snapshot = Snapshot((), self.through)
            found = lines(self._blocks, snapshot, {one.series.name for one in group}, low, low + DAY_MS)
            buckets: dict[Series, list[Bucket]] = {}
            for series, some in downsampled(found, self.writer.step_ms):
                buckets.setdefault(series, []).extend(some)
            for one in group:
                self.writer.add(one, buckets.get(one.series, []))
        return bool(self._waiting)

    def is_current(self) -> bool:
        """Whether nothing came to the day file meanwhile."""
        with open_day(day_path(self._blocks, self.day)) as reader:
            return reader.through() == self.through


def day_contents(blocks: Path, day: int) -> list[Gone]:
    """How many samples of each series a day file holds, and from when to when. Raises Reject for damage."""
    found: dict[int, list[int]] = {}
    with open_day(day_path(blocks, day)) as reader:
        series = reader.series()
        for members, samples, first_ms, last_ms in reader.by_shape():
            for one in members:
                known = found.setdefault(one, [0, first_ms, last_ms])
                known[0] += samples // len(members)
                known[1], known[2] = min(known[1], first_ms), max(known[2], last_ms)
    return [Gone(series[one], *numbers) for one, numbers in found.items() if one in series]


def coarsened(gone: Sequence[Gone], step_ms: int) -> int:
    """The length of windows that hold MIN_SAMPLES on average, or the longest there is."""
    samples = sum(one.samples for one in gone)
    for factor in COARSER:
        if samples >= MIN_SAMPLES * sum(_windows(one, step_ms * factor) for one in gone):
            return step_ms * factor
    return step_ms * COARSER[-1]


def _windows(one: Gone, step_ms: int) -> int:
    """How many windows there are at most."""
    return min(one.samples, (one.last_ms - one.first_ms) // step_ms + 2)


def _grouped(gone: Sequence[Gone], step_ms: int) -> list[list[Gone]]:
    """Series that stand together in the file, of about SLICE_SAMPLES; revisions of a name in one group."""
    names: dict[str, list[Gone]] = {}
    for one in gone:
        names.setdefault(one.series.name, []).append(one)
    groups: list[list[Gone]] = []
    room = 0
    for some in names.values():
        cost = max(
            sum(one.samples for one in some), MIN_SAMPLES * sum(_windows(one, step_ms) for one in some)
        )
        if not groups or cost > room:
            groups.append([])
            room = SLICE_SAMPLES
        groups[-1] += some
        room -= cost
    return groups
