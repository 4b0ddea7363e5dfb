"""Whether a tag may be written, as the site document says: the same words for every bus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from headgate.config.reader import Section
from headgate.driver import Refused
from headgate.exact import Unwritable
from headgate.model import Value

OutOfRange = Literal["refuse", "clamp"]
OUT_OF_RANGE: tuple[OutOfRange, ...] = ("refuse", "clamp")


@dataclass(frozen=True, slots=True)
class WriteRule:
    """That a tag may be written: values from `low` to `high`, in its unit; None: as far as its type goes.

    `clamp`: what is out of range is put at its end instead of refused. `verify`: it is read back.
    """

    low: float | None = None
    high: float | None = None
    clamp: bool = False
    verify: bool = True

    def value(self, name: str, value: Value) -> Value:
        """The value, or the end of the range that it is beyond; `name` is the series'. Raises Refused."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value  # what is no number has no range, and is refused where a number is wanted
        for end, beyond in (
            (self.low, self.low is not None and not value >= self.low),
            (self.high, self.high is not None and not value <= self.high),
        ):
            if beyond and not self.clamp:
                low, high = ("any" if each is None else f"{each:g}" for each in (self.low, self.high))
                raise Refused("out_of_range", f"write: {name}: {value:g} is out of range ({low} to {high})")
            if beyond:
                return end
        return value


def read_write_keys(
    write: Section, encode: Callable[[Value], object], not_a_number: str
) -> tuple[bool, WriteRule]:
    """`allow` of a section `write`, and of what every bus has `min`, `max`, `out_of_range`, `verify`.

    The ends of the range must be values that the tag can have: `encode` raises Unwritable for others.
    `not_a_number`: in words what the tag is where it is none; empty where it is.
    """
    allow = write.boolean("allow", False)
    low, high = (_end(write, key, encode, not_a_number) for key in ("min", "max"))
    if low is not None and high is not None and low > high:
        write.fault("max", f"{high} is less than min", f"min is {low}")
    clamp = write.choice("out_of_range", OUT_OF_RANGE, "refuse") == "clamp"
    if clamp and low is None and high is None:
        write.fault("out_of_range", "there is nothing to clamp to", "give min, max or both")
    return allow, WriteRule(low, high, clamp, write.boolean("verify", True))


def _end(
    section: Section, key: str, encode: Callable[[Value], object], not_a_number: str
) -> int | float | None:
    if not section.has(key):
        return None
    if not_a_number:
        section.fault(key, f"does not go with {not_a_number}", "numbers have a range")
        return None
    given = section.value(key)
    # Not through a double where it is an integer: those of 64 bits are exact.
    value = given if type(given) is int else section.number(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        encode(value)
    except Unwritable as error:
        section.fault(key, f"cannot be written: {error}")
    return value
