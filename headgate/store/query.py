"""Ranges of series out of blocks and memory: in order of time, a bounded stretch of it at once.

Nothing here waits for the writer: a snapshot says what is in memory and which blocks count beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headgate.errors import Reject
from headgate.model import Series, Value
from headgate.store.arrays import Line, Shape, Stretch, Times, joined, joined_lines
from headgate.store.day_file import DAY_MS, DayReader, day_path, days_in, open_day_if_there
from headgate.store.head import Snapshot
from headgate.store.salvage import is_busy

SLICE_SAMPLES = 800_000
"""Samples decoded at once, about 16 B each; more only where a single seal brought more."""
_CUTS_LOOKED_AT = 64

Damaged = Callable[[int, str], None]
"""Told of the day whose file cannot be read, in part or at all, and why."""


@dataclass(frozen=True, slots=True)
class Column:
    """Samples of one series within one slice of time, by time (of equal times: as acquired).

    `times_ms` may be one list for several columns: it is not to be changed.
    """

    series: Series
    times_ms: Sequence[int]
    values: Sequence[Value]
    quality: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Source:
    """A block or what is in memory of one shape: when, how many samples at most, and the way to have them."""

    first_ms: int
    last_ms: int
    samples: int
    read: Callable[[], list[Line]]


def query(
    folder: Path,
    snapshot: Snapshot,
    names: Collection[str],
    from_ms: int,
    to_ms: int,
    *,
    newest_first: bool = False,
    damaged: Damaged | None = None,
) -> Iterator[Column]:
    """Samples of the named series with from_ms <= t < to_ms: a Column per slice of time, series and revision.

    Slices follow each other in the order that was asked for. Raises Reject for a file that cannot be read;
    with `damaged`, that is told instead, and what cannot be read is left out.
    """
    stamps: tuple[Times | None, list[int]] = (None, [])
    found = lines(folder, snapshot, names, from_ms, to_ms, newest_first=newest_first, damaged=damaged)
    for line in found:
        if stamps[0] is not line.times_ms:
            stamps = (line.times_ms, line.times_ms.tolist())
        yield Column(line.series, stamps[1], line.value_list(), line.quality_list())


def lines(
    folder: Path,
    snapshot: Snapshot,
    names: Collection[str],
    from_ms: int,
    to_ms: int,
    *,
    newest_first: bool = False,
    damaged: Damaged | None = None,
) -> Iterator[Line]:
    """As `query`, as arrays."""
    wanted = frozenset(names)
    memory = _in_memory(snapshot, wanted)
    files = set(days_in(folder))
    held = {
        day for source in memory for day in range(source.first_ms // DAY_MS, source.last_ms // DAY_MS + 1)
    }
    for day in sorted(files | held, reverse=newest_first):
        low, high = max(from_ms, day * DAY_MS), min(to_ms, (day + 1) * DAY_MS)
        if low >= high:
            continue
        with ExitStack() as opened:
            sources = [source for source in memory if source.first_ms < high and source.last_ms >= low]
            reader = None
            if day in files:
                telling = damaged and partial(damaged, day)
                with around_damage(telling):
                    reader = opened.enter_context(open_day_if_there(day_path(folder, day)))
                    found = list(reader.find(wanted, low, high, snapshot.sealed)) if reader else []
                    blocks = [
                        _Source(f.first_ms, f.last_ms, f.samples, partial(_lines_in, reader, f.key, telling))
                        for f in found
                        if reader is not None
                    ]
                    sources = blocks + sources
            yield from _of_day(sources, low, high, newest_first=newest_first)


def newest(
    folder: Path, snapshot: Snapshot, names: Collection[str], damaged: Damaged | None = None
) -> dict[str, tuple[Series, int, Value, int]]:
    """The newest sample of each series that has any: (series, UTC ms, value, quality).

    Of equal times the one that came last. Raises Reject for a file that cannot be read; `damaged`: as above.
    """
    missing, found = set(names), dict[str, tuple[Series, int, Value, int]]()
    memory = _in_memory(snapshot, missing)
    latest = [source.last_ms // DAY_MS for source in memory]
    for day in sorted({*days_in(folder), *latest}, reverse=True):
        if not missing:
            break
        seen: dict[str, Line] = {}
        for line in _newest_of_day(folder, day, snapshot, memory, missing, damaged):
            held = seen.get(line.series.name)
            if held is None or line.times_ms[0] >= held.times_ms[0]:
                seen[line.series.name] = line
        for name, line in seen.items():
            found[name] = (line.series, int(line.times_ms[0]), line.value_list()[0], line.quality_list()[0])
        missing -= seen.keys()
    return found


def _newest_of_day(
    folder: Path,
    day: int,
    snapshot: Snapshot,
    memory: Sequence[_Source],
    names: Collection[str],
    damaged: Damaged | None,
) -> Iterator[Line]:
    """The newest sample of each line in each source that may hold the day's newest, oldest seal first."""
    low, high = day * DAY_MS, (day + 1) * DAY_MS
    if day_path(folder, day).exists():
        telling = damaged and partial(damaged, day)
        with around_damage(telling), open_day_if_there(day_path(folder, day)) as reader:
            if reader is not None:
                for found in reader.find_newest(names, snapshot.sealed):
                    yield from _last_rows(_lines_in(reader, found.key, telling), low, high, names)
    for source in memory:
        if source.first_ms < high and source.last_ms >= low:
            yield from _last_rows(source.read(), low, high, names)


@contextmanager
def around_damage(telling: Callable[[str], None] | None) -> Iterator[None]:
    """Go on behind what cannot be read, and tell; without `telling` it is raised."""
    try:
        yield
    except (Reject, sqlite3.DatabaseError, TypeError, ValueError) as error:
        if telling is None or is_busy(error):
            raise
        telling(str(error))


def _lines_in(reader: DayReader, key: int, telling: Callable[[str], None] | None) -> list[Line]:
    with around_damage(telling):
        return reader.lines(key)
    return []


def _last_rows(found: Sequence[Line], low: int, high: int, names: Collection[str]) -> Iterator[Line]:
    for line in found:
        inside = np.flatnonzero((line.times_ms >= low) & (line.times_ms < high))
        if line.series.name in names and len(inside):
            times = line.times_ms[inside]
            last = inside[len(times) - 1 - int(np.argmax(times[::-1]))]
            yield line.picked(slice(int(last), int(last) + 1))


def _in_memory(snapshot: Snapshot, names: Set[str]) -> list[_Source]:
    """What is in memory of each shape that has any of the series."""

    def wanted(shape: Shape) -> bool:
        return not names.isdisjoint(series.name for series in shape.series)

    shapes: dict[int, list[Stretch]] = {}
    for stretch in snapshot.stretches(wanted):
        shapes.setdefault(id(stretch.shape), []).append(stretch)
    sources = []
    for stretches in shapes.values():
        shape = stretches[0].shape
        places = frozenset(i for i, series in enumerate(shape.series) if series.name in names)
        if places:
            whole = joined(stretches)
            first, last = int(whole.times_ms.min()), int(whole.times_ms.max())
            count = len(places) * len(whole.times_ms)
            sources.append(_Source(first, last, count, partial(_lines_of, whole, places)))
    return sources


def _lines_of(stretch: Stretch, places: frozenset[int]) -> list[Line]:
    return list(stretch.lines(places))


def _of_day(sources: Sequence[_Source], low: int, high: int, *, newest_first: bool) -> Iterator[Line]:
    """The samples of some sources, slice by slice."""
    slices = _slices(sources, low, high)
    for start, end in reversed(slices) if newest_first else slices:
        found: dict[Series, list[Line]] = {}
        for source in sources:
            if source.first_ms < end and source.last_ms >= start:
                for line in _within(source.read(), start, end):
                    found.setdefault(line.series, []).append(line)
        order = _Order(newest_first=newest_first)
        for series in sorted(found, key=lambda series: (series.name, series.revision)):
            yield order.of(found.pop(series))


def _within(found: list[Line], start: int, end: int) -> list[Line]:
    """What of one source's lines is in start <= t < end; they share their times, and do so still."""
    if not found:
        return found
    times = found[0].times_ms
    inside = np.flatnonzero((times >= start) & (times < end))
    if len(inside) == len(times):
        return found
    if not len(inside):
        return []
    first, last = int(inside[0]), int(inside[-1])
    rows = slice(first, last + 1) if last - first + 1 == len(inside) else inside
    cut = times[rows]
    return [line.picked(rows, cut) for line in found]


class _Order:
    """Joins lines by time; series that were read together are put in order together."""

    def __init__(self, *, newest_first: bool) -> None:
        self._newest_first = newest_first
        self._known: dict[tuple[int, ...], tuple[Times, NDArray[np.intp] | None, list[Times]]] = {}

    def of(self, parts: Sequence[Line]) -> Line:
        """One line of all, by time; of equal times as they came."""
        stamps = [part.times_ms for part in parts]
        key = tuple(map(id, stamps))
        if key not in self._known:
            times = np.concatenate(stamps) if len(stamps) > 1 else stamps[0]
            order = None
            if self._newest_first:
                order = np.argsort(-times, kind="stable")
            elif not (times[1:] >= times[:-1]).all():
                order = np.argsort(times, kind="stable")
            # The stamps are kept: as long as they are, no other has one of their ids.
            self._known[key] = (times if order is None else times[order], order, stamps)
        times, order, _ = self._known[key]
        whole = joined_lines(parts, times)
        return whole if order is None else whole.picked(order, times)


def _slices(sources: Sequence[_Source], low: int, high: int) -> list[tuple[int, int]]:
    """Stretches of time that each hold about SLICE_SAMPLES at most, cut where few sources lie across."""
    first = np.array([max(source.first_ms, low) for source in sources], np.int64)
    last = np.array([min(source.last_ms, high - 1) + 1 for source in sources], np.int64)
    length = np.array([source.last_ms - source.first_ms + 1 for source in sources], np.float64)
    density = np.array([source.samples for source in sources]) / np.maximum(length, 1)

    def cost(start: int, end: int) -> float:
        inside = np.minimum(last, end) - np.maximum(first, start)
        return float((np.maximum(inside, 0) * density).sum())

    def cut(start: int, end: int) -> list[tuple[int, int]]:
        if cost(start, end) <= SLICE_SAMPLES:
            return [(start, end)]
        places = np.unique(first[(first > start) & (first < end)])
        places = places[:: max(1, len(places) // _CUTS_LOOKED_AT)].tolist()
        if not places:
            return [(start, end)]
        at = min(places, key=lambda place: max(cost(start, place), cost(place, end)))
        return [*cut(start, at), *cut(at, end)]

    return cut(low, high)
