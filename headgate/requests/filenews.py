"""Word from the courier that a file has come to an end, for requests that wait for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.errors import Reject
from headgate.sleeper import Sleeper

NEWS_TOPIC = "hg/v1/local/file"


class Awaited:
    """One request's wait for one file."""

    def __init__(self, clock: Clock) -> None:
        self._sleeper = Sleeper(clock)
        self._told = False

    async def until(self, boot_ms: int) -> None:
        """Return once there was word since the last call, or at `boot_ms`."""
        if not self._told:
            await self._sleeper.until(boot_ms)
        self._told = False

    def tell(self) -> None:
        """There is word."""
        self._told = True
        self._sleeper.wake()


class FileNews:
    """Listens on the local bus. Word may be lost: who waits asks the courier now and then as well."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._awaited: dict[str, list[Awaited]] = {}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listen while entered."""
        with self._bus.subscribe(NEWS_TOPIC, self._on_news):
            yield

    @contextmanager
    def awaited(self, file_id: str) -> Iterator[Awaited]:
        """Wait for a file while entered."""
        awaited = Awaited(self._clock)
        self._awaited.setdefault(file_id, []).append(awaited)
        try:
            yield awaited
        finally:
            self._awaited[file_id].remove(awaited)
            if not self._awaited[file_id]:
                del self._awaited[file_id]

    async def _on_news(self, topic: str, payload: bytes) -> None:
        try:
            file_id = json.loads(payload)["file_id"]
        except (ValueError, TypeError, KeyError) as error:
            raise Reject(f"not the news of a file: {payload[:80]!r}") from error
        for awaited in self._awaited.get(file_id, []) if isinstance(file_id, str) else []:
            awaited.tell()
