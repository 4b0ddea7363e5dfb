"""One bus made of two: local messages by the one, the cloud and the configuration by the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any

from headgate.bus.api import Bus, Handler, Serve


class SplitBus:
    """A Bus (see `headgate.bus.api.Bus` for what it promises): `local` messages, and all else `outside`.

    `keys`: what of the component's configuration is seen here; all of it unless given. `public`: topics that
    start so are for other components, and published outside.
    """

    def __init__(
        self,
        local: Bus,
        outside: Bus,
        *,
        keys: Collection[str] | None = None,
        public: tuple[str, ...] = (),
    ) -> None:
        self.max_local_bytes = local.max_local_bytes
        self.max_cloud_bytes = outside.max_cloud_bytes
        self._local = local
        self._outside = outside
        self._keys = keys
        self._public = public

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish`."""
        bus = self._outside if topic.startswith(self._public) else self._local
        await bus.publish(topic, payload)

    def subscribe(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe`."""
        return self._local.subscribe(pattern, handler)

    async def request(self, topic: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Bus.request`."""
        return await self._local.request(topic, payload, timeout_s=timeout_s)

    def serve(self, topic: str, handler: Serve) -> AbstractContextManager[None]:
        """See `Bus.serve`."""
        return self._local.serve(topic, handler)

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish_cloud`."""
        await self._outside.publish_cloud(topic, payload)

    def subscribe_cloud(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe_cloud`."""
        return self._outside.subscribe_cloud(pattern, handler)

    async def configs(self) -> AsyncIterator[Mapping[str, Any]]:
        """See `Bus.configs`."""
        last: Mapping[str, Any] | None = None
        async for config in self._outside.configs():
            seen = {k: v for k, v in config.items() if self._keys is None or k in self._keys}
            if seen != last:
                last = seen
                yield seen
