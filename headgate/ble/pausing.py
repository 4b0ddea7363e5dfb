"""Whether the scan rests while a connection is made: some controllers need it, others lose adverts."""

from __future__ import annotations

from headgate.ble.adapters import Pause

NO_HELP_MS = 600_000
"""A device that a pause did not help goes without for so long: the adverts of all others are the price."""
PROOFS = 3
"""So many connections in a row that were made only in a pause show that the controller needs it."""
PROBE_EVERY = 20
"""Of as many connections one is then tried with the scan on: what disturbed may be over."""


class Pausing:
    """What one adapter learned. With `auto` a second attempt is made without a scan; where only such succeed,
    every attempt is from then on."""

    def __init__(self, rule: Pause) -> None:
        self._rule = rule
        self._proofs = 0
        self._firsts = 0
        self._in_vain_ms: dict[str, int] = {}

    def wanted(self, address: str, attempt: int, now_ms: int) -> bool:
        """Whether to pause for an attempt (from 1) at a boottime."""
        if self._rule != "auto":
            return self._rule == "always"
        in_vain_ms = self._in_vain_ms.get(address)
        if in_vain_ms is not None and now_ms - in_vain_ms < NO_HELP_MS:
            return False
        if attempt > 1:
            return True
        if self._proofs < PROOFS:
            return False
        self._firsts += 1
        return self._firsts % PROBE_EVERY != 0

    def ended(self, address: str, attempt: int, now_ms: int, *, paused: bool, connected: bool) -> None:
        """How an attempt ended."""
        if not connected:
            if paused:
                self._in_vain_ms[address] = now_ms
            return
        self._in_vain_ms.pop(address, None)
        if not paused:
            self._proofs = 0
        elif attempt > 1:
            self._proofs += 1
