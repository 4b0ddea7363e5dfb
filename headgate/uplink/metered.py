"""A bus whose messages to and from the cloud are booked; all else goes straight through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from headgate.bus.api import Bus, Handler, Serve
from headgate.clock import Clock
from headgate.uplink.ledger import Ledger

REMEMBERED = 8_192
"""Envelopes of which a repeat is known as one; more than ever wait for an acknowledgement."""


class MeteredBus:
    """See `headgate.bus.api.Bus`. What the nucleus refuses is not booked; what it loses is."""

    def __init__(self, bus: Bus, clock: Clock, ledger: Ledger) -> None:
        self._bus = bus
        self._clock = clock
        self._ledger = ledger
        self._sent: OrderedDict[int, None] = OrderedDict()

    @property
    def max_local_bytes(self) -> int:
        """See `Bus.max_local_bytes`."""
        return self._bus.max_local_bytes

    @property
    def max_cloud_bytes(self) -> int:
        """See `Bus.max_cloud_bytes`."""
        return self._bus.max_cloud_bytes

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish`."""
        await self._bus.publish(topic, payload)

    def subscribe(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe`."""
        return self._bus.subscribe(pattern, handler)

    async def request(self, topic: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Bus.request`."""
        return await self._bus.request(topic, payload, timeout_s=timeout_s)

    def serve(self, topic: str, handler: Serve) -> AbstractContextManager[None]:
        """See `Bus.serve`."""
        return self._bus.serve(topic, handler)

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish_cloud`."""
        await self._bus.publish_cloud(topic, payload)
        self._ledger.up(self._clock.utc_ms(), topic, len(payload), again=self._is_again(topic, payload))

    def subscribe_cloud(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe_cloud`."""

        async def booked(topic: str, payload: bytes) -> None:
            self._ledger.down(self._clock.utc_ms(), topic, len(payload))
            await handler(topic, payload)

        return self._bus.subscribe_cloud(pattern, booked)

    def configs(self) -> AsyncIterator[Mapping[str, Any]]:
        """See `Bus.configs`."""
        return self._bus.configs()

    def _is_again(self, topic: str, payload: bytes) -> bool:
        """An envelope is re-sent bit-identical, and no two are the same; of others nothing is known."""
        if "/up/" not in topic:
            return False
        mark = hash((topic, payload))
        again = mark in self._sent
        self._sent[mark] = None
        self._sent.move_to_end(mark)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        return again
