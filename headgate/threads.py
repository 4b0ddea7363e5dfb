"""The one way off the loop: blocking work in a thread that can be asked to end; no exit waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

END_S = 2.0
"""How long a cancelled task waits for its thread; sockets are shut down and end at once, a disk may not."""


class Ended(Exception):
    """Raised in the thread: nobody waits for its work any more."""


class Cancel:
    """Whether the work is still wanted; known to both sides."""

    def __init__(self) -> None:
        self._wanted = True
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None

    def check(self) -> None:
        """Raise Ended when the work is not wanted any more."""
        if not self._wanted:
            raise Ended

    def ends_with(self, end: Callable[[], None] | None) -> None:
        """What ends the wait that the thread is about to enter, if anything does; called from the loop."""
        with self._lock:
            self._end = end
        self.check()

    def request(self) -> None:
        """End the work as soon as can be."""
        with self._lock:
            self._wanted = False
            end = self._end
        if end is not None:
            with contextlib.suppress(OSError):
                end()


async def in_thread(work: Callable[[Cancel], T], name: str, *, end_s: float = END_S) -> T:
    """The result of `work`, in a thread that nobody waits for at exit.

    A cancelled caller waits for it `end_s` at most, so that it has let go of what it works on.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()
    cancel = Cancel()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # T itself may be None

    def run() -> None:
        value, failed = None, None
        try:
            value = work(cancel)
        except BaseException as error:  # noqa: BLE001  whatever it is belongs to whoever waits
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        cancel.request()
        await asyncio.wait({result}, timeout=end_s)
        if result.done():
            result.exception()  # seen, so that nobody is told that it was not
        raise
