"""Statistics of several series at once: of a block of samples in order of time, and of two blocks in a row.

A block is a matrix with a row for each time and a column for each series, all of one number type. `part_of`
sums it up, `joined` puts an earlier and a later part together; so windows of any length, and sliding ones,
are made of parts. 64-bit integers stay exact but in the spread. Spread: shifted by a value of the block, then
merged by the method of Chan, Golub and LeVeque (1979), so that it survives values far from zero. Doubles
beyond 1e150 overflow it: call within `np.errstate(over="ignore", invalid="ignore")`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headgate.model import Quality
from headgate.window.counters import increases

Numbers = NDArray[Any]
"""Of float64, int64 or uint64."""
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Exact = NDArray[np.object_]
"""Python integers, which know no overflow."""
Codes = NDArray[np.uint8]

ABSENT = 255
"""A quality code for a place where no sample is: it is not even seen."""


@dataclass(frozen=True, slots=True)
class Block:
    """`values[i, j]` is series j at `times_ms[i]` with `quality[i, j]`; no `quality`: all good.

    A place whose quality is neither good nor uncertain may hold any value; it does not count.
    """

    times_ms: Integers
    values: Numbers
    quality: Codes | None = None

    def __len__(self) -> int:
        return len(self.times_ms)

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return (
            self.values.nbytes + self.times_ms.nbytes + (0 if self.quality is None else self.quality.nbytes)
        )

    @property
    def codes(self) -> Codes:
        """The quality, spelled out where all are good."""
        return np.zeros(self.values.shape, np.uint8) if self.quality is None else self.quality

    @staticmethod
    def joined(blocks: Sequence[Block]) -> Block:
        """Blocks of the same series, one below the other."""
        if len(blocks) == 1:
            return blocks[0]
        quality = None
        if any(block.quality is not None for block in blocks):
            quality = np.concatenate([block.codes for block in blocks])
        times = np.concatenate([block.times_ms for block in blocks])
        return Block(times, np.concatenate([block.values for block in blocks]), quality)

    def owned(self) -> Block:
        """A copy that does not keep a larger block alive."""
        quality = None if self.quality is None else self.quality.copy()
        return Block(self.times_ms.copy(), self.values.copy(), quality)

    def rows(self, which: slice | Integers | NDArray[np.bool_]) -> Block:
        """Some of the rows."""
        quality = None if self.quality is None else self.quality[which]
        return Block(self.times_ms[which], self.values[which], quality)

    def columns(self, which: Integers) -> Block:
        """Some of the series."""
        quality = None if self.quality is None else self.quality[:, which]
        return Block(self.times_ms, self.values[:, which], quality)

    def in_order(self) -> Block:
        """By time; rows of equal time as they were acquired."""
        times = self.times_ms
        if len(times) < 2 or bool((times[1:] >= times[:-1]).all()):
            return self
        return self.rows(np.argsort(times, kind="stable"))


@dataclass(frozen=True, slots=True)
class Part:
    """Each field has an entry for each series; where `count` is 0 only `seen` and `good` mean anything.

    `mean` is `base + offset`, `m2` the sum of squared distances from it. `weight_ms` is how long values held
    until the next one (each at most `hold_ms`), `area` the sum of (value - base) times that. `total` (the
    exact sum) is there for integers, `increase` and `resets` for counters.
    """

    seen: Integers
    good: Integers
    count: Integers
    base: Numbers
    offset: Floats
    m2: Floats
    low: Numbers
    high: Numbers
    first: Numbers
    last: Numbers
    first_ms: Integers
    last_ms: Integers
    area: Floats
    weight_ms: Integers
    total: Exact | None
    increase: Numbers | Exact | None
    resets: Integers | None


@dataclass(frozen=True, slots=True)
class Rule:
    """How values are summed up beside the plain statistics. `wrap`: None for what is no counter, 0 for a
    counter that only ever starts again at 0, else how many values it runs through before it wraps.
    """

    hold_ms: int = 60_000
    wrap: int | None = None


def part_of(block: Block, rule: Rule) -> Part:
    """What a block amounts to, its rows in any order; it has one at least."""
    if block.quality is None:
        part = _whole(block.times_ms, block.values, rule)
        # One that is not finite shows in the sums.
        if np.isfinite(part.offset).all() or np.isfinite(block.values).all():
            return part
        nothing_said = np.zeros(block.values.shape, np.uint8)
        return part_of(Block(block.times_ms, block.values, nothing_said), rule)
    quality = block.quality
    if block.values.dtype == np.float64:
        quality = np.where(np.isfinite(block.values), quality, np.maximum(quality, Quality.BAD_VALUE))
    counts = quality <= Quality.UNCERTAIN
    part = _nothing(len(block), block.values.shape[1], block.values.dtype, rule)
    part.good[:] = (quality == Quality.GOOD).sum(0)
    part.seen[:] = (quality != ABSENT).sum(0)
    patterns: dict[bytes, list[int]] = {}
    for j, column in enumerate(np.ascontiguousarray(counts.T)):
        patterns.setdefault(column.tobytes(), []).append(j)
    for pattern, found in patterns.items():
        rows = np.frombuffer(pattern, np.bool_)
        if rows.any():
            some = np.array(found)
            inside = _whole(block.times_ms[rows], block.values[np.ix_(rows, some)], rule)
            _put(part, some, inside, _STATISTICS)
    return part


def assembled(
    width: int, dtype: np.dtype[np.generic], rule: Rule, found: Iterable[tuple[Integers, Part]]
) -> Part:
    """A part of `width` series out of parts of some of them each; the places come first."""
    part = _nothing(0, width, dtype, rule)
    for at, inside in found:
        _put(part, at, inside, _FIELDS)
    return part


def beside(parts: Sequence[Part]) -> Part:
    """Parts of different series as one part of all of them."""
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for name in _FIELDS:
        found = [getattr(part, name) for part in parts]
        columns[name] = None if found[0] is None else np.concatenate(found)
    return Part(**columns)


def joined(earlier: Part, later: Part, rule: Rule) -> Part:
    """Both as one; nothing in `later` is older than anything in `earlier`, series by series."""
    a, b = earlier, later
    count = a.count + b.count
    share = b.count / np.maximum(count, 1)
    none, only = b.count == 0, a.count == 0
    apart = difference(b.base, a.base) + (b.offset - a.offset)
    between = np.minimum(b.first_ms - a.last_ms, rule.hold_ms)
    area = a.area + b.area + difference(b.base, a.base) * b.weight_ms
    area += difference(a.last, a.base) * between
    offset = a.offset + apart * share
    m2 = a.m2 + b.m2 + apart * apart * (a.count * share)

    def choose(of_both: Numbers, of_a: Numbers, of_b: Numbers) -> Numbers:
        return np.where(none, of_a, np.where(only, of_b, of_both))

    increase, resets = _joined_counts(a, b, rule)
    return Part(
        seen=a.seen + b.seen,
        good=a.good + b.good,
        count=count,
        base=np.where(only, b.base, a.base),
        offset=choose(offset, a.offset, b.offset),
        m2=choose(m2, a.m2, b.m2),
        low=choose(np.minimum(a.low, b.low), a.low, b.low),
        high=choose(np.maximum(a.high, b.high), a.high, b.high),
        first=np.where(only, b.first, a.first),
        last=np.where(none, a.last, b.last),
        first_ms=np.where(only, b.first_ms, a.first_ms),
        last_ms=np.where(none, a.last_ms, b.last_ms),
        area=choose(area, a.area, b.area),
        weight_ms=choose(a.weight_ms + b.weight_ms + between, a.weight_ms, b.weight_ms),
        total=None if a.total is None or b.total is None else a.total + b.total,
        increase=increase,
        resets=resets,
    )


def _joined_counts(a: Part, b: Part, rule: Rule) -> tuple[Numbers | None, Integers | None]:
    if a.increase is None or b.increase is None or a.resets is None or b.resets is None or rule.wrap is None:
        return None, None
    step, reset = increases(a.last, b.first, rule.wrap)
    both = (a.count > 0) & (b.count > 0)
    steps = np.where(both, step, 0).astype(a.increase.dtype)
    return a.increase + b.increase + steps, a.resets + b.resets + (reset & both)


def difference(a: Numbers, b: Numbers) -> Floats:
    """`a - b` as doubles, of integers rounded once."""
    if a.dtype == np.float64:
        return np.asarray(a - b, np.float64)
    # Modulo 2^64 the distance of any two 64-bit integers is exact.
    up = a.astype(np.uint64) - b.astype(np.uint64)
    return np.where(a >= b, up.astype(np.float64), -(-up).astype(np.float64))


def exact_sums(values: Numbers) -> Exact:
    """The columns' sums of integers, as Python integers."""
    high: Exact = (values >> values.dtype.type(32)).sum(0).astype(np.object_)
    low: Exact = (values & values.dtype.type(0xFFFF_FFFF)).sum(0).astype(np.object_)
    return np.asarray(high * (1 << 32) + low, np.object_)


def _whole(times: Integers, values: Numbers, rule: Rule) -> Part:
    """Of a matrix in which every value counts."""
    rows, width = values.shape
    order: Integers | None = None
    if rows > 1 and not (times[1:] >= times[:-1]).all():
        order = np.argsort(times, kind="stable")  # of equal times: as acquired
        times = times[order]
        if rule.wrap is not None:  # else only the weights need the order, which spares moving the values
            values, order = values[order], None
    first_row, last_row = (0, -1) if order is None else (order[0], order[-1])
    count = np.full(width, rows, np.int64)
    low, high = _reduced(np.minimum, values), _reduced(np.maximum, values)
    whole = values.dtype != np.float64
    weights = np.empty((2, rows))
    weights[0] = 1.0
    weights[1, -1] = 0.0
    np.minimum(times[1:] - times[:-1], rule.hold_ms, out=weights[1, :-1], casting="unsafe")
    if order is not None:
        weights[1, order] = weights[1].copy()
    if whole:  # from the smallest on, every distance fits 64 bits
        base = low
        distances = (values.astype(np.uint64) - base.astype(np.uint64)).astype(np.float64)
    else:
        base = values[0]
        distances = values - base
    # Two products of a vector are quicker than one of a matrix of two rows.
    sums, area = weights[0] @ distances, weights[1] @ distances
    if not whole and not np.isfinite(sums).all():  # doubles beyond 1e300: the mean fits, if no more does
        base = np.where(np.isfinite(sums), base, 0.0)
        distances = values - base
        sums, area = weights[0] @ distances, weights[1] @ distances
        offset = np.where(np.isfinite(sums), sums / rows, (distances / rows).sum(0))
    else:
        offset = sums / rows
    m2 = np.einsum("ij,ij->j", distances, distances) - sums * offset
    first_ms, last_ms = np.full(width, times[0]), np.full(width, times[-1])
    increase = resets = None
    if rule.wrap is not None:
        steps, downs = increases(values[:-1], values[1:], rule.wrap)
        resets = downs.sum(0).astype(np.int64)
        increase = exact_sums(steps) if whole else steps.sum(0)
    return Part(
        seen=count,
        good=count,
        count=count,
        base=base,
        offset=offset,
        m2=np.fmax(m2, 0.0),
        low=low,
        high=high,
        first=values[first_row],
        last=values[last_row],
        first_ms=first_ms,
        last_ms=last_ms,
        area=area,
        weight_ms=np.full(width, int(weights[1].sum())),
        total=exact_sums(values) if whole else None,
        increase=increase,
        resets=resets,
    )


def _reduced(operation: np.ufunc, values: Numbers) -> Numbers:
    """Minimum or maximum of each column; several rows beside each other keep the inner loop long."""
    rows, width = values.shape
    fold = min(16, rows // 8)
    if fold < 2 or not values.flags.c_contiguous:
        return np.asarray(operation.reduce(values, 0))
    even = rows // fold * fold
    folded = operation.reduce(values[:even].reshape(-1, fold * width), 0).reshape(fold, width)
    found = operation.reduce(folded, 0)
    return np.asarray(found if even == rows else operation(found, operation.reduce(values[even:], 0)))


def _nothing(rows: int, width: int, dtype: np.dtype[np.generic], rule: Rule) -> Part:
    def integers() -> Integers:
        return np.zeros(width, np.int64)

    def numbers() -> Numbers:
        return np.zeros(width, dtype)

    def exact() -> Exact:
        return np.full(width, 0, np.object_)

    whole, counter = dtype != np.float64, rule.wrap is not None
    return Part(
        seen=np.full(width, rows, np.int64),
        good=integers(),
        count=integers(),
        base=numbers(),
        offset=np.zeros(width),
        m2=np.zeros(width),
        low=numbers(),
        high=numbers(),
        first=numbers(),
        last=numbers(),
        first_ms=integers(),
        last_ms=integers(),
        area=np.zeros(width),
        weight_ms=integers(),
        total=exact() if whole else None,
        increase=(exact() if whole else np.zeros(width)) if counter else None,
        resets=integers() if counter else None,
    )


_FIELDS = tuple(field.name for field in fields(Part))
_STATISTICS = tuple(name for name in _FIELDS if name not in ("seen", "good"))


def _put(part: Part, at: Integers, inside: Part, names: Iterable[str]) -> None:
    """Set the series `at` of a part to those of another."""
    for name in names:
        target = getattr(part, name)
        if target is not None:
            target[at] = getattr(inside, name)
