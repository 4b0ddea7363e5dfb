"""From a value back to the raw number that reads as it, exactly or not at all, for every bus; pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor, isfinite

from headgate.errors import Reject
from headgate.model import Value

EXACT = 1 << 53
"""Integers up to here are exact as a double (IEEE 754 binary64)."""
MAX_SAID = 40
"""Characters of a text that errors repeat."""


class Unwritable(Reject):
    """This tag cannot mean this value; the text says why, and what is near."""


def finite(value: Value) -> int | float:
    """A number that is one. Raises Unwritable."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    raise Unwritable(f"{said(value)} is no number")


def descaled(value: int | float, factor: int, offset: int, decimals: int, *, double: bool = False) -> int:
    """The raw integer that reads as `value` = (raw * factor + offset) / 10^decimals. Raises Unwritable where
    none does, and OverflowError where the number is beyond a double.

    `double`: it reads as a double also where it has no decimals.
    """
    exact = unscaled(value, factor, offset, decimals)
    raw: int = round(exact)
    meant = _scaled(raw, factor, offset, decimals)
    if (float(meant) if double else meant) == value:
        return raw
    below, above = (_scaled(number, factor, offset, decimals) for number in (floor(exact), floor(exact) + 1))
    low, high = sorted((below, above))
    raise Unwritable(f"{said(value)} lies between {low!r} and {high!r}, which can be written")


def unscaled(value: int | float, factor: int, offset: int, decimals: int) -> Fraction:
    """The raw number of a value, whether a type has it or not."""
    ten: int = 10**decimals
    return (exactly(value) * ten - offset) / factor


def exactly(value: int | float) -> Fraction:
    """The number that is written like this in decimal digits."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def number_of_text(texts: Sequence[tuple[int, str]], value: Value) -> int:
    """The one number of an enumeration that has this text. Raises Unwritable."""
    found = [number for number, text in texts if text == value]
    if len(found) == 1:
        return found[0]
    known = ", ".join(text for _, text in texts)
    if found:
        raise Unwritable(f"{said(value)} is the text of more than one number: {found}")
    raise Unwritable(f"{said(value)} is none of its texts: {known[:200]}")


def said(value: Value) -> str:
    """A value as errors repeat it."""
    text = repr(value)
    return text if len(text) <= MAX_SAID else text[: MAX_SAID - 3] + "..."


def _scaled(raw: int, factor: int, offset: int, decimals: int) -> float:
    """As decoders have it: one rounding."""
    meant = raw * factor + offset
    return meant / int(10**decimals) if decimals else meant
