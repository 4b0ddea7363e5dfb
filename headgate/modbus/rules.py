"""What the site document says of a tag beside its place: when it is reported, whether it may be written."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from headgate.config.reader import Section, describe
from headgate.modbus.encode import Unwritable, encode, unwritable
from headgate.modbus.types import Form

HEARTBEAT_S = 60.0
MAX_HEARTBEAT_S = 86_400.0
MAX_DEADBAND = 1e15
WRITABLE_TABLES = ("coil", "holding")
_DEADBAND_HINT = 'how much it must change, such as 0.5 or "1%"; 0: at all'
OutOfRange = Literal["refuse", "clamp"]
OUT_OF_RANGE: tuple[OutOfRange, ...] = ("refuse", "clamp")


@dataclass(frozen=True, slots=True)
class Deadband:
    """By how much a value must differ from the one reported last, for it to be reported before its heartbeat.

    `amount` is in the tag's unit, or with `percent` a part of the value reported last.
    """

    amount: Fraction
    percent: bool
    heartbeat_ms: int


@dataclass(frozen=True, slots=True)
class WriteRule:
    """That a tag may be written: values from `low` to `high`, in its unit; None: as far as its type goes.

    `clamp`: what is out of range is put at its end instead of refused. `verify`: it is read back.
    `multiple`: written by functions 15 and 16 also where one coil or register is written.
    """

    low: float | None = None
    high: float | None = None
    clamp: bool = False
    verify: bool = True
    multiple: bool = False


def read_deadband(section: Section, form: Form) -> Deadband | None:
    """`deadband` and `heartbeat_s` of a tag."""
    if not section.has("deadband"):
        if section.has("heartbeat_s"):
            section.fault("heartbeat_s", "goes with deadband alone", "without one, every value is reported")
        return None
    heartbeat_s = section.number("heartbeat_s", HEARTBEAT_S, low=0.01, high=MAX_HEARTBEAT_S)
    given = section.value("deadband")
    text = str(given).strip()
    percent = isinstance(given, str) and text.endswith("%")
    try:
        amount = Fraction(text.removesuffix("%").strip())
    except (ValueError, ZeroDivisionError):
        amount = Fraction(-1)
    if isinstance(given, bool) or not isinstance(given, int | float | str) or "/" in text or amount < 0:
        section.fault(
            "deadband", f"expected a number or a percentage, found {describe(given)}", _DEADBAND_HINT
        )
        return None
    if amount > MAX_DEADBAND or (percent and amount > 100):
        section.fault("deadband", f"{text} is out of range", f"to {MAX_DEADBAND:g}, or to 100%")
    if amount and form.kind in ("bool", "text"):
        section.fault("deadband", f"{text} does not go with type {form.type}", "0: when it changes at all")
    return _deadband(amount, percent, round(heartbeat_s * 1000))


@lru_cache(1024)
def _deadband(amount: Fraction, percent: bool, heartbeat_ms: int) -> Deadband:
    """The same object for equal ones: tens of thousands of tags have a handful."""
    return Deadband(amount, percent, heartbeat_ms)


def read_write_rule(section: Section, form: Form, table: str) -> WriteRule | None:
    """`write` of a tag; None where it may not be written, which is how it is where nothing is said."""
    if not section.has("write"):
        return None
    write = section.section("write")
    allow = write.boolean("allow", False)
    numbers = form.kind not in ("bool", "text")
    ends = {key: _end(write, key, form, numbers=numbers) for key in ("min", "max")}
    low, high = ends["min"], ends["max"]
    if low is not None and high is not None and low > high:
        write.fault("max", f"{high} is less than min", f"min is {low}")
    clamp = write.choice("out_of_range", OUT_OF_RANGE, "refuse") == "clamp"
    if clamp and low is None and high is None:
        write.fault("out_of_range", "there is nothing to clamp to", "give min, max or both")
    rule = WriteRule(low, high, clamp, write.boolean("verify", True), write.boolean("multiple", False))
    write.close()
    if allow and table not in WRITABLE_TABLES:
        write.fault("allow", f"table {table} cannot be written", "coil and holding can")
    elif allow and (why := unwritable(form)):
        write.fault("allow", why, "a mask within one register can be written")
    return _shared(rule) if allow else None


def _end(section: Section, key: str, form: Form, *, numbers: bool) -> float | None:
    """An end of the range, which must be a value that the tag can have."""
    if not section.has(key):
        return None
    if not numbers:
        section.fault(key, f"does not go with type {form.type} as this tag has it", "numbers have a range")
        return None
    given = section.value(key)
    # Not through a double where it is an integer: those of 64 bits are exact.
    value = given if type(given) is int else section.number(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        encode(form, value)
    except Unwritable as error:
        section.fault(key, f"cannot be written: {error}")
    return value


@lru_cache(1024)
def _shared(rule: WriteRule) -> WriteRule:
    return rule
