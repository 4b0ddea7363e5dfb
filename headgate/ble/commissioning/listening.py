"""Listens for a while beside whoever else does: bluetoothd shares its discovery between them."""

from __future__ import annotations

from collections.abc import Callable

from headgate.ble.bleak_radio import BleakRadio
from headgate.ble.commissioning.failures import check
from headgate.ble.survey import Survey
from headgate.clock import Clock

Advance = Callable[[int, int, str], None]
"""Told how many of how many seconds are over, and what was heard."""


async def listen(adapter: str, seconds: float, clock: Clock, survey: Survey, advance: Advance) -> None:
    """Fill `survey`. Raises Retry: no adapter, no service, no scan, or they went meanwhile."""
    await check(adapter, clock)
    radio = BleakRadio(adapter, clock)
    radio.overhear = survey.hear
    try:
        await radio.start((), lambda advert: None, passive=False)
        begun_ms, end_ms = clock.boot_ms(), clock.boot_ms() + round(seconds * 1000)
        while (now_ms := clock.boot_ms()) < end_ms:
            advance((now_ms - begun_ms) // 1000, round(seconds), f"{len(survey.sightings)} devices heard")
            await clock.sleep_until(min(now_ms + 1000, end_ms))
    finally:
        await radio.stop()
    await check(adapter, clock)
