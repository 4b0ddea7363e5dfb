"""What is in the journal and in no block yet: samples as arrays in memory, to be sealed and to be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate.columns import Columns
from headgate.model import Series
from headgate.store.arrays import Shape, Stretch, from_columns

MAX_SHAPES = 4_096
"""Shapes that are recognised at once; beyond that they are looked up anew."""


COLUMNS_AT_ONCE = 256
"""That become arrays together."""
_Arrived = tuple[int, Shape, Columns]


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Samples of a shape from a journal position on, not in a block yet."""

    position: int
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a query reads: what is in memory, and up to which journal position blocks count beside it."""

    waiting: tuple[Unsealed, ...]
    sealed: int
    arrived: tuple[_Arrived, ...] = ()

    def stretches(self, wanted: Callable[[Shape], bool]) -> list[Stretch]:
        """What is in memory of these shapes, in the order in which it came."""
        arrived = as_arrays([one for one in self.arrived if wanted(one[1])])
        return [item.stretch for item in (*self.waiting, *arrived) if wanted(item.stretch.shape)]


class Head:
    """Grows by one writer; a snapshot may be taken from any thread. `sealed`: as in Snapshot.

    Columns become arrays many at a time: one by one that is most of what they cost.
    """

    def __init__(self, sealed: int) -> None:
        # What a snapshot takes of these lists only ever grows at its end; all else makes new lists.
        self._now: tuple[list[Unsealed], list[_Arrived], int] = ([], [], sealed)
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

    def add(self, position: int, shape: Shape, columns: Columns) -> None:
        """Hold columns of the batch at `position`, the newest so far, until they are sealed."""
        arrived = self._now[1]
        arrived.append((position, shape, columns))
        self.samples += len(columns)
        if len(arrived) >= COLUMNS_AT_ONCE:
            self._convert()

    def waiting(self) -> list[Unsealed]:
        """All that is held."""
        self._convert()
        return self._now[0]

    def sealed(self, end: int) -> None:
        """Everything held is in blocks, which are whole up to the journal position `end`."""
        self._now = ([], [], end)
        self.samples = 0

    def snapshot(self) -> Snapshot:
        """What is held now."""
        waiting, arrived, sealed = self._now
        return Snapshot(tuple(waiting), sealed, tuple(arrived))

    def _convert(self) -> None:
        waiting, arrived, sealed = self._now
        self._now = (waiting + as_arrays(arrived), [], sealed)


def as_arrays(arrived: Sequence[_Arrived]) -> list[Unsealed]:
    """Columns as arrays, those of a shape together, at the position of the first of them."""
    shapes: dict[int, list[_Arrived]] = {}
    for one in arrived:
        shapes.setdefault(id(one[1]), []).append(one)
    return [
        Unsealed(group[0][0], from_columns([columns for _, _, columns in group], group[0][1]))
        for group in shapes.values()
    ]
