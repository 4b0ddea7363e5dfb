"""Classic's spooler: what waits to be published, in memory, bounded, the oldest dropped first."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from gateway_sim.nucleus.errors import ServiceError

log = logging.getLogger("nucleus.mqtt")
SPOOL_BYTES = int(2.5 * 1024 * 1024)  # classic's spooler.maxSizeInBytes


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """One message on its way to the broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def size_bytes(self) -> int:
        """What it counts in a limit."""
        return len(self.topic.encode()) + len(self.payload)


class Spooler:
    """Messages in order; one that was taken is held until it is done, or goes back to the front."""

    def __init__(self, size_bytes: int = SPOOL_BYTES) -> None:
        self._limit_bytes = size_bytes
        self._waiting: deque[Publication] = deque()
        self._taken: dict[int, Publication] = {}
        self._some = asyncio.Event()
        self._size_bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._taken)

    def put(self, publication: Publication) -> None:
        """Queue it, making room by dropping the oldest not in flight; raise ServiceError if it never fits."""
        if publication.size_bytes > self._limit_bytes:
            raise ServiceError(
                f"message of {publication.size_bytes} B; the spooler holds {self._limit_bytes} B"
            )
        while self._size_bytes + publication.size_bytes > self._limit_bytes and self._waiting:
            self._size_bytes -= self._waiting.popleft().size_bytes
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 100 == 0:
                log.warning("spooler full: %d messages dropped so far, oldest first", self.dropped)
        self._waiting.append(publication)
        self._size_bytes += publication.size_bytes
        self._some.set()

    async def take(self) -> Publication:
        """The oldest waiting message, once there is one."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        publication = self._waiting.popleft()
        self._taken[id(publication)] = publication
        return publication

    def done(self, publication: Publication) -> None:
        """The broker has it."""
        if self._taken.pop(id(publication), None) is not None:
            self._size_bytes -= publication.size_bytes

    def put_back(self) -> None:
        """The connection is gone: what was taken and not done goes first again, in its order."""
        self._waiting.extendleft(reversed(self._taken.values()))
        self._taken.clear()
        if self._waiting:
            self._some.set()
