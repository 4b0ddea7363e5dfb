"""Whether a tag may be written, as the site document says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from headgate.config.reader import Section
from headgate.modbus.encode import Unwritable, encode, unwritable
from headgate.modbus.types import Form

WRITABLE_TABLES = ("coil", "holding")
OutOfRange = Literal["refuse", "clamp"]
OUT_OF_RANGE: tuple[OutOfRange, ...] = ("refuse", "clamp")


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
