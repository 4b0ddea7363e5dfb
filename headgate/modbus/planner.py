"""Merges the tags of a poll group into as few reads as the device's limits allow; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Where a value, or a range, lies: its first register or bit, and how many it has."""

    address: int
    count: int

    @property
    def end(self) -> int:
        """The first register or bit behind it."""
        return self.address + self.count


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` registers or bits from `address`; `members` index the spans that it covers."""

    address: int
    count: int
    members: tuple[int, ...]


def plan_reads(
    spans: Sequence[Span], *, max_count: int, max_gap: int, forbidden: Sequence[Span] = ()
) -> list[Block]:
    """Cover all spans of one table of a device with the fewest reads, and of those with the fewest registers.

    A read has at most `max_count` registers or bits, steps over at most `max_gap` unasked ones in a row, and
    touches nothing forbidden. A value is never split. ValueError: a value is longer than `max_count` or lies
    in what is forbidden, which is the caller's to prevent.

    Reads of consecutive spans suffice: a span that starts after another one but is read earlier can move to
    the other's read without making it longer. Where a gap may not be crossed, both sides are planned apart.
    """
    walls = sorted(forbidden)
    order = sorted(range(len(spans)), key=lambda i: (spans[i].address, spans[i].count))
    for i in order:
        if spans[i].count > max_count:
            raise ValueError(f"a value of {spans[i].count} does not fit a read of {max_count}")
        if _touches(walls, spans[i].address, spans[i].end):
            raise ValueError(f"a value at {spans[i].address} lies in a forbidden range")
    return [
        block_of(spans, members)
        for stretch in _stretches(spans, order, max_gap, walls)
        for members in _partition(spans, stretch, max_count)
    ]


def block_of(spans: Sequence[Span], members: Sequence[int]) -> Block:
    """The read that covers some spans, given in the order of their addresses."""
    start = spans[members[0]].address
    return Block(start, max(spans[i].end for i in members) - start, tuple(members))


def halves(spans: Sequence[Span], block: Block) -> tuple[Block, Block, Span | None]:
    """Part a read of two or more spans in two, and say what unasked range lies between them.

    Where it steps over anything unasked, the widest such range parts it, because that is what devices refuse
    most; else its middle does. Spans that overlap stay together unless all do.
    """
    members = block.members
    ends = [spans[members[0]].end]
    for i in members[1:]:
        ends.append(max(ends[-1], spans[i].end))
    gaps = [spans[i].address - end for i, end in zip(members[1:], ends, strict=False)]
    widest, middle = max(gaps), len(gaps) // 2
    wanted = [at for at, gap in enumerate(gaps) if gap == widest]
    at = min(wanted, key=lambda at: abs(at - middle))
    left, right = members[: at + 1], members[at + 1 :]
    between = Span(ends[at], widest) if widest > 0 else None
    return block_of(spans, left), block_of(spans, right), between


def _touches(walls: Sequence[Span], start: int, end: int) -> bool:
    """Whether [start, end) meets one of the ranges, which are sorted."""
    at = bisect_left(walls, Span(end, 0))
    return any(wall.end > start for wall in walls[:at])


def _stretches(
    spans: Sequence[Span], order: Sequence[int], max_gap: int, walls: Sequence[Span]
) -> Iterator[list[int]]:
    """Spans in order, parted wherever no read may go on."""
    stretch: list[int] = []
    end = 0
    for i in order:
        start = spans[i].address
        if stretch and (start - end > max_gap or (start > end and _touches(walls, end, start))):
            yield stretch
            stretch = []
        end = max(end, spans[i].end) if stretch else spans[i].end
        stretch.append(i)
    if stretch:
        yield stretch


def _partition(spans: Sequence[Span], stretch: Sequence[int], max_count: int) -> list[Sequence[int]]:
    """The reads of a stretch that may be read through, as runs of its spans."""
    if max(spans[i].end for i in stretch) - spans[stretch[0]].address <= max_count:
        return [stretch]
    if all(spans[a].end == spans[b].address for a, b in pairwise(stretch)):
        return _greedy(spans, stretch, max_count)
    return _cheapest(spans, stretch, max_count)


def _greedy(spans: Sequence[Span], stretch: Sequence[int], max_count: int) -> list[Sequence[int]]:
    """Each read as long as it may be: the best there is where every register is asked for, and once."""
    runs: list[Sequence[int]] = []
    first = 0
    for at, i in enumerate(stretch):
        if spans[i].end - spans[stretch[first]].address > max_count:
            runs.append(stretch[first:at])
            first = at
    return [*runs, stretch[first:]]


def _cheapest(spans: Sequence[Span], stretch: Sequence[int], max_count: int) -> list[Sequence[int]]:
    """Dynamic programming over the cost of covering the first n spans, and where the last read starts."""
    best: list[tuple[int, int, int]] = [(0, 0, 0)] + [(len(stretch) + 1, 0, 0)] * len(stretch)
    for first, i in enumerate(stretch):
        reads, registers, _ = best[first]
        start = end = spans[i].address
        for last in range(first, len(stretch)):
            span = spans[stretch[last]]
            if span.end > end:
                end = span.end
            if end - start > max_count:
                break
            option = (reads + 1, registers + end - start, first)
            if option < best[last + 1]:
                best[last + 1] = option
    runs: list[Sequence[int]] = []
    end_at = len(stretch)
    while end_at > 0:
        first = best[end_at][2]
        runs.append(stretch[first:end_at])
        end_at = first
    return runs[::-1]
