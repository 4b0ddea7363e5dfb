"""Whether the scan rests while a connection is made: some controllers need it, others lose adverts."""

from __future__ import annotations

from headgate.ble.adapters import Pause

NO_HELP_MS = 600_000
"""A device that a pause did not help goes without for so long: the adverts of all others are the price."""


class Pausing:
    """What one adapter learned. With `auto` a second attempt is made without a scan; if that succeeds, the
    controller needs it and every attempt from then on is."""

    def __init__(self, rule: Pause) -> None:
        self._rule = rule
        self._needed = False
        self._in_vain_ms: dict[str, int] = {}

    def wanted(self, address: str, attempt: int, now_ms: int) -> bool:
        """Whether to pause for an attempt (from 1) at a boottime."""
        if self._rule != "auto":
            return self._rule == "always"
        in_vain_ms = self._in_vain_ms.get(address)
        if in_vain_ms is not None and now_ms - in_vain_ms < NO_HELP_MS:
            return False
        return self._needed or attempt > 1

    def ended(self, address: str, attempt: int, now_ms: int, *, paused: bool, connected: bool) -> None:
        """How an attempt ended."""
        if connected:
            self._in_vain_ms.pop(address, None)
            self._needed |= paused and attempt > 1
        elif paused:
            self._in_vain_ms[address] = now_ms
            self._needed = False
