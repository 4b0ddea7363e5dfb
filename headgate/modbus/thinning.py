"""Which values of an answer are reported, and which say what was said before."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.deadband import Keeper
from headgate.model import Frame, Value

ABSENCE_MS = 3_600_000
"""How often it is said of a point that its device does not have it: a model of SunSpec has many such."""


class Absence:
    """Reports every value, but that there is none only once in ABSENCE_MS while it lasts."""

    __slots__ = ("_quality", "_until_ms")

    def __init__(self) -> None:
        self._quality = -1
        self._until_ms = 0

    def says(self, boot_ms: int, value: Value, quality: int) -> bool:
        """See `Keeper.says`."""
        if value is None and quality == self._quality and boot_ms < self._until_ms:
            return False
        self._quality = quality if value is None else -1
        self._until_ms = boot_ms + ABSENCE_MS
        return True

    def forget(self) -> None:
        """See `Keeper.forget`."""
        self._quality = -1


class Thinning:
    """The keepers of one read's tags, None for a tag that always reports."""

    __slots__ = ("_keepers", "_tally")

    def __init__(self, keepers: Sequence[Keeper | Absence | None], tally: Tally) -> None:
        self._keepers = keepers
        self._tally = tally

    def frame(
        self, boot_ms: int, series: Sequence[int], values: Sequence[Value], quality: Sequence[int]
    ) -> Frame | None:
        """What of an answer is to be reported; None: nothing."""
        codes = quality or (0,) * len(series)
        kept = [
            i
            for i, keeper in enumerate(self._keepers)
            if keeper is None or keeper.says(boot_ms, values[i], codes[i])
        ]
        if len(kept) == len(series):
            return Frame(boot_ms, series, values, quality)
        self._tally.unchanged += len(series) - len(kept)
        if not kept:
            return None
        return Frame(
            boot_ms,
            tuple(series[i] for i in kept),
            [values[i] for i in kept],
            [quality[i] for i in kept] if quality else (),
        )

    def forget(self) -> None:
        """The read's tags were marked."""
        for keeper in self._keepers:
            if keeper is not None:
                keeper.forget()


class Tally:
    """How many values were not reported because they had not changed enough."""

    __slots__ = ("unchanged",)

    def __init__(self) -> None:
        self.unchanged = 0
