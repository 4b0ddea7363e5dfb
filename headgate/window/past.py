"""A line's samples out of the history, pane by pane, for windows that are made again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headgate.model import Series
from headgate.window.definition import Definition
from headgate.window.history import History, block_of
from headgate.window.panes import by_pane
from headgate.window.part import Block, Part, assembled, joined, part_of
from headgate.window.quantiles import Sketch, merged, sketch_of, sketches_beside
from headgate.window.summary import Carry, no_carry

SLICE_MS = 60_000
"""Read in one go: 2.4 MB of 100 series at 50 samples a second."""
CARRY_SLICE_MS = 3_600_000
RUN_PANES = 64
"""Panes that are read together where many windows in a row are made again."""

Recalled = tuple[Part | None, Sketch | None]


class Past:
    """What was read is kept until `forget`: windows in a row share it."""

    def __init__(
        self,
        history: History,
        series: tuple[Series, ...],
        dtype: np.dtype[np.generic],
        definition: Definition,
    ) -> None:
        self._history = history
        self._series = series
        self._places = {each: i for i, each in enumerate(series)}
        self._dtype = dtype
        self._definition = definition
        self._panes: dict[int, Recalled] = {}
        self._carried: tuple[int, Carry] | None = None

    def forget(self) -> None:
        """Let go of what was read; the history may have more by now."""
        self._panes.clear()
        self._carried = None

    def range(self, from_ms: int, to_ms: int, ahead_ms: int) -> tuple[Part | None, list[Sketch]]:
        """All of [from_ms, to_ms), which are whole panes; those up to `ahead_ms` will be asked for next."""
        step_ms = self._definition.step_ms
        if any(pane_ms not in self._panes for pane_ms in range(from_ms, to_ms, step_ms)):
            until_ms = max(to_ms, min(ahead_ms, from_ms + RUN_PANES * step_ms))
            kept_ms = self._carried[0] if self._carried else from_ms
            self._panes = {pane_ms: found for pane_ms, found in self._panes.items() if pane_ms >= kept_ms}
            self._read(from_ms, until_ms)
        whole: Part | None = None
        sketches: list[Sketch] = []
        for pane_ms in range(from_ms, to_ms, step_ms):
            part, sketch = self._panes[pane_ms]
            if part is not None:
                whole = part if whole is None else joined(whole, part, self._definition.rule)
            if sketch is not None:
                sketches.append(sketch)
        return whole, sketches

    def carry(self, start_ms: int) -> Carry:
        """The newest samples before a window."""
        if not self._definition.carries:
            return no_carry(len(self._series), self._dtype)
        if self._carried is not None and self._carried[0] <= start_ms:
            since_ms, carry = self._carried
            panes = range(since_ms, start_ms, self._definition.step_ms)
            if all(pane_ms in self._panes for pane_ms in panes):
                for pane_ms in panes:
                    part = self._panes[pane_ms][0]
                    carry = carry if part is None else carry.followed_by(part)
                self._carried = (start_ms, carry)
                return carry
        carry = self._looked_back(start_ms)
        self._carried = (start_ms, carry)
        return carry

    def next_panes(self, from_ms: int, to_ms: int) -> set[int]:
        """The panes of [from_ms, to_ms) in which any series has its first sample that counts."""
        step_ms, rule = self._definition.step_ms, self._definition.rule
        missing, found = set(self._series), set()
        slice_ms = SLICE_MS
        while missing and from_ms < to_ms:
            end_ms = min(to_ms, from_ms + slice_ms)
            for samples in self._history.samples(frozenset(missing), from_ms, end_ms):
                part = part_of(block_of(samples), rule)
                if part.count[0] and samples.series in missing:
                    missing.discard(samples.series)
                    found.add(int(part.first_ms[0]) // step_ms * step_ms)
            from_ms, slice_ms = end_ms, CARRY_SLICE_MS
        return found

    def _looked_back(self, start_ms: int) -> Carry:
        """Slice by slice, and only for the series that were in none so far."""
        carry = no_carry(len(self._series), self._dtype)
        oldest_ms = start_ms - self._definition.memory_ms
        end_ms, slice_ms = start_ms, SLICE_MS
        missing = set(self._series)
        while missing and end_ms > oldest_ms:
            from_ms = max(oldest_ms, end_ms - slice_ms)
            for samples in self._history.samples(missing, from_ms, end_ms):
                at = np.array([self._places[samples.series]])
                part = part_of(block_of(samples), self._definition.rule)
                carry = carry.followed_by(
                    assembled(len(self._series), self._dtype, self._definition.rule, [(at, part)])
                )
            missing = {series for series, at in self._places.items() if carry.last_ms[at] < 0}
            end_ms, slice_ms = from_ms, CARRY_SLICE_MS
        return carry

    def _read(self, from_ms: int, to_ms: int) -> None:
        definition = self._definition
        rule = definition.rule
        for pane_ms in range(from_ms, to_ms, definition.step_ms):
            self._panes[pane_ms] = (None, None)
        for slice_ms in range(from_ms, to_ms, SLICE_MS):
            found: dict[int, list[tuple[tuple[int, ...], Part, Sketch | None]]] = {}
            for places, block in self._blocks(slice_ms, min(slice_ms + SLICE_MS, to_ms)):
                for pane_ms, rows in by_pane(block, definition.step_ms):
                    sketch = sketch_of(rows) if definition.percentiles else None
                    found.setdefault(pane_ms, []).append((places, part_of(rows, rule), sketch))
            for pane_ms, parts in found.items():
                width = len(self._series)
                part = assembled(width, self._dtype, rule, ((np.array(at), each) for at, each, _ in parts))
                sketch = sketches_beside([(at, each) for at, _, each in parts if each is not None], width)
                older, older_sketch = self._panes[pane_ms]
                part = part if older is None else joined(older, part, rule)
                if older_sketch is not None and sketch is not None:
                    sketch = merged([older_sketch, sketch])
                self._panes[pane_ms] = (part, sketch)

    def _blocks(self, from_ms: int, to_ms: int) -> Iterator[tuple[tuple[int, ...], Block]]:
        """Series of the same times beside each other, as they came together."""
        columns: dict[int, list[Block]] = {}
        for samples in self._history.samples(self._places.keys(), from_ms, to_ms):
            columns.setdefault(self._places[samples.series], []).append(block_of(samples))
        together: dict[bytes, list[tuple[int, Block]]] = {}
        for at, blocks in columns.items():
            block = Block.joined(blocks)
            together.setdefault(block.times_ms.tobytes(), []).append((at, block))
        for members in together.values():
            values = np.concatenate([block.values for _, block in members], 1)
            quality = None
            if any(block.quality is not None for _, block in members):
                quality = np.concatenate([block.codes for _, block in members], 1)
            yield tuple(at for at, _ in members), Block(members[0][1].times_ms, values, quality)
