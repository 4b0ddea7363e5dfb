"""The line between a hub and the cloud's queue, on a simulated clock: as nuclei and networks really fail."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Literal

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import ManualClock
from headgate.errors import Retry

Mode = Literal["up", "refuse", "lose", "spool", "slow"]
"""`refuse`: lite offline. `lose`: taken and gone (half-open, restarted). `spool`: classic offline, in memory,
bounded, oldest dropped. `slow`: an answer after seconds, and not always a good one.
"""
MODES: tuple[Mode, ...] = ("spool", "refuse", "lose", "slow")


class Link:
    """Carries envelopes to `arrive` (topic, body). What one key names must be the same bytes each time."""

    def __init__(self, clock: ManualClock, rng: random.Random, arrive: Callable[[str, bytes], None]) -> None:
        self.mode: Mode = "up"
        self.spool_limit_bytes = 2_500_000
        self.most_spooled_bytes = 0
        self.dropped = 0
        self.lost = 0
        self.refused = 0
        self._clock = clock
        self._rng = rng
        self._arrive = arrive
        self._spool: deque[tuple[str, bytes]] = deque()
        self._under_way: list[tuple[int, str, bytes]] = []

    async def publish(self, topic: str, body: bytes) -> None:
        """What a nucleus does with a publish."""
        if self.mode == "slow":
            await self._clock.sleep_until(self._clock.boot_ms() + self._rng.randint(1_000, 15_000))
            if self._rng.random() < 0.5:
                self.refused += 1
                raise Retry("the nucleus gave no answer in time")
        if self.mode == "refuse":
            self.refused += 1
            raise Retry("no connection to the cloud")
        if self.mode in ("lose", "slow"):
            self.lost += 1
        elif self.mode == "spool":
            self._put(topic, body)
        else:
            self._send(topic, body)

    def become(self, mode: Mode) -> None:
        """Change the weather; what is spooled goes out once the line is up."""
        if self.mode == "up" and mode != "up":  # a line that breaks takes along what is on it
            self.lost += len(self._under_way)
            self._under_way.clear()
        self.mode = mode
        if mode == "up":
            while self._spool:
                self._send(*self._spool.popleft())

    def restart_nucleus(self) -> None:
        """The spooler lives in memory."""
        self.lost += len(self._spool)
        self._spool.clear()

    def deliver(self) -> None:
        """Let arrive what has been under way for long enough."""
        now_ms = self._clock.boot_ms()
        due = [item for item in self._under_way if item[0] <= now_ms]
        self._under_way = [item for item in self._under_way if item[0] > now_ms]
        for _, topic, body in sorted(due):
            self._arrive(topic, body)

    def _put(self, topic: str, body: bytes) -> None:
        self._spool.append((topic, body))
        size_bytes = sum(len(body) for _, body in self._spool)
        self.most_spooled_bytes = max(self.most_spooled_bytes, size_bytes)
        while size_bytes > self.spool_limit_bytes:
            size_bytes -= len(self._spool.popleft()[1])
            self.dropped += 1

    def _send(self, topic: str, body: bytes) -> None:
        self._under_way.append((self._clock.boot_ms() + self._rng.randint(20, 400), topic, body))


class LinkedBus(MemoryBus):
    """A MemoryBus whose envelopes go over a Link."""

    def __init__(self, link: Link, cloud: MemoryCloud, config: dict[str, object]) -> None:
        super().__init__(cloud=cloud, config=config)
        self._link = link

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        """Envelopes over the link; all else is nobody's here."""
        if "/up/" in topic:
            await self._link.publish(topic, payload)
        elif self._link.mode != "up":
            raise Retry("the cloud is away")
