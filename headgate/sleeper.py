"""A sleep on the injected clock that another task can end early, without a task or timer of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.clock import Clock


class Sleeper:
    """For one task that sleeps; any code on the loop may wake it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._task: asyncio.Task[Any] | None = None
        self._woken = False

    async def until(self, boot_ms: int) -> None:
        """Return at `boot_ms`, or as soon as `wake` is called after this was entered."""
        self._task = asyncio.current_task()
        try:
            await self._clock.sleep_until(boot_ms)
        except asyncio.CancelledError:
            # Ours is taken back; one that came from elsewhere as well still counts.
            if not self._woken or self._task is None or self._task.uncancel() > 0:
                raise
        finally:
            self._task = None
            self._woken = False

    def wake(self) -> None:
        """End the sleep under way; nothing happens when there is none."""
        if self._task is not None and not self._woken:
            self._woken = True
            self._task.cancel("woken")
