"""The bus within one process: for the all-in-one gateway and for tests, with a cloud side to plug in."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from headgate.bus.api import Handler, Serve
from headgate.bus.delivery import Counters, Deliveries, QueueLimits
from headgate.bus.rpc import Rpc
from headgate.bus.topics import check_pattern, check_topic, matches, too_large
from headgate.errors import Retry

LOCAL_LIMIT_BYTES = 7302
CLOUD_LIMIT_BYTES = 7202
"""Nucleus lite's limits (measured), so that what runs over MemoryBus runs on every nucleus."""

Sink = Callable[[str, bytes], None]


class Exchange:
    """Routes messages to the sinks whose pattern matches, in the order they were attached."""

    def __init__(self) -> None:
        self._sinks: list[tuple[str, Sink]] = []

    @contextmanager
    def attached(self, pattern: str, sink: Sink) -> Iterator[None]:
        """Route what matches `pattern` to `sink` while entered."""
        entry = (pattern, sink)
        self._sinks.append(entry)
        try:
            yield
        finally:
            self._sinks = [other for other in self._sinks if other is not entry]

    def route(self, topic: str, payload: bytes) -> None:
        """Hand one message to every matching sink, before returning."""
        for pattern, sink in self._sinks:
            if matches(pattern, topic):
                sink(topic, payload)


class MemoryCloud(Exchange):
    """The cloud's broker for MemoryBuses: several may share one; a test may attach sinks to it and route."""


class MemoryBus:
    """A Bus (see `headgate.bus.api.Bus` for what it promises) over asyncio; use it as `async with`.

    `cloud_online` cuts the cloud side when False: `publish_cloud` raises Retry and nothing comes down.
    """

    def __init__(
        self,
        *,
        cloud: MemoryCloud | None = None,
        config: Mapping[str, Any] | None = None,
        queue: QueueLimits | None = None,
        max_local_bytes: int = LOCAL_LIMIT_BYTES,
        max_cloud_bytes: int = CLOUD_LIMIT_BYTES,
    ) -> None:
        self.max_local_bytes = max_local_bytes
        self.max_cloud_bytes = max_cloud_bytes
        self.cloud_online = True
        self._local = Exchange()
        self._cloud = cloud or MemoryCloud()
        self._deliveries = Deliveries(queue or QueueLimits())
        self._rpc = Rpc(self)
        self._config: Mapping[str, Any] = copy.deepcopy(dict(config or {}))
        self._config_changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._deliveries.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rpc.close()
        self._config_changed.set()
        await self._deliveries.__aexit__(kind, error, trace)

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish`."""
        self._deliveries.check_open()
        check_topic(topic)
        if len(payload) > self.max_local_bytes:
            raise too_large("publish", topic, len(payload), self.max_local_bytes)
        self._local.route(topic, bytes(payload))
        await asyncio.sleep(0)  # so that a publisher in a loop lets the handlers keep up

    def subscribe(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe`."""
        return self._subscribed(pattern, handler)

    async def request(self, topic: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Bus.request`."""
        return await self._rpc.request(topic, payload, timeout_s)

    def serve(self, topic: str, handler: Serve) -> AbstractContextManager[None]:
        """See `Bus.serve`."""
        return self._rpc.serve(topic, handler)

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish_cloud`."""
        self._deliveries.check_open()
        check_topic(topic, cloud=True)
        if len(payload) > self.max_cloud_bytes:
            raise too_large("publish_cloud", topic, len(payload), self.max_cloud_bytes)
        if not self.cloud_online:
            raise Retry(f"publish_cloud to {topic!r}: the cloud is away")
        self._cloud.route(topic, bytes(payload))
        await asyncio.sleep(0)

    def subscribe_cloud(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe_cloud`."""
        return self._subscribed_cloud(pattern, handler)

    async def configs(self) -> AsyncIterator[Mapping[str, Any]]:
        """See `Bus.configs`."""
        last: Mapping[str, Any] | None = None
        while not self._deliveries.closed:
            changed = self._config_changed
            if self._config != last:
                last = self._config
                yield copy.deepcopy(last)
            await changed.wait()

    def set_config(self, config: Mapping[str, Any]) -> None:
        """Change what `configs` says."""
        self._config = copy.deepcopy(dict(config))
        self._config_changed.set()
        self._config_changed = asyncio.Event()

    def counters(self) -> list[Counters]:
        """One entry per open subscription."""
        return self._deliveries.counters()

    @contextmanager
    def _subscribed(self, pattern: str, handler: Handler) -> Iterator[None]:
        check_pattern(pattern)
        with (
            self._deliveries.subscribed(pattern, handler) as delivery,
            self._local.attached(pattern, delivery.put),
        ):
            yield

    @contextmanager
    def _subscribed_cloud(self, pattern: str, handler: Handler) -> Iterator[None]:
        check_pattern(pattern, cloud=True)
        with self._deliveries.subscribed(pattern, handler) as delivery:

            def come_down(topic: str, payload: bytes) -> None:
                if self.cloud_online:
                    delivery.put(topic, payload)

            with self._cloud.attached(pattern, come_down):
                yield
