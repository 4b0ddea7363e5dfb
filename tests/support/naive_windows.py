"""What windows are to be, computed one sample at a time by arithmetic of its own: exact fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

Number = float | int


@dataclass(frozen=True)
class Naive:
    """Statistics of one series; `weighted` is None where no value held for any time."""

    seen: int
    good: int
    count: int
    low: Number
    high: Number
    total: Fraction
    mean: Fraction
    variance: Fraction
    first: Number
    last: Number
    weighted: Fraction | None
    increase: Fraction
    resets: int


def counts(value: object, quality: int) -> bool:
    return (
        quality in (0, 1)
        and isinstance(value, int | float)
        and (isinstance(value, int) or math.isfinite(value))
    )


def naive(
    samples: Sequence[tuple[int, Number | None, int]],
    hold_ms: int,
    wrap: int = 0,
    before: tuple[int, Number] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> Naive | None:
    """Of samples (time, value, quality) in the order of acquisition; None where none counts.

    `before` is the sample before the window: it holds from `start_ms` on. The last one holds until `end_ms`.
    """
    good = sum(1 for _, value, quality in samples if quality == 0 and counts(value, quality))
    kept = sorted(
        ((t, value) for t, value, quality in samples if counts(value, quality) and value is not None),
        key=lambda sample: sample[0],
    )
    if not kept:
        return None
    values = [Fraction(value) for _, value in kept]
    mean = sum(values, Fraction(0)) / len(values)
    held: list[tuple[Fraction, int]] = []
    points = list(kept)
    if before is not None and start_ms is not None and start_ms - before[0] < hold_ms:
        left_ms = hold_ms - (start_ms - before[0])
        held.append((Fraction(before[1]), min(points[0][0] - start_ms, left_ms)))
    for (t, value), (following, _) in pairwise(points):
        held.append((Fraction(value), min(following - t, hold_ms)))
    if end_ms is not None:
        held.append((Fraction(points[-1][1]), min(end_ms - points[-1][0], hold_ms)))
    weight = sum(w for _, w in held)
    line = [*([before[1]] if before is not None else []), *(value for _, value in kept)]
    increase, resets = Fraction(0), 0
    for a, b in pairwise(line):
        step, reset = _step(Fraction(a), Fraction(b), wrap)
        increase += step
        resets += reset
    return Naive(
        seen=len(samples),
        good=good,
        count=len(kept),
        low=min(value for _, value in kept),
        high=max(value for _, value in kept),
        total=sum(values, Fraction(0)),
        mean=mean,
        variance=sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values),
        first=kept[0][1],
        last=kept[-1][1],
        weighted=sum((v * w for v, w in held), Fraction(0)) / weight if weight else None,
        increase=increase,
        resets=resets,
    )


def _step(a: Fraction, b: Fraction, wrap: int) -> tuple[Fraction, int]:
    if b >= a:
        return b - a, 0
    if wrap and 0 <= b - a + wrap <= Fraction(wrap, 2):
        return b - a + wrap, 0
    return max(b, Fraction(0)), 1
