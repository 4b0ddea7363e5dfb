"""What is in the journal and in no block yet: samples as arrays in memory, to be sealed and to be read."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model import Series
from headgate.store.arrays import Shape, Stretch

MAX_SHAPES = 4_096
"""Shapes that are recognised at once; beyond that they are looked up anew."""


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Samples of the batch at one journal position, not in a block yet."""

    position: int
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a query reads: what is in memory, and up to which journal position blocks count beside it."""

    waiting: tuple[Unsealed, ...]
    sealed: int


class Head:
    """Grows by one writer; a snapshot may be taken from any thread. `sealed`: as in Snapshot."""

    def __init__(self, sealed: int) -> None:
        self._now: tuple[list[Unsealed], int] = ([], sealed)
        self._shapes: dict[tuple[Series, ...], Shape] = {}
        self._recent: dict[int, tuple[tuple[Series, ...], Shape]] = {}
        self.samples = 0

    def shape(self, series: tuple[Series, ...]) -> Shape:
        """The one shape of these series; quick where the same tuple comes again."""
        found = self._recent.get(id(series))
        if found is not None and found[0] is series:
            return found[1]
        if len(self._recent) >= MAX_SHAPES:
            self._recent.clear()
            self._shapes.clear()
        shape = self._shapes.get(series)
        if shape is None:
            shape = self._shapes[series] = Shape(series)
        self._recent[id(series)] = (series, shape)
        return shape

    def add(self, item: Unsealed) -> None:
        """Hold samples until they are sealed."""
        self._now[0].append(item)
        self.samples += len(item.stretch)

    def waiting(self) -> list[Unsealed]:
        """All that is held, in the order in which it came."""
        return list(self._now[0])

    def sealed(self, end: int) -> None:
        """Everything held is in blocks, which are whole up to the journal position `end`."""
        self._now = ([], end)  # one assignment: a snapshot is of before or of after
        self.samples = 0

    def snapshot(self) -> Snapshot:
        """What is held now."""
        waiting, sealed = self._now
        return Snapshot(tuple(waiting), sealed)
