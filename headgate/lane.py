"""The priority lane: what the cloud asks for goes before the gateway's own polls, and never starves them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

URGENT_IN_A_ROW = 4
"""Most urgent turns in a row while an ordinary one waits: polls keep a fifth of a bus under any flood."""


class Lane:
    """A semaphore of `slots` with two queues, each in order of arrival: the urgent one goes first.

    While an ordinary entry waits, at most URGENT_IN_A_ROW urgent ones go in a row, then that one.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._ordinary: deque[asyncio.Future[None]] = deque()
        self._in_a_row = 0

    @asynccontextmanager
    async def turn(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Hold a slot while entered; waits for one."""
        await self._enter(self._urgent if urgent else self._ordinary)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, queue: deque[asyncio.Future[None]]) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        self._give()
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # in the moment in which the slot was given
                self._leave()
            raise

    def _leave(self) -> None:
        self._free += 1
        self._give()

    def _give(self) -> None:
        while self._free and (mine := self._next()) is not None:
            self._free -= 1
            mine.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        """Whose turn it is; None when nobody waits."""
        for queue in (self._urgent, self._ordinary):
            while queue and queue[0].cancelled():
                queue.popleft()
        if self._urgent and not (self._ordinary and self._in_a_row >= URGENT_IN_A_ROW):
            self._in_a_row = self._in_a_row + 1 if self._ordinary else 0
            return self._urgent.popleft()
        self._in_a_row = 0
        return self._ordinary.popleft() if self._ordinary else None
