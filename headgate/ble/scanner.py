"""Keeps one scan alive on one adapter: starts it, tries again, renews it when it falls silent."""

from __future__ import annotations

import random
from collections.abc import Callable, Container

from headgate.ble.radio import Heard, Radio
from headgate.clock import Clock
from headgate.errors import Retry

SILENCE_MS = 30_000
"""A scan that hears nothing for so long counts as dead: after a restart of bluetoothd it never says so."""
BACK_OFF_FIRST_MS = 1_000
BACK_OFF_MAX_MS = 30_000


class Scanner:
    """The owner of an adapter's scan; `run` is its task."""

    def __init__(self, radio: Radio, clock: Clock, notice: Callable[[str], None], rng: random.Random) -> None:
        self.starts = 0
        self.failures = 0
        self.silences = 0
        self._radio = radio
        self._clock = clock
        self._notice = notice
        self._rng = rng

    async def run(self, adapter: str, wanted: Container[str], heard: Heard) -> None:
        """Scan until cancelled; the scan has ended when this returns."""
        back_off_ms, said = BACK_OFF_FIRST_MS, ""
        try:
            while True:
                try:
                    await self._radio.start(adapter, wanted, heard)
                except Retry as error:
                    self.failures += 1
                    if str(error) != said:
                        said = str(error)
                        self._notice(f"no scan: {said}")
                    wait_ms = round(back_off_ms * self._rng.uniform(0.75, 1.25))
                    await self._clock.sleep_until(self._clock.boot_ms() + wait_ms)
                    back_off_ms = min(2 * back_off_ms, BACK_OFF_MAX_MS)
                    continue
                if said:
                    self._notice(f"adapter {adapter} scans again")
                back_off_ms, said = BACK_OFF_FIRST_MS, ""
                self.starts += 1
                await self._until_silent()
                self.silences += 1
                await self._radio.stop()
        finally:
            await self._radio.stop()

    async def _until_silent(self) -> None:
        since_ms = self._clock.boot_ms()
        while True:
            silent_ms = max(since_ms, self._radio.heard_ms or 0) + SILENCE_MS
            if silent_ms <= self._clock.boot_ms():
                return
            await self._clock.sleep_until(silent_ms)
