"""An event loop whose time runs faster than the wall's, for libraries that wait on it as well."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from headgate.model import ClockState

T = TypeVar("T")
UTC_ORIGIN_MS = 1_800_000_000_000


class _Selector(selectors.DefaultSelector):
    """Waits as much shorter as the loop's time runs faster."""

    speed = 1.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout / self.speed if timeout else timeout)


class HurriedLoop(asyncio.SelectorEventLoop):
    """`hurry` says how much faster; at first time is the wall's."""

    def __init__(self) -> None:
        self._hurried = _Selector()
        self._since = self._base = time.monotonic()
        super().__init__(self._hurried)

    def time(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._hurried.speed

    def hurry(self, speed: float) -> None:
        self._base, self._since = self.time(), time.monotonic()
        self._hurried.speed = speed


class LoopClock:
    """The loop's time as a Clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def boot_ms(self) -> int:
        return int(self._loop.time() * 1000)

    def utc_ms(self) -> int:
        return UTC_ORIGIN_MS + self.boot_ms()

    def state(self) -> ClockState:
        return ClockState.SYNCED

    async def sleep_until(self, boot_ms: int) -> None:
        while (left_ms := boot_ms - self.boot_ms()) > 0:
            await asyncio.sleep(left_ms / 1000)


def run_hurried(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a HurriedLoop."""
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(main)
