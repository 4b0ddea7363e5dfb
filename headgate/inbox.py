"""A bounded queue with one reader that drops by a policy and counts, instead of blocking whoever fills it."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Overflow(Enum):
    """What a full inbox does with the next item."""

    DROP_OLDEST = "drop oldest"
    DROP_NEWEST = "drop newest"


class Inbox(Generic[T]):
    """Items in arrival order for one reader, which iterates it: `async for item in inbox`.

    It holds at most `limit` items of together `limit_bytes` (a single larger item is taken when nothing
    waits). Iteration ends once it is closed; what waits is dropped then, or read to the end first when it
    was finished.
    """

    def __init__(self, limit: int, limit_bytes: int, policy: Overflow = Overflow.DROP_OLDEST) -> None:
        self.received = 0
        self.dropped = 0
        self._items: deque[tuple[T, int]] = deque()
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._policy = policy
        self._over = False
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, size_bytes: int) -> None:
        """Add an item, dropping by the policy when full. Once it is over, items are ignored."""
        if self._over:
            return
        self.received += 1
        items = self._items
        while items and (len(items) >= self._limit or self._size_bytes + size_bytes > self._limit_bytes):
            self.dropped += 1
            if self._policy is Overflow.DROP_NEWEST:
                return
            self._size_bytes -= items.popleft()[1]
        items.append((item, size_bytes))
        self._size_bytes += size_bytes
        self._wake()

    def close(self) -> None:
        """End the iteration now; what waits is dropped."""
        self._items.clear()
        self._size_bytes = 0
        self.finish()

    def finish(self) -> None:
        """End the iteration once what waits has been read."""
        self._over = True
        self._wake()

    def __aiter__(self) -> Inbox[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._over:
                raise StopAsyncIteration
            if self._reader is not None:
                raise RuntimeError("an inbox has one reader")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item, size_bytes = self._items.popleft()
        self._size_bytes -= size_bytes
        return item

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
