"""A driver on a real transport: what it emitted, and waiting for more of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from headgate.clock import Clock, SystemClock
from headgate.modbus.driver import ModbusDriver
from headgate.model import Frame


class QuickClock(SystemClock):
    """A clock on which everything that the gateway waits for of its own will comes ten times as soon."""

    FACTOR = 10

    def boot_ms(self) -> int:
        return super().boot_ms() * self.FACTOR

    async def sleep_until(self, boot_ms: int) -> None:
        while (left_ms := boot_ms - self.boot_ms()) > 0:
            await asyncio.sleep(left_ms / 1000 / self.FACTOR)


class Driven:
    """What a driver emitted and said, and a way to wait for more of it."""

    def __init__(self, clock: Clock) -> None:
        self.driver = ModbusDriver(clock, notice=self._hear)
        self.said: list[str] = []
        self.all: list[Frame] = []
        self._more = asyncio.Event()

    def take(self, frame: Frame) -> None:
        self.all.append(frame)
        self._more.set()

    async def until(self, enough: Callable[[], bool], patience_s: float = 10) -> None:
        async with asyncio.timeout(patience_s):
            while not enough():
                self._more.clear()
                await self._more.wait()

    def values(self, name: str) -> list[tuple[Any, int]]:
        """(value, quality) of one series, in order."""
        index = [series.name for series in self.driver.table()].index(name)
        found = []
        for frame in self.all:
            if index in frame.series:
                at = list(frame.series).index(index)
                found.append((frame.values[at], frame.quality[at] if frame.quality else 0))
        return found

    def _hear(self, text: str) -> None:
        self.said.append(text)
        self._more.set()


@asynccontextmanager
async def driven(*devices: dict[str, Any], clock: Clock | None = None) -> AsyncIterator[Driven]:
    """Run a driver on real transports."""
    got = Driven(clock or SystemClock())
    got.driver.apply(got.driver.plan({"devices": list(devices)}))
    async with asyncio.TaskGroup() as group:
        group.create_task(got.driver.run(got.take))
        yield got
        got.driver.stop()
