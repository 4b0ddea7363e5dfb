"""The receiving half every bus shares: a queue and a consumer per subscription, under one TaskGroup."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from headgate.bus.api import Handler
from headgate.errors import Reject, Retry
from headgate.inbox import Inbox, Overflow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait per subscription, and what a full queue does."""

    messages: int = 256
    size_bytes: int = 4 * 1024 * 1024
    policy: Overflow = Overflow.DROP_OLDEST


@dataclass(frozen=True, slots=True)
class Counters:
    """One subscription's messages so far: `received` includes the dropped, the failed and those that wait."""

    pattern: str
    received: int
    dropped: int
    failed: int
    waiting: int


class Delivery:
    """One subscription: what arrives is put here, the consumer hands it to the handler one by one."""

    def __init__(self, pattern: str, handler: Handler, limits: QueueLimits) -> None:
        self.pattern = pattern
        self.failed = 0
        self.inbox: Inbox[tuple[str, bytes]] = Inbox(limits.messages, limits.size_bytes, limits.policy)
        self._handler = handler

    def put(self, topic: str, payload: bytes) -> None:
        """Queue one message."""
        if self.inbox.dropped == 0:
            self.inbox.put((topic, payload), len(payload))
            if self.inbox.dropped:
                log.warning(
                    "subscription to %r falls behind: its queue is full and drops messages", self.pattern
                )
        else:
            self.inbox.put((topic, payload), len(payload))

    async def run(self) -> None:
        """Hand over what arrives until the inbox is closed."""
        async for topic, payload in self.inbox:
            try:
                await self._handler(topic, payload)
            except (Retry, Reject) as error:
                self.failed += 1
                log.warning("message of %d B on %r was not handled: %s", len(payload), topic, error)

    def counters(self) -> Counters:
        """What this subscription has seen so far."""
        inbox = self.inbox
        return Counters(self.pattern, inbox.received, inbox.dropped, self.failed, len(inbox))


class Deliveries:
    """All subscriptions of one bus. Leaving cancels their handlers; a handler's failure cancels the body."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: list[Delivery] = []
        self._entered = False
        self.closed = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        for delivery in self._open:
            delivery.inbox.close()
        for task in self._tasks:
            task.cancel()
        # Only a cancellation concerns the group; the body's own error goes on as itself, not inside a group.
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:
            await self._group.__aexit__(None, None, None)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        """Run `work` until the bus closes; its failure ends the bus."""
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @contextmanager
    def subscribed(self, pattern: str, handler: Handler) -> Iterator[Delivery]:
        """A running delivery while entered. Raises Retry when the bus is not open."""
        self.check_open()
        delivery = Delivery(pattern, handler, self._limits)
        self.spawn(delivery.run(), f"bus subscription {pattern}")
        self._open.append(delivery)
        try:
            yield delivery
        finally:
            self._open.remove(delivery)
            delivery.inbox.close()

    def check_open(self) -> None:
        """Raise Retry when the bus is not open."""
        if self.closed or not self._entered:
            raise Retry("the bus is closed")

    def counters(self) -> list[Counters]:
        """One entry per open subscription."""
        return [delivery.counters() for delivery in self._open]
