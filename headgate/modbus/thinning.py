"""Deadbands: which values of an answer are reported, and which say what was said before."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor, inf

from headgate.modbus.rules import Deadband
from headgate.model import Frame, Value


class Keeper:
    """What one tag reported last, and how far it may go from there unreported.

    `interval_ms` is its group's: a value whose successor would come too late for the heartbeat is reported.
    """

    __slots__ = ("_high", "_last", "_low", "_quality", "_rule", "_until_ms", "_wait_ms")

    def __init__(self, rule: Deadband, interval_ms: int) -> None:
        self._rule = rule
        self._wait_ms = max(0, rule.heartbeat_ms - interval_ms)
        self._quality = -1
        self._until_ms = 0
        self._last: Value = None
        self._low: float = 0
        self._high: float = 0

    def says(self, boot_ms: int, value: Value, quality: int) -> bool:
        """Whether a value is to be reported; if so it is remembered as such."""
        if quality == self._quality and boot_ms <= self._until_ms and self._near(value):
            return False
        self._quality, self._until_ms, self._last = quality, boot_ms + self._wait_ms, value
        if isinstance(value, int | float):
            self._low, self._high = _bounds(value, self._rule)
        return True

    def forget(self) -> None:
        """Something else was reported in the tag's name: the next value is, too."""
        self._quality = -1

    def _near(self, value: Value) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value == self._last
        return self._low <= value <= self._high if self._last is not None else False


def _bounds(value: int | float, rule: Deadband) -> tuple[float, float]:
    """The last values on either side that are near: exact in decimals, so that 230.9 is 0.5 from 230.4.

    A double that was rounded from a decimal is compared to a bound rounded from one: they are in order as the
    decimals are.
    """
    exact = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    reach = abs(exact) * rule.amount / 100 if rule.percent else rule.amount
    low, high = exact - reach, exact + reach
    if isinstance(value, int):
        return ceil(low), floor(high)
    return _double(low), _double(high)


def _double(exact: Fraction) -> float:
    try:
        return float(exact)
    except OverflowError:
        return inf if exact > 0 else -inf


class Thinning:
    """The keepers of one read's tags, None for a tag that always reports."""

    __slots__ = ("_keepers", "_tally")

    def __init__(self, keepers: Sequence[Keeper | None], tally: Tally) -> None:
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
