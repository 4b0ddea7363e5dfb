"""Waits for a state root that a former hub still holds: there are never two senders.

The orphan of a killed nucleus ends once its token is refused (seconds). A hub that gave up at once would be
started again and again meanwhile, and a classic nucleus calls a component broken after three errors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from headgate.clock import Clock
from headgate.store.lock import RootInUse

LOOK_MS = 500

T = TypeVar("T")

log = logging.getLogger(__name__)


async def when_free(make: Callable[[], T], clock: Clock, stop: asyncio.Event, wait_ms: int) -> T | None:
    """What `make` makes, once it does not raise RootInUse; None when `stop` was set before that.

    Raises RootInUse after `wait_ms`, and whatever else `make` raises.
    """
    end_ms = clock.boot_ms() + wait_ms
    told = False
    while not stop.is_set():
        try:
            return make()
        except RootInUse as error:
            if clock.boot_ms() >= end_ms:
                raise
            if not told:
                log.warning("%s; waiting for it to end", error)
            told = True
        await clock.sleep_until(clock.boot_ms() + LOOK_MS)
    return None
