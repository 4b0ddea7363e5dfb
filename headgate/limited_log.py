"""Log lines that something outside can cause at any rate: a few per key and minute, the rest counted."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

PERIOD_S = 60.0
MAX_KEYS = 256


@dataclass(slots=True)
class _Entry:
    since_s: float
    held_back: int = 0


class LimitedLog:
    """At most one line per key and period; the next line says how many were held back."""

    def __init__(self, log: logging.Logger, *, period_s: float = PERIOD_S) -> None:
        self._log = log
        self._period_s = period_s
        self._entries: dict[str, _Entry] = {}

    def warning(self, key: str, message: str, *args: object) -> None:
        """Log as a warning, unless a line of this key was logged within the period."""
        now_s = time.monotonic()
        entry = self._entries.get(key)
        if entry is not None and now_s - entry.since_s < self._period_s:
            entry.held_back += 1
            return
        if len(self._entries) >= MAX_KEYS:
            self._entries.pop(next(iter(self._entries)))
        self._entries[key] = _Entry(now_s)
        if entry is not None and entry.held_back:
            message, args = message + " (%d more like this since the last line)", (*args, entry.held_back)
        self._log.warning(message, *args)
