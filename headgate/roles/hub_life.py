"""The hub's life around its store: it stays up while the disk is full, read-only or failing.

A component that ends three times in a row stays down (Greengrass: BROKEN); one that waits goes on by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from headgate.clock import Clock
from headgate.roles.process import causes
from headgate.store.faults import KEPT, outage

FIRST_MS = 1_000
MAX_MS = 60_000
SAY_AGAIN_MS = 600_000
HEALTHY_MS = 600_000
"""A hub that ran so long is opened again at once."""

log = logging.getLogger(__name__)


async def live(once: Callable[[], Awaitable[None]], root: Path, clock: Clock, stop: asyncio.Event) -> None:
    """Run `once`, and again, ever more rarely, as long as it ends by an outage of the store or its disk."""
    wait_ms, said, said_ms, down_ms = FIRST_MS, "", 0, None
    while not stop.is_set():
        began_ms = clock.boot_ms()
        try:
            await once()
        except Exception as error:  # the store's boundary: what does not pass is raised again
            why = _outage(error)
            if why is None:
                raise
        else:
            return
        now_ms = clock.boot_ms()
        if now_ms - began_ms >= HEALTHY_MS:
            wait_ms, said, down_ms = FIRST_MS, "", None
        down_ms = now_ms if down_ms is None else down_ms
        if why != said or now_ms - said_ms >= SAY_AGAIN_MS:
            said, said_ms = why, now_ms
            log.error(
                "state root %s cannot be used: %s; %s; tried again every %d s at most (for %d s so far)",
                root,
                why,
                KEPT,
                MAX_MS // 1000,
                (now_ms - down_ms) // 1000,
            )
        await pause(stop, clock, wait_ms)
        wait_ms = min(2 * wait_ms, MAX_MS)


async def pause(stop: asyncio.Event, clock: Clock, wait_ms: int) -> None:
    """Return after a while, or when `stop` is set."""
    async with asyncio.TaskGroup() as group:
        stopped = group.create_task(stop.wait(), name="stop")
        waited = group.create_task(clock.sleep_until(clock.boot_ms() + wait_ms), name="start again")
        await asyncio.wait((stopped, waited), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        waited.cancel()


def _outage(error: BaseException) -> str | None:
    """Of all that ended the hub at once; None if anything else did."""
    found = [outage(cause) for cause in causes(error)]
    return found[0] if found and all(found) else None
