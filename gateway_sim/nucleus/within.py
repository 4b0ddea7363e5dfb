"""A time limit that also holds while the task that sets it is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def within(timeout_s: float | None, work: Coroutine[None, None, T], name: str) -> T:
    """The result of `work`; raises TimeoutError, with the work cancelled, after `timeout_s` (None: never).

    `asyncio.timeout` would do, but for Python 3.11.2 (Debian 12): in the clean-up of a cancelled task it
    raises CancelledError instead, and the clean-up is cut short.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    finally:
        late = not task.done()
        if late:
            task.cancel()
            await asyncio.wait({task})
    if late:
        raise TimeoutError(f"{name} took longer than {timeout_s} s")
    return task.result()
