"""What a bus implementation gives to its contract suite, and a collector of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from headgate.bus.api import Bus, Handler
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.bus.split import SplitBus


class Message(NamedTuple):
    """One message as it arrives."""

    topic: str
    payload: bytes


class World(Protocol):
    """One gateway with its cloud. The component's configuration starts as `{"greeting": "hello"}`."""

    thing: str

    def bus(self) -> AbstractAsyncContextManager[Bus]: ...
    def pair(self) -> AbstractAsyncContextManager[tuple[Bus, Bus]]:
        """Two buses of one gateway."""

    async def configure(self, bus: Bus, merge: Mapping[str, Any]) -> None:
        """Change the configuration of the component that `bus` belongs to."""


@dataclass
class Collector:
    """Messages of one subscription; `take` waits for so many of them."""

    queue: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    @property
    def waiting(self) -> int:
        return self.queue.qsize()

    async def take(self, count: int) -> list[Message]:
        return [await self.queue.get() for _ in range(count)]


@contextmanager
def collect(
    subscribe: Callable[[str, Handler], AbstractContextManager[None]], pattern: str
) -> Iterator[Collector]:
    """Collect what one subscription gets."""
    collector = Collector()

    async def handler(topic: str, payload: bytes) -> None:
        collector.queue.put_nowait(Message(topic, payload))

    with subscribe(pattern, handler):
        yield collector


async def settled(bus: Bus) -> None:
    """Return once what `bus` subscribed to so far is in force: it publishes nothing before that."""
    await bus.publish("hg/v1/local/test/settled", b"")


class MemoryWorld:
    """MemoryBus: a gateway is one bus, so a pair is that bus twice."""

    thing = "gateway-1"

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        async with MemoryBus(cloud=MemoryCloud(), config={"greeting": "hello"}) as bus:
            yield bus

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Bus, Bus]]:
        async with self.bus() as bus:
            yield bus, bus

    async def configure(self, bus: Bus, merge: Mapping[str, Any]) -> None:
        assert isinstance(bus, MemoryBus)
        bus.set_config({"greeting": "hello"} | dict(merge))


class SplitWorld:
    """SplitBus: local messages in memory, everything else on a nucleus; a gateway is one bus."""

    def __init__(self, outside: World) -> None:
        self.thing = outside.thing
        self._outside = outside
        self._nucleus_buses: dict[int, Bus] = {}

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        async with MemoryBus() as local, self._outside.bus() as outside:
            bus = SplitBus(local, outside)
            self._nucleus_buses[id(bus)] = outside
            yield bus

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Bus, Bus]]:
        async with self.bus() as bus:
            yield bus, bus

    async def configure(self, bus: Bus, merge: Mapping[str, Any]) -> None:
        await self._outside.configure(self._nucleus_buses[id(bus)], merge)
