"""One line on a terminal that tells how far a piece of work is."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_EVERY_S = 0.1
_BAR = 24


class ProgressLine:
    """Shows bytes or samples done of a total; nothing where `out` is no terminal. Use as a context."""

    def __init__(self, what: str, total: int, out: TextIO | None = None) -> None:
        self._what = what
        self._total = max(1, total)
        self._out = out or sys.stderr
        self._shown = self._out.isatty()
        self._done = 0
        self._start_s = self._told_s = time.monotonic()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def tick(self, count: int, where: str = "") -> None:
        """So much more is done."""
        self._done += count
        now_s = time.monotonic()
        if self._shown and now_s - self._told_s >= _EVERY_S:
            self._told_s = now_s
            self._out.write("\r" + self.text(where, now_s - self._start_s) + "\x1b[K")
            self._out.flush()

    def text(self, where: str, passed_s: float) -> str:
        """The line."""
        share = min(1.0, self._done / self._total)
        filled = round(share * _BAR)
        left_s = passed_s / share - passed_s if share else 0.0
        bar = "#" * filled + "." * (_BAR - filled)
        return f"{self._what} [{bar}] {share:4.0%}  {left_s:.0f} s left  {where}"
