"""Which poll group of a line is due next: drift-free ticks, missed ones counted and never piled up; pure."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Entry(Generic[T]):
    due_ms: int
    number: int
    interval_ms: int = field(compare=False)
    item: T = field(compare=False)


class Schedule(Generic[T]):
    """Items with a fixed interval each; times are boottime in ms.

    An item's ticks lie at its first one plus whole intervals, however late it was taken. `missed` counts
    the ticks that passed while an earlier one of the same item had not been taken.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._heap: list[_Entry[T]] = []
        self._number = 0

    def add(self, item: T, interval_ms: int, first_ms: int) -> None:
        """Have `item` due at `first_ms` and every `interval_ms` after it."""
        self._number += 1
        heapq.heappush(self._heap, _Entry(first_ms, self._number, interval_ms, item))

    def keep(self, items: list[T]) -> None:
        """Remove every item that is not one of `items` (by identity)."""
        wanted = {id(item) for item in items}
        self._heap = [entry for entry in self._heap if id(entry.item) in wanted]
        heapq.heapify(self._heap)

    def next_ms(self) -> int | None:
        """When the next item is due; None when there is none."""
        return self._heap[0].due_ms if self._heap else None

    def take(self, now_ms: int) -> T | None:
        """The item that has been due longest, or None when none is due yet."""
        if not self._heap or self._heap[0].due_ms > now_ms:
            return None
        entry = self._heap[0]
        passed = (now_ms - entry.due_ms) // entry.interval_ms
        self.missed += passed
        # Equal times take turns: a line that cannot keep up serves all its groups, each more rarely.
        self._number += 1
        entry.number = self._number
        entry.due_ms += (passed + 1) * entry.interval_ms
        heapq.heapreplace(self._heap, entry)
        return entry.item


def spread_phase_ms(index: int, interval_ms: int) -> int:
    """The phase of the index-th group of one interval: evenly spread however many follow.

    The golden ratio's multiples are the sequence whose largest gap shrinks fastest.
    """
    return int(index * 0.6180339887498949 % 1.0 * interval_ms)
