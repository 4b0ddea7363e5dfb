"""A line: series that come together, of one number type and one definition, and their recent samples.

Time is cut into panes as long as the step; a window is the panes that lie in it. A pane keeps its samples
until memory is short; then they are folded into its part, and what comes for that time later needs history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headgate.model import ClockState, Series
from headgate.window.definition import Definition
from headgate.window.history import History
from headgate.window.panes import Pane, by_pane
from headgate.window.part import Block, Floats, Part, joined, part_of
from headgate.window.past import Past
from headgate.window.quantiles import Sketch, merged
from headgate.window.summary import Carry, no_carry


@dataclass(slots=True)
class _Late:
    """Samples that came for a pane behind its closing. `before`: what it was then, where that was known."""

    revision: int
    clock: ClockState
    before: Part | None

    def later_of(self, other: _Late | None) -> _Late:
        """Of two that change the same window."""
        if other is None:
            return self
        return _Late(max(self.revision, other.revision), max(self.clock, other.clock), None)


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
        self._past = None if history is None else Past(history, series, dtype, definition)
        self._ahead_ms = 0
        self._panes: dict[int, Pane] = {}
        self._late: dict[int, _Late] = {}
        self._known_from_ms = known_from_ms
        self._carry = no_carry(len(series), dtype)
        if known_from_ms is not None and self._past is not None:
            self._carry = self._past.carry(known_from_ms)
            self._past.forget()

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
        for start_ms, rows in by_pane(block, step_ms):
            closed = closed_ms is not None and start_ms < closed_ms
            known = self._known_from_ms is None or start_ms >= self._known_from_ms
            pane = self._panes.get(start_ms)
            if closed and fresh:
                late += len(rows) * len(self.series)
                before = pane.part(self.definition) if pane is not None and not pane.stale else None
                noted = self._late.setdefault(start_ms, _Late(revision, clock, before))
                noted.revision = max(noted.revision, revision)
                noted.clock = max(noted.clock, clock)
            if known:
                if pane is None:
                    pane = self._panes[start_ms] = Pane()
                older = pane.folded_until_ms > rows.times_ms.min()
                if older and self._past is None:
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
                closed = self._window(start_ms, 0, ClockState.SYNCED)
                if closed is not None:
                    yield closed

    def corrections(self, closed_ms: int | None, born_ms: int) -> Iterator[Closed]:
        """Again the windows that closed before `closed_ms` and have got samples since the last call."""
        if not self._late:
            return
        late, self._late = self._late, {}
        again: dict[int, _Late] = {}
        last_ms = (closed_ms or 0) - self.definition.length_ms
        for pane_ms, noted in sorted(late.items()):
            in_row = pane_ms + self.definition.step_ms in late
            for start_ms in self._touched(pane_ms, noted.before, in_row):
                if born_ms <= start_ms <= last_ms:
                    again[start_ms] = noted.later_of(again.get(start_ms))
        starts = sorted(again)
        for start_ms, run_end_ms in zip(starts, _run_ends(starts, self.definition), strict=True):
            self._ahead_ms = run_end_ms
            closed = self._window(start_ms, again[start_ms].revision, again[start_ms].clock)
            if closed is not None:
                yield closed
        if self._past is not None:
            self._past.forget()

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

    def _window(self, start_ms: int, revision: int, clock: ClockState) -> Closed | None:
        definition = self.definition
        end_ms = start_ms + definition.length_ms
        part, sketch, worst = self._range(start_ms, end_ms)
        if part is None or not part.count.any():
            return None
        carry = self._carry_at(start_ms) if definition.carries else None
        percentiles = None
        if definition.percentiles:
            percentiles = (sketch or Sketch()).quantiles(definition.percentiles, len(self.series))
        return Closed(self, start_ms, revision, max(clock, worst), part, carry, percentiles)

    def _range(self, start_ms: int, end_ms: int) -> tuple[Part | None, Sketch | None, ClockState]:
        part: Part | None = None
        sketches: list[Sketch] = []
        clock = ClockState.SYNCED
        if self._known_from_ms is not None and start_ms < self._known_from_ms:
            if self._past is None:
                return None, None, clock
            until_ms = min(end_ms, self._known_from_ms)
            part, sketches = self._past.range(start_ms, until_ms, min(self._ahead_ms, self._known_from_ms))
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
        if pane.stale and self._past is not None:
            self._past.forget()
            pane.folded, sketches = self._past.range(pane_ms, pane_ms + self.definition.step_ms, pane_ms)
            pane.sketch = sketches[0] if sketches else None
            self._past.forget()
            pane.raw, pane.whole, pane.stale = [], None, False
            newest_ms = -1 if pane.folded is None else int(pane.folded.last_ms.max())
            pane.folded_until_ms = newest_ms + 1
        return pane.part(self.definition)

    def _carry_at(self, start_ms: int) -> Carry:
        if self._known_from_ms is not None and start_ms < self._known_from_ms:
            return self._carry if self._past is None else self._past.carry(start_ms)
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

    def _touched(self, pane_ms: int, before: Part | None, in_row: bool) -> Iterator[int]:
        """The starts of windows that a late sample in this pane changes: those that hold it, and those whose
        sample before it has become. `in_row`: the pane behind it is asked for as well.
        """
        length_ms, step_ms = self.definition.length_ms, self.definition.step_ms
        yield from range(pane_ms - length_ms + step_ms, pane_ms + 1, step_ms)
        if not self.definition.carries:
            return
        after = self._pane_part(pane_ms)
        if after is None:
            if self._past is not None and self._known_from_ms is not None and not in_row:
                reach_ms = step_ms + self.definition.memory_ms + length_ms
                until_ms = min(self._known_from_ms, pane_ms + reach_ms)
                for next_ms in self._past.next_panes(pane_ms + step_ms, until_ms):
                    yield from range(max(pane_ms, next_ms - length_ms) + step_ms, next_ms + 1, step_ms)
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


def _run_ends(starts: list[int], definition: Definition) -> list[int]:
    """For each of ascending windows, where the unbroken row of windows ends that it is in."""
    ends: list[int] = []
    following_ms = 0
    for start_ms in reversed(starts):
        end_ms = start_ms + definition.length_ms
        ends.append(max(end_ms, ends[-1]) if ends and following_ms <= end_ms else end_ms)
        following_ms = start_ms
    return ends[::-1]
