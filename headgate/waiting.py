"""Waiting for an event or a time, whichever comes first, on the injected clock."""

from __future__ import annotations

import asyncio

from headgate.clock import Clock


async def event_or_time(event: asyncio.Event, clock: Clock, boot_ms: int | None) -> None:
    """Return once `event` is set or `clock` has reached `boot_ms` (None: the event alone)."""
    if event.is_set():
        return
    if boot_ms is None:
        await event.wait()
        return
    async with asyncio.TaskGroup() as group:
        timer = group.create_task(clock.sleep_until(boot_ms), name="wait for a time")
        waiter = group.create_task(event.wait(), name="wait for an event")
        await asyncio.wait((timer, waiter), return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        waiter.cancel()
