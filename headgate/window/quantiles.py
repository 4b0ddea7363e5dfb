"""Percentiles of several series at once: exact for small windows, within a bound of memory for large ones.

Beyond MAX_ROWS rows, two rows of equal weight in the order of their values become one of twice the weight,
taken alternately from below and above (Manku, Rajagopalan, Lindsay: "Approximate medians", SIGMOD 1998). Each
such halving adds an error in rank of at most 1 / MAX_ROWS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from headgate.model import Quality
from headgate.window.part import Block, Floats

MAX_ROWS = 2_048
"""What a sketch holds of each series: 16 kB."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """Values by weight, doubles, one column for each series; NaN is no value. No row: no value at all."""

    levels: tuple[tuple[int, Floats], ...] = ()
    halvings: int = 0

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return sum(values.nbytes for _, values in self.levels)

    def quantiles(self, wanted: Sequence[float], width: int) -> Floats:
        """A row for each wanted share (0..1), a column for each of `width` series; NaN where there is none.

        Between two values of weight 1 it is interpolated linearly.
        """
        if not self.levels:
            return np.full((len(wanted), width), np.nan)
        values = np.concatenate([values for _, values in self.levels])
        if len(self.levels) == 1:
            return _exact(np.sort(values, 0), wanted)
        weights = np.concatenate([np.full(len(values), weight) for weight, values in self.levels])
        order = np.argsort(values, 0)
        values = np.take_along_axis(values, order, 0)
        sums = np.cumsum(np.where(np.isnan(values), 0, weights[order]), 0)
        found = [(sums <= share * (sums[-1] - 1)).sum(0) for share in wanted]
        columns = np.arange(width)
        return np.array([values[np.minimum(rows, len(values) - 1), columns] for rows in found])


def sketch_of(block: Block) -> Sketch:
    """Of a block in any order."""
    values = block.values.astype(np.float64)
    if block.quality is not None:
        values[block.quality > Quality.UNCERTAIN] = np.nan
    values[~np.isfinite(values)] = np.nan
    return _bounded({1: [values]}, 0)


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """Of all values of all of them."""
    levels: dict[int, list[Floats]] = {}
    halvings = 0
    for sketch in sketches:
        halvings = max(halvings, sketch.halvings)
        for weight, values in sketch.levels:
            levels.setdefault(weight, []).append(values)
    return _bounded(levels, halvings)


def sketches_beside(found: Sequence[tuple[Sequence[int], Sketch]], width: int) -> Sketch | None:
    """Sketches of some series each, by their places, as one of `width` series; None of none."""
    rows: dict[int, int] = {}
    for _, sketch in found:
        for weight, values in sketch.levels:
            rows[weight] = max(rows.get(weight, 0), len(values))
    levels = {weight: np.full((count, width), np.nan) for weight, count in rows.items()}
    for places, sketch in found:
        for weight, values in sketch.levels:
            levels[weight][: len(values), list(places)] = values
    halvings = max((sketch.halvings for _, sketch in found), default=0)
    ordered = tuple(sorted(levels.items(), key=lambda level: level[0]))
    return Sketch(ordered, halvings) if found else None


def _exact(values: Floats, wanted: Sequence[float]) -> Floats:
    last = (~np.isnan(values)).sum(0) - 1
    columns = np.arange(values.shape[1])
    found = []
    for share in wanted:
        place = np.maximum(share * last, 0)
        below = place.astype(np.int64)
        low, high = values[below, columns], values[np.minimum(below + 1, np.maximum(last, 0)), columns]
        with np.errstate(over="ignore", invalid="ignore"):
            found.append(np.where(high == low, low, low + (high - low) * (place - below)))
    return np.array(found)


def _bounded(levels: dict[int, list[Floats]], halvings: int) -> Sketch:
    rows = sum(len(values) for found in levels.values() for values in found)
    while rows > MAX_ROWS:
        weight = min((w for w, found in levels.items() if sum(map(len, found)) > 1), default=0)
        if not weight:
            break
        values = np.sort(np.concatenate(levels.pop(weight)), 0)
        spare = values[len(values) // 2 * 2 :]
        kept = values[halvings % 2 : len(values) // 2 * 2 : 2]
        halvings += 1
        rows -= len(kept)
        levels.setdefault(2 * weight, []).append(kept)
        if len(spare):
            levels[weight] = [spare]
    return Sketch(tuple((w, np.concatenate(found)) for w, found in sorted(levels.items())), halvings)
