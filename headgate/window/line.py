"""A line: series that come together, of one number type and one definition, and their recent samples.

Time is cut into panes as long as the step; a window is the panes that lie in it. A pane keeps its samples
until memory is short; then they are folded into its part, and what comes for that time later needs history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from headgate.model import ClockState, Series
from headgate.window.definition import Definition
from headgate.window.history import History, block_of
from headgate.window.part import Block, Floats, Integers, Part, assembled, joined, part_of
from headgate.window.quantiles import Sketch, merged, sketch_of
from headgate.window.summary import Carry, no_carry

FOLLOWERS = 3
"""Windows behind a corrected one that are looked through for the one whose sample before has changed."""


@dataclass(slots=True)
class _Pane:
    """Samples of one step. Those before `folded_until_ms` are in `folded` and `sketch` alone; `stale`: one of
    them is missing there.
    """

    raw: list[Block] = field(default_factory=list)
    folded: Part | None = None
    sketch: Sketch | None = None
    folded_until_ms: int = -1
    stale: bool = False
    clock: ClockState = ClockState.SYNCED
    whole: Part | None = None

    def part(self, definition: Definition) -> Part | None:
        """Of all samples; None where there is none."""
        if self.whole is None:
            part = self.folded
            if self.raw:
                self.raw = [_one(self.raw)]
                newer = part_of(self.raw[0], definition.rule)
                part = newer if part is None else joined(part, newer, definition.rule)
            self.whole = part
        return self.whole

    def sketches(self) -> Iterator[Sketch]:
        """That together hold all samples."""
        if self.sketch is not None:
            yield self.sketch
        for block in self.raw:
            yield sketch_of(block)

    def fold(self, until_ms: int, definition: Definition) -> None:
        """Let go of samples before `until_ms`, which lie before all others that are to come."""
        if not self.raw or until_ms <= self.folded_until_ms:
            return
        block = _one(self.raw).in_order()
        cut = int(np.searchsorted(block.times_ms, until_ms))
        if cut:
            older = block.rows(slice(0, cut))
            part = part_of(older, definition.rule)
            self.folded = part if self.folded is None else joined(self.folded, part, definition.rule)
            if definition.percentiles:
                self.sketch = merged([*([self.sketch] if self.sketch else []), sketch_of(older)])
        self.raw = [_owned(block.rows(slice(cut, None)))] if cut < len(block) else []
        self.folded_until_ms = until_ms


@dataclass(slots=True)
class _Late:
    """Samples that came for a pane behind its closing. `before`: what it was then, where that was known."""

    revision: int
    before: Part | None


@dataclass(frozen=True, slots=True)
class Closed:
    """A window of one line, all of its samples in `part`."""

    line: Line
    start_ms: int
    revision: int
    clock: ClockState
    part: Part
    carry: Carry | None
    percentiles: Floats | None


class Line:
    """`known_from_ms`: every sample from there on was put, or is to be; None: every one there ever was."""

    def __init__(
        self,
        series: tuple[Series, ...],
        dtype: np.dtype[np.generic],
        definition: Definition,
        known_from_ms: int | None,
        history: History | None,
    ) -> None:
        self.series = series
        self.dtype = dtype
        self.definition = definition
        self.raw_bytes = 0
        self.newest_ms = -1
        self._history = history
        self._panes: dict[int, _Pane] = {}
        self._late: dict[int, _Late] = {}
        self._known_from_ms = known_from_ms
        self._carry = no_carry(len(series), dtype)
        if known_from_ms is not None:
            self._carry = self._past_carry(known_from_ms)

    @property
    def newest_pane_ms(self) -> int | None:
        """The start of the newest pane with samples."""
        return max(self._panes, default=None)

    def put(self, block: Block, clock: ClockState, closed_ms: int | None, fresh: bool, revision: int) -> int:
        """Take in samples, in the order of acquisition; returns how many are for panes before `closed_ms`.

        Of those, only `fresh` ones change a window that was closed; others were counted before a restart.
        """
        late = 0
        step_ms = self.definition.step_ms
        self.newest_ms = max(self.newest_ms, int(block.times_ms.max()))
        for start_ms, rows in _by_pane(block, step_ms):
            closed = closed_ms is not None and start_ms < closed_ms
            known = self._known_from_ms is None or start_ms >= self._known_from_ms
            pane = self._panes.get(start_ms)
            if closed and fresh:
                late += len(rows) * len(self.series)
                before = pane.part(self.definition) if pane is not None and not pane.stale else None
                noted = self._late.setdefault(start_ms, _Late(revision, before))
                noted.revision = max(noted.revision, revision)
            if known:
                if pane is None:
                    pane = self._panes[start_ms] = _Pane()
                older = pane.folded_until_ms > rows.times_ms.min()
                if older and self._history is None:
                    continue
                pane.stale |= older
                pane.clock = max(pane.clock, clock)
                pane.whole = None
                pane.raw.append(rows)
                self.raw_bytes += rows.size_bytes
            elif self.definition.carries:  # also when replayed: the history may not have it yet
                self._carry = self._carry.followed_by(part_of(rows.in_order(), self.definition.rule))
        return late

    def close(self, old_ms: int | None, until_ms: int, born_ms: int) -> Iterator[Closed]:
        """The windows that end in (old_ms, until_ms], start at `born_ms` or later, and hold any sample."""
        length_ms, step_ms = self.definition.length_ms, self.definition.step_ms
        starts: set[int] = set()
        for pane_ms in self._panes:
            first_end_ms = pane_ms + step_ms if old_ms is None else max(pane_ms, old_ms) + step_ms
            ends = range(first_end_ms, min(until_ms, pane_ms + length_ms) + 1, step_ms)
            starts.update(end_ms - length_ms for end_ms in ends)
        for start_ms in sorted(starts):
            if start_ms >= born_ms:
                closed = self._window(start_ms, 0)
                if closed is not None:
                    yield closed

    def corrections(self, closed_ms: int | None, born_ms: int) -> Iterator[Closed]:
        """Again the windows that closed before `closed_ms` and have got samples since the last call."""
        if not self._late:
            return
        late, self._late = self._late, {}
        again: dict[int, int] = {}
        for pane_ms, noted in sorted(late.items()):
            for start_ms in self._touched(pane_ms, noted.before):
                again[start_ms] = max(again.get(start_ms, 0), noted.revision)
        last_ms = (closed_ms or 0) - self.definition.length_ms
        for start_ms, revision in sorted(again.items()):
            if born_ms <= start_ms <= last_ms:
                closed = self._window(start_ms, revision)
                if closed is not None:
                    yield closed

    def forget_before(self, closed_ms: int) -> None:
        """Drop panes that no open window needs, but for some in which late samples are likely."""
        length_ms, step_ms = self.definition.length_ms, self.definition.step_ms
        bound_ms = closed_ms - length_ms - min(length_ms, 2 * step_ms)
        for pane_ms in sorted(pane_ms for pane_ms in self._panes if pane_ms < bound_ms):
            part = self._pane_part(pane_ms)
            del self._panes[pane_ms]
            if part is not None:
                self._carry = self._carry.followed_by(part)
            self._known_from_ms = max(self._known_from_ms or 0, bound_ms)
        self.raw_bytes = sum(block.size_bytes for pane in self._panes.values() for block in pane.raw)

    def fold(self, until_ms: int) -> None:
        """Let go of the samples before `until_ms`; what they amount to is kept."""
        for pane_ms, pane in self._panes.items():
            pane.fold(min(until_ms, pane_ms + self.definition.step_ms), self.definition)
        self.raw_bytes = sum(block.size_bytes for pane in self._panes.values() for block in pane.raw)

    # The parts.

    def _window(self, start_ms: int, revision: int) -> Closed | None:
        definition = self.definition
        end_ms = start_ms + definition.length_ms
        part, sketch, clock = self._range(start_ms, end_ms)
        if part is None or not part.count.any():
            return None
        carry = self._carry_at(start_ms) if definition.carries else None
        percentiles = None
        if definition.percentiles:
            percentiles = (sketch or Sketch()).quantiles(definition.percentiles, len(self.series))
        return Closed(self, start_ms, revision, clock, part, carry, percentiles)

    def _range(self, start_ms: int, end_ms: int) -> tuple[Part | None, Sketch | None, ClockState]:
        part: Part | None = None
        sketches: list[Sketch] = []
        clock = ClockState.SYNCED
        if self._known_from_ms is not None and start_ms < self._known_from_ms:
            if self._history is None:
                return None, None, clock
            until_ms = min(end_ms, self._known_from_ms)
            part, sketch = self._past(start_ms, until_ms)
            sketches += [sketch] if sketch else []
            start_ms = until_ms
        for pane_ms in range(start_ms, end_ms, self.definition.step_ms):
            pane = self._panes.get(pane_ms)
            found = self._pane_part(pane_ms)
            if pane is not None and found is not None:
                part = found if part is None else joined(part, found, self.definition.rule)
                clock = max(clock, pane.clock)
                if self.definition.percentiles:
                    sketches += pane.sketches()
        return part, merged(sketches) if sketches else None, clock

    def _pane_part(self, pane_ms: int) -> Part | None:
        """Of one pane in memory; read again where samples came that it could not take in."""
        pane = self._panes.get(pane_ms)
        if pane is None:
            return None
        if pane.stale and self._history is not None:
            end_ms = pane_ms + self.definition.step_ms
            pane.folded, pane.sketch = self._past(pane_ms, end_ms)
            pane.raw, pane.whole, pane.stale = [], None, False
            newest_ms = -1 if pane.folded is None else int(pane.folded.last_ms.max())
            pane.folded_until_ms = newest_ms + 1
        return pane.part(self.definition)

    def _past(self, from_ms: int, to_ms: int) -> tuple[Part | None, Sketch | None]:
        """From the history."""
        if self._history is None:
            return None, None
        parts: dict[int, Part] = {}
        sketches: dict[int, list[Sketch]] = {}
        places = {series: i for i, series in enumerate(self.series)}
        rule = self.definition.rule
        for samples in self._history.samples(places.keys(), from_ms, to_ms):
            at = places[samples.series]
            block = block_of(samples).in_order()
            part = part_of(block, rule)
            parts[at] = joined(parts[at], part, rule) if at in parts else part
            if self.definition.percentiles:
                sketches.setdefault(at, []).append(sketch_of(block))
        if not parts:
            return None, None
        part = assembled(len(places), self.dtype, rule, ((_place(at), each) for at, each in parts.items()))
        sketch = _beside({at: merged(found) for at, found in sketches.items()}, len(places))
        return part, sketch if self.definition.percentiles else None

    def _carry_at(self, start_ms: int) -> Carry:
        if self._known_from_ms is not None and start_ms < self._known_from_ms:
            return self._past_carry(start_ms)
        before: list[Part] = []
        for pane_ms in sorted((pane_ms for pane_ms in self._panes if pane_ms < start_ms), reverse=True):
            part = self._pane_part(pane_ms)
            if part is not None:
                before.append(part)
                if part.count.all():  # nothing older has a say
                    break
        carry = self._carry
        for part in reversed(before):
            carry = carry.followed_by(part)
        return carry

    def _past_carry(self, start_ms: int) -> Carry:
        carry = no_carry(len(self.series), self.dtype)
        if self.definition.carries:
            part, _ = self._past(start_ms - self.definition.memory_ms, start_ms)
            if part is not None:
                carry = carry.followed_by(part)
        return carry

    def _touched(self, pane_ms: int, before: Part | None) -> Iterator[int]:
        """The starts of windows that a late sample in this pane changes: those that hold it, and those whose
        sample before it has become.
        """
        length_ms, step_ms = self.definition.length_ms, self.definition.step_ms
        yield from range(pane_ms - length_ms + step_ms, pane_ms + 1, step_ms)
        if not self.definition.carries:
            return
        after = self._pane_part(pane_ms)
        if after is None:
            yield from range(pane_ms + step_ms, pane_ms + FOLLOWERS * length_ms + 1, step_ms)
            waiting = self._carry.last_ms // step_ms * step_ms == pane_ms
        else:
            waiting = after.count > 0
        if after is not None and before is not None:
            same = (after.last_ms == before.last_ms) & (after.last == before.last) & (before.count > 0)
            waiting &= ~same
        passed_ms = pane_ms
        for next_ms in sorted(each for each in self._panes if each > pane_ms):
            if not waiting.any():
                return
            yield from range(max(passed_ms, next_ms - length_ms) + step_ms, next_ms + 1, step_ms)
            passed_ms = next_ms
            found = self._pane_part(next_ms)
            if found is not None:
                waiting &= found.count == 0


def _by_pane(block: Block, step_ms: int) -> Iterator[tuple[int, Block]]:
    times = block.times_ms
    first_ms, last_ms = int(times.min()) // step_ms * step_ms, int(times.max()) // step_ms * step_ms
    if first_ms == last_ms:
        yield first_ms, block
        return
    if last_ms - first_ms == step_ms:  # the rule; then those that are newer come last, but for a few
        newer = times >= last_ms
        cut = int(newer.argmax())
        yield first_ms, block.rows(slice(0, cut)) if cut else block.rows(~newer)
        if cut and not newer[cut:].all():
            yield first_ms, block.rows(slice(cut, None)).rows(~newer[cut:])
        yield last_ms, block.rows(slice(cut, None)).rows(newer[cut:])
        return
    block = block.in_order()
    panes = block.times_ms // step_ms
    cuts = [0, *(np.flatnonzero(panes[1:] != panes[:-1]) + 1).tolist(), len(block)]
    for a, b in pairwise(cuts):
        yield int(panes[a]) * step_ms, block.rows(slice(a, b))


def _one(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    quality = None
    if any(block.quality is not None for block in blocks):
        quality = np.concatenate(
            [
                np.zeros(block.values.shape, np.uint8) if block.quality is None else block.quality
                for block in blocks
            ]
        )
    return Block(
        np.concatenate([block.times_ms for block in blocks]),
        np.concatenate([block.values for block in blocks]),
        quality,
    )


def _owned(block: Block) -> Block:
    """A copy that does not keep a larger block alive."""
    quality = None if block.quality is None else block.quality.copy()
    return Block(block.times_ms.copy(), block.values.copy(), quality)


def _place(at: int) -> Integers:
    return np.array([at])


def _beside(found: dict[int, Sketch], width: int) -> Sketch:
    """Sketches of one series each, as one of all of them."""
    rows: dict[int, int] = {}
    for sketch in found.values():
        for weight, values in sketch.levels:
            rows[weight] = max(rows.get(weight, 0), len(values))
    levels = {weight: np.full((count, width), np.nan) for weight, count in rows.items()}
    for at, sketch in found.items():
        for weight, values in sketch.levels:
            levels[weight][: len(values), at] = values[:, 0]
    halvings = max((sketch.halvings for sketch in found.values()), default=0)
    return Sketch(tuple(sorted(levels.items(), key=lambda level: level[0])), halvings)
