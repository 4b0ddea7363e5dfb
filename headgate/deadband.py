"""Deadbands, the same for every bus: whether a value is reported or says what was said before."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, inf

from headgate.config.reader import Section, describe
from headgate.model import Value

HEARTBEAT_S = 60.0
MAX_HEARTBEAT_S = 86_400.0
MAX_DEADBAND = 1e15
_HINT = 'how much it must change, such as 0.5 or "1%"; 0: at all'


@dataclass(frozen=True, slots=True)
class Deadband:
    """By how much a value must differ from the one reported last, for it to be reported before its heartbeat.

    `amount` is in the tag's unit, or with `percent` a part of the value reported last.
    """

    amount: Fraction
    percent: bool
    heartbeat_ms: int


def read_deadband(section: Section, kind: str, of: str) -> Deadband | None:
    """`deadband` and `heartbeat_s` of a series of some kind; `of` says in words what has it."""
    if not section.has("deadband"):
        if section.has("heartbeat_s"):
            section.fault("heartbeat_s", "goes with deadband alone", "without one, every value is reported")
        return None
    found = deadband_at(section, "deadband", read_heartbeat_ms(section))
    if found is not None and found.amount and kind in ("bool", "text"):
        text = f"{section.value('deadband')} does not go with {of}"
        section.fault("deadband", text, "0: when it changes at all")
    return found


def read_heartbeat_ms(section: Section) -> int:
    """`heartbeat_s`, in ms."""
    return round(1000 * section.number("heartbeat_s", HEARTBEAT_S, low=0.01, high=MAX_HEARTBEAT_S))


def deadband_at(section: Section, key: str, heartbeat_ms: int) -> Deadband | None:
    """The deadband that a key says; None where it says none, which is a fault."""
    given = section.value(key)
    text = str(given).strip()
    percent = isinstance(given, str) and text.endswith("%")
    try:
        amount = Fraction(text.removesuffix("%").strip())
    except (ValueError, ZeroDivisionError):
        amount = Fraction(-1)
    if isinstance(given, bool) or not isinstance(given, int | float | str) or "/" in text or amount < 0:
        section.fault(key, f"expected a number or a percentage, found {describe(given)}", _HINT)
        return None
    if amount > MAX_DEADBAND or (percent and amount > 100):
        section.fault(key, f"{text} is out of range", f"to {MAX_DEADBAND:g}, or to 100%")
    return _deadband(amount, percent, heartbeat_ms)


@lru_cache(1024)
def _deadband(amount: Fraction, percent: bool, heartbeat_ms: int) -> Deadband:
    """The same object for equal ones: tens of thousands of tags have a handful."""
    return Deadband(amount, percent, heartbeat_ms)


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
