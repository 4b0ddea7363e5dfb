"""Panes: the samples of one step of time, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from headgate.model import ClockState
from headgate.window.definition import Definition
from headgate.window.part import Block, Part, joined, part_of
from headgate.window.quantiles import Sketch, merged, sketch_of


@dataclass(slots=True)
class Pane:
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
                self.raw = [Block.joined(self.raw)]
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
        block = Block.joined(self.raw).in_order()
        cut = int(np.searchsorted(block.times_ms, until_ms))
        if cut:
            older = block.rows(slice(0, cut))
            part = part_of(older, definition.rule)
            self.folded = part if self.folded is None else joined(self.folded, part, definition.rule)
            if definition.percentiles:
                self.sketch = merged([*([self.sketch] if self.sketch else []), sketch_of(older)])
        self.raw = [block.rows(slice(cut, None)).owned()] if cut < len(block) else []
        self.folded_until_ms = until_ms


def by_pane(block: Block, step_ms: int) -> Iterator[tuple[int, Block]]:
    """The rows of each pane, by the start of it; a pane may come more than once. Within it, as acquired."""
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
