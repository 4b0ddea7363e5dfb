"""The published model definitions that are carried along (`models/`, made by devtools/sunspec.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("models")
FRAME = ("ID", "L")
"""The points of every model that say which it is and how long."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point as it is published: `size` in registers; `scale` is the name of its scale factor, or a power of
    ten that never changes, or empty.
    """

    name: str
    type: str
    size: int
    scale: str | int
    unit: str
    mandatory: bool
    symbols: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PointGroup:
    """Points that lie behind each other, and the groups behind them.

    `count`: how often it is there: None once, 0 as often as the model is long, or the name of a point.
    """

    name: str
    count: int | str | None
    points: tuple[Point, ...]
    groups: tuple[PointGroup, ...]

    @property
    def size(self) -> int:
        """Registers of its own points."""
        return sum(point.size for point in self.points)


@dataclass(frozen=True, slots=True)
class Definition:
    """A model as it is published; `family` is the word that series have for it."""

    id: int
    family: str
    label: str
    group: PointGroup

    def names(self) -> set[str]:
        """The names of the points that can be polled, those of repeating groups among them."""
        return set(_names(self.group))


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of a model. `measured`: it is polled where a site document names no models."""

    family: str
    measured: bool


@lru_cache(1)
def index() -> Mapping[int, Entry]:
    """The models that are here, by id."""
    rows = json.loads((FOLDER / "index.json").read_bytes())
    return {int(number): Entry(*row) for number, row in rows.items()}


@lru_cache(16)
def load(number: int) -> Definition:
    """A definition that is here."""
    found = json.loads((FOLDER / f"{number}.json").read_bytes())
    group = PointGroup("", None, _points(found["points"]), _groups(found["groups"]))
    return Definition(number, found["family"], found["label"], group)


def is_value(point: Point) -> bool:
    """Whether a point can be polled; those that frame and fill a model are of no use alone."""
    return point.type != "pad"


def _names(group: PointGroup) -> list[str]:
    own = [point.name for point in group.points if is_value(point)]
    return [*own, *(name for inner in group.groups for name in _names(inner))]


def _groups(rows: Sequence[Mapping[str, Any]]) -> tuple[PointGroup, ...]:
    return tuple(
        PointGroup(row["name"], row["count"], _points(row["points"]), _groups(row["groups"])) for row in rows
    )


def _points(rows: Sequence[Sequence[Any]]) -> tuple[Point, ...]:
    return tuple(
        Point(name, kind, size, scale, unit, bool(mandatory), _symbols(more[0]) if more else ())
        for name, kind, size, scale, unit, mandatory, *more in rows
    )


def _symbols(row: Mapping[str, str]) -> tuple[tuple[int, str], ...]:
    return tuple(sorted((int(number), text) for number, text in row.items()))
