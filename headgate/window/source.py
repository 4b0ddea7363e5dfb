"""The windows of one source: closed by its own event time, corrected by what comes later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from headgate.model import ClockState, Series, Window, WindowRow
from headgate.window.definition import Definition
from headgate.window.history import History
from headgate.window.line import Closed, Line
from headgate.window.part import ABSENT, Block, Integers, beside
from headgate.window.shape import DTYPES, Shape
from headgate.window.summary import Summary, carries_beside, summary_of

MAX_KEYS = 4_096
"""Names of shapes that are remembered: each change of a bridge's table brings new ones."""
IDLE_LINE_MS = 3_600_000
"""A line that has no sample in so long, of the source's time, is forgotten; it comes back when one comes."""

_QUIETLY = np.errstate(over="ignore", invalid="ignore")
"""Of doubles beyond 1e150 the spread is infinite, and so it is told."""

Define = Callable[[Series], Sequence[Definition]]


@dataclass(frozen=True, slots=True)
class SourceTuning:
    """`lateness_ms`: how far behind its newest sample a source still brings samples in time. `memory_bytes`:
    what samples of open windows, and of closed ones that might be corrected, take at most; beyond it they are
    summed up as soon as they are `lateness_ms` old.
    """

    lateness_ms: int = 1_000
    memory_bytes: int = 8 << 20


@dataclass(slots=True)
class SourceCounters:
    """Since start: samples that came behind the closing of their window, and windows sent again for it."""

    late: int = 0
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class _Feed:
    """Where columns of a shape go. `all`: they are the whole shape, and the whole line, in order."""

    line: Line
    columns: Integers
    places: Integers
    all: bool


@dataclass(slots=True)
class _Shaped:
    shape: Shape
    feeds: list[_Feed]
    shared: bool


class Source:
    """Give it rows between `began` and `ended`, one batch after the other.

    `closed_ms`: until when, by step, windows are closed already: those are corrected, never opened again.
    Other steps count as closed until `since_ms`. No window starts before `born_ms`.
    """

    def __init__(
        self,
        define: Define,
        tuning: SourceTuning | None = None,
        history: History | None = None,
        closed_ms: Mapping[int, int] | None = None,
        *,
        since_ms: int = 0,
        born_ms: int = 0,
    ) -> None:
        self.counters = SourceCounters()
        self.closed_ms: dict[int, int | None] = dict(closed_ms or {})
        self._define = define
        self._tuning = tuning or SourceTuning()
        self._history = history
        self._since_ms, self._born_ms = since_ms, born_ms
        self._restarted_ms = dict(closed_ms or {})
        self._lines: list[Line] = []
        self._homes: dict[tuple[Series, Definition], tuple[Line, int]] = {}
        self._shapes: dict[tuple[Series, ...], _Shaped] = {}
        self._known: dict[Hashable, Shape] = {}
        self._newest_ms = -1
        self._due_ms = -1
        self._closed: list[Closed] = []
        self._taken = False
        self._position, self._clock, self._fresh = 0, ClockState.SYNCED, True
        self._batches: deque[tuple[int, int]] = deque()  # (position, newest time), for `oldest_position`

    def began(self, position: int, clock: ClockState = ClockState.SYNCED, *, fresh: bool = True) -> None:
        """A batch follows, from that place of the journal. Not `fresh`: it was taken in before a restart."""
        if clock is not self._clock or fresh is not self._fresh:
            self._take_all()
        self._position, self._clock, self._fresh = position, clock, fresh

    def known(self, key: Hashable) -> Shape | None:
        """The shape of a key, where `shape` was called for it before."""
        return self._known.get(key)

    def shape(self, key: Hashable, series: Sequence[Series]) -> Shape:
        """What rows of these series are added to; the same key always means the same series."""
        shape = self._known.get(key)
        return self._named(key, tuple(series)) if shape is None else shape

    def ended(self) -> None:
        """The batch is whole: close what its newest sample allows."""
        newest_ms = -1
        for shaped in self._shapes.values():
            shape = shaped.shape
            if shape.newest_ms > newest_ms:
                newest_ms = shape.newest_ms
            if shaped.shared or shape.full:
                self._take(shaped)
        if newest_ms < 0:
            return
        self._batches.append((self._position, newest_ms))
        self._newest_ms = max(self._newest_ms, newest_ms)
        watermark_ms = self._newest_ms - self._tuning.lateness_ms
        if watermark_ms >= self._due_ms:
            self._close({step_ms: watermark_ms // step_ms * step_ms for step_ms in self._steps()})
        if self._taken:
            self._taken = False
            self._spare(watermark_ms)

    def close_all(self) -> None:
        """Close every window as it stands: the source is silent, or its definitions change."""
        self._take_all()
        ends: dict[int, int] = {}
        for line in self._lines:
            newest_ms = line.newest_pane_ms
            if newest_ms is not None:
                step_ms = line.definition.step_ms
                end_ms = newest_ms + line.definition.length_ms
                ends[step_ms] = max(ends.get(step_ms, 0), end_ms)
        self._close(ends)

    def take_closed(self) -> list[Window]:
        """The windows closed and corrected since the last call, each one once, oldest first."""
        return windows_of(self.take_summaries())

    @_QUIETLY
    def take_summaries(self) -> list[Summary]:
        """The same as columns."""
        closed_ms = max((until_ms or 0 for until_ms in self.closed_ms.values()), default=0)
        for shaped in self._shapes.values():
            if shaped.shape.oldest_ms < closed_ms:  # something late may wait there
                self._take(shaped)
        self._correct()
        closed, self._closed = self._closed, []
        return summaries_of(closed)

    @property
    def oldest_position(self) -> int | None:
        """The journal position from which on everything comes back that windows under way hold."""
        horizon_ms = self._newest_ms + 1
        for line in self._lines:
            definition = line.definition
            closed_ms = self.closed_ms.get(definition.step_ms)
            if closed_ms is None:
                return self._batches[0][0] if self._batches else None
            horizon_ms = min(horizon_ms, closed_ms + definition.step_ms - definition.length_ms)
        while self._batches and self._batches[0][1] < horizon_ms:
            self._batches.popleft()
        return self._batches[0][0] if self._batches else None

    @property
    def raw_bytes(self) -> int:
        """What samples take in memory."""
        return sum(line.raw_bytes for line in self._lines)

    # Shapes and lines.

    def _named(self, key: Hashable, series: tuple[Series, ...]) -> Shape:
        """Of one list of series there is one shape, whatever keys it has."""
        shaped = self._shapes.get(series)
        if shaped is None:
            shaped = self._shapes[series] = self._shaped(series)
        if len(self._known) >= MAX_KEYS:
            self._known.clear()
        self._known[key] = shaped.shape
        return shaped.shape

    @_QUIETLY
    def _shaped(self, series: Sequence[Series]) -> _Shaped:
        shape = Shape(series)
        wanted: dict[tuple[str, Definition], list[tuple[Series, int]]] = {}
        kept = [(each, form) for each, form in zip(series, shape.formats, strict=True) if form]
        for column, (each, form) in enumerate(kept):
            for definition in self._define(each):
                wanted.setdefault((form, definition), []).append((each, column))
        feeds: list[_Feed] = []
        shared = False
        for (form, definition), columns in wanted.items():
            known: dict[int, tuple[Line, list[int], list[int]]] = {}
            for line, place, column in self._placed(form, definition, columns):
                entry = known.setdefault(id(line), (line, [], []))
                entry[1].append(column)
                entry[2].append(place)
            for line, from_columns, places in known.values():
                in_order = from_columns == list(range(len(kept))) and places == list(range(len(line.series)))
                feeds.append(_Feed(line, np.array(from_columns), np.array(places), in_order))
                shared |= self._shared(line)
        return _Shaped(shape, feeds, shared)

    def _placed(
        self, form: str, definition: Definition, columns: list[tuple[Series, int]]
    ) -> Iterable[tuple[Line, int, int]]:
        """Line, place in it and column of each series; those that have no line yet get one together."""
        fresh = [series for series, _ in columns if (series, definition) not in self._homes]
        if fresh:
            step_ms = definition.step_ms
            since_ms = self._restarted_ms.get(step_ms)
            if since_ms is None and self._since_ms:
                since_ms = -(-self._since_ms // step_ms) * step_ms
            self.closed_ms.setdefault(step_ms, since_ms)
            known_from_ms = None if since_ms is None else since_ms + step_ms - definition.length_ms
            fresh = list(dict.fromkeys(fresh))
            line = Line(tuple(fresh), DTYPES[form], definition, known_from_ms, self._history)
            self._lines.append(line)
            for place, series in enumerate(fresh):
                self._homes[series, definition] = (line, place)
            self._due_ms = -1
        for series, column in columns:
            home, place = self._homes[series, definition]
            yield home, place, column

    def _shared(self, line: Line) -> bool:
        """Whether another shape feeds it as well; then both are taken batch by batch, in order."""
        shared = False
        for other in self._shapes.values():
            if any(feed.line is line for feed in other.feeds):
                self._take(other)
                other.shared = shared = True
        return shared

    def _take_all(self) -> None:
        for shaped in self._shapes.values():
            self._take(shaped)

    @_QUIETLY
    def _take(self, shaped: _Shaped) -> None:
        if not len(shaped.shape):
            return
        self._taken = True
        block = shaped.shape.take()
        for feed in shaped.feeds:
            line = feed.line
            values = block.values.view(line.dtype)
            if feed.all:
                part = Block(block.times_ms, values, block.quality)
            else:
                part = _embedded(Block(block.times_ms, values, block.quality), feed)
            closed_ms = self.closed_ms.get(line.definition.step_ms)
            self.counters.late += line.put(part, self._clock, closed_ms, self._fresh, self._position)

    # Closing.

    def _steps(self) -> set[int]:
        return {line.definition.step_ms for line in self._lines}

    @_QUIETLY
    def _close(self, until_ms: Mapping[int, int]) -> None:
        self._take_all()
        self._correct()
        for line in self._lines:
            step_ms = line.definition.step_ms
            end_ms, old_ms = until_ms.get(step_ms), self.closed_ms.get(step_ms)
            if end_ms is not None and (old_ms is None or end_ms > old_ms):
                self._closed += line.close(old_ms, end_ms, self._born_ms)
        for step_ms, end_ms in until_ms.items():
            self.closed_ms[step_ms] = max(end_ms, self.closed_ms.get(step_ms) or 0)
        for line in self._lines:
            line.forget_before(self.closed_ms.get(line.definition.step_ms) or 0)
        self._forget_idle_lines()
        self._due_ms = min(
            ((self.closed_ms.get(step_ms) or 0) + step_ms for step_ms in self._steps()), default=-1
        )

    def _correct(self) -> None:
        for line in self._lines:
            closed_ms = self.closed_ms.get(line.definition.step_ms)
            for closed in line.corrections(closed_ms, self._born_ms):
                self.counters.corrected += 1
                self._closed.append(closed)

    def _forget_idle_lines(self) -> None:
        idle = [
            line
            for line in self._lines
            if line.newest_pane_ms is None
            and self._newest_ms - line.newest_ms > max(IDLE_LINE_MS, line.definition.memory_ms)
        ]
        if idle:
            gone = {id(line) for line in idle}
            self._lines = [line for line in self._lines if id(line) not in gone]
            self._homes = {key: home for key, home in self._homes.items() if id(home[0]) not in gone}
            self._known.clear()
            self._shapes = {
                key: shaped
                for key, shaped in self._shapes.items()
                if not any(id(feed.line) in gone for feed in shaped.feeds)
            }

    @_QUIETLY
    def _spare(self, watermark_ms: int) -> None:
        """Hold the bound of memory: first let samples of closed windows go, then what is older than late."""
        if self.raw_bytes <= self._tuning.memory_bytes:
            return
        for line in self._lines:
            line.fold(self.closed_ms.get(line.definition.step_ms) or 0)
        if self.raw_bytes > self._tuning.memory_bytes // 2:
            for line in self._lines:
                line.fold(watermark_ms)


def _embedded(block: Block, feed: _Feed) -> Block:
    """Columns at their places in the line; at the others there is no sample."""
    width = len(feed.line.series)
    if len(feed.places) == width and bool((feed.places == np.arange(width)).all()):
        return block.columns(feed.columns)
    values = np.zeros((len(block), width), feed.line.dtype)
    values[:, feed.places] = block.values[:, feed.columns]
    quality = np.full((len(block), width), ABSENT, np.uint8)
    quality[:, feed.places] = 0 if block.quality is None else block.quality[:, feed.columns]
    return Block(block.times_ms, values, quality)


def summaries_of(closed: Iterable[Closed]) -> list[Summary]:
    """Lines of one number type and definition beside each other, window by window."""
    found: dict[tuple[int, str, int, int], list[Closed]] = {}
    for each in closed:
        line = each.line  # definitions are few and stay, so that their ids tell them apart
        key = (id(line.definition), line.dtype.char, each.start_ms, each.revision)
        found.setdefault(key, []).append(each)
    summaries = []
    for (_, _, start_ms, revision), together in found.items():
        definition = together[0].line.definition
        carries = [each.carry for each in together if each.carry is not None]
        percentiles = [each.percentiles for each in together if each.percentiles is not None]
        summaries.append(
            summary_of(
                beside([each.part for each in together]),
                carries_beside(carries) if carries else None,
                np.hstack(percentiles) if percentiles else None,
                tuple(chain.from_iterable(each.line.series for each in together)),
                definition,
                start_ms=start_ms,
                revision=revision,
                clock=max(each.clock for each in together),
            )
        )
    return summaries


@dataclass(slots=True)
class _Merged:
    clock: ClockState = ClockState.SYNCED
    rows: dict[Series, WindowRow] = field(default_factory=dict)


def windows_of(summaries: Iterable[Summary]) -> list[Window]:
    """Rows of the same window together, oldest window first."""
    found: dict[tuple[int, int, int, int], _Merged] = {}
    for summary in summaries:
        definition = summary.definition
        key = (summary.start_ms, definition.length_ms, definition.step_ms, summary.revision)
        window = found.setdefault(key, _Merged())
        window.clock = max(window.clock, summary.clock)
        window.rows.update(summary.rows())
    windows = [
        Window(
            start_ms,
            length_ms,
            merged.clock,
            merged.rows,
            step_ms=None if step_ms == length_ms else step_ms,
            revision=revision,
        )
        for (start_ms, length_ms, step_ms, revision), merged in found.items()
    ]
    return sorted(windows, key=lambda window: (window.start_ms, window.revision))
