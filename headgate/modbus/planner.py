"""Merges the tags of a poll group into as few reads as the device's limits allow; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value lies: its first register or bit, and how many it has."""

    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Block:
    """One read: `count` registers or bits from `address`; `members` index the spans that it covers."""

    address: int
    count: int
    members: tuple[int, ...]


def plan_reads(spans: Sequence[Span], *, max_count: int, max_gap: int) -> list[Block]:
    """Cover all spans of one table of a device with the fewest reads, and of those with the fewest registers.

    A read has at most `max_count` registers or bits and steps over at most `max_gap` unasked ones in a row.
    A value is never split: one longer than `max_count` is the caller's fault (ValueError).

    Dynamic programming over the spans by address. Reads of consecutive spans suffice: a span that starts
    after another one but is read earlier can move to the other's read without making it longer.
    """
    order = sorted(range(len(spans)), key=lambda i: (spans[i].address, spans[i].count))
    # best[n]: cost of covering the first n spans in order, and where the last of those reads starts.
    best: list[tuple[int, int, int] | None] = [(0, 0, 0)] + [None] * len(order)
    for first in range(len(order)):
        reads, registers, _ = best[first] or (0, 0, 0)
        start = end = spans[order[first]].address
        for last in range(first, len(order)):
            span = spans[order[last]]
            if span.address - end > max_gap:
                break
            end = max(end, span.address + span.count)
            if end - start > max_count:
                if last == first:
                    raise ValueError(f"a value of {span.count} does not fit a read of {max_count}")
                break
            option = (reads + 1, registers + end - start, first)
            known = best[last + 1]
            if known is None or option < known:
                best[last + 1] = option
    return _blocks(spans, order, [step[2] for step in best[1:] if step is not None])


def _blocks(spans: Sequence[Span], order: Sequence[int], first: Sequence[int]) -> list[Block]:
    blocks: list[Block] = []
    last = len(order) - 1
    while last >= 0:
        members = tuple(order[first[last] : last + 1])
        start = spans[members[0]].address
        end = max(spans[i].address + spans[i].count for i in members)
        blocks.append(Block(start, end - start, members))
        last = first[last] - 1
    return blocks[::-1]
