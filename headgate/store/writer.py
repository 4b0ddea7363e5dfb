"""The one place where threads cross: store work runs in order in a thread of its own, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_WAITING = 16
"""Calls under way or waiting; more callers wait their turn on the loop."""


class Writer:
    """Runs calls one after the other in one thread. Close it before the store that it works on.

    What only reads has another one, so that it waits for no write.
    """

    def __init__(self, *, max_waiting: int = MAX_WAITING, name: str = "store") -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._slots = asyncio.Semaphore(max_waiting)

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in the thread and return what it returns. A started call runs to its end although its
        caller is cancelled.
        """
        async with self._slots:
            future = self._thread.submit(lambda: work(*args, **kwargs))
            return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the call under way finish, drop the waiting ones, end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)
