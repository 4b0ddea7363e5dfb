"""A time limit on the injected clock that also ends what resists it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from headgate.clock import Clock

T = TypeVar("T")
CUT_S = 5.0
"""A clean-up that takes longer is cancelled in its turn: bleak's own waits for bluetoothd, which may be what
does not answer."""


async def within(clock: Clock, timeout_s: float, work: Coroutine[Any, Any, T], name: str) -> T:
    """The result of `work`; raises TimeoutError, with the work cancelled and ended, after `timeout_s`."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        await _wait(clock, timeout_s, task)
    finally:
        late = not task.done()
        while not task.done():
            task.cancel()
            await _wait(clock, CUT_S, task)
    if late:
        raise TimeoutError(f"{name}: no answer within {timeout_s:g} s")
    return task.result()


async def _wait(clock: Clock, timeout_s: float, task: asyncio.Task[T]) -> None:
    end_ms = clock.boot_ms() + round(timeout_s * 1000)
    timer = asyncio.get_running_loop().create_task(clock.sleep_until(end_ms), name="time limit")
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
