"""From one raw value to what it means: digits, bit fields, scaling, texts; pure functions of a tag's form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headgate.modbus.types import EXACT, Form, Scaling
from headgate.model import Value

Convert = Callable[[Any], Value]
"""From a raw value (int, float or bytes) to the sample's; None where it means nothing."""
Doubt = Callable[[Any], bool]
"""Whether a raw value's meaning is uncertain."""


def make_convert(form: Form) -> Convert | None:
    """What to do with a raw value of this form; None where it is the value."""
    if form.type == "string":
        return lambda data: _text(data, form.encoding)
    number = _number(form)
    if form.values:
        return _after(number, _Texts(form.values).__getitem__)
    if form.scaling is not None:
        return _after(number, _scale(form.scaling))
    if form.type == "bit":
        probe = 1 << form.bit
        return lambda raw: raw & probe != 0
    return number


def make_doubt(form: Form) -> Doubt | None:
    """When a value of this form is uncertain: an integer without a text, one too long for a double."""
    number = _number(form)
    if form.values:
        known = dict(form.values)
        return lambda raw: (raw if number is None else number(raw)) not in known
    kind = form.register_type
    if form.scaling is None or kind.bits < 64 or kind.family == "float":
        return None
    if number is None:
        return lambda raw: not -EXACT <= raw <= EXACT
    return lambda raw: (number(raw) or 0) > EXACT


def may_fail(form: Form) -> bool:
    """Whether a raw value of this form may mean nothing."""
    return form.register_type.family in ("bcd", "string")


class _Texts(dict[int, str]):
    """An enumeration's texts; a number without one is its own."""

    def __missing__(self, number: int) -> str:
        return str(int(number))


def _number(form: Form) -> Callable[[Any], int | None] | None:
    """From the raw integer to the one that is meant; None where they are the same."""
    if form.register_type.family == "bcd":
        return _digits
    if form.type == "bit":
        bit = form.bit
        return lambda raw: raw >> bit & 1
    if form.mask is not None:
        mask, shift = form.mask, (form.mask & -form.mask).bit_length() - 1
        return lambda raw: (raw & mask) >> shift
    return None


def _after(number: Callable[[Any], int | None] | None, convert: Callable[[int], Value]) -> Convert:
    if number is None:
        return convert

    def both(raw: int) -> Value:
        meant = number(raw)
        return None if meant is None else convert(meant)

    return both


def _scale(scaling: Scaling) -> Callable[[float], float]:
    factor, offset, divisor = scaling.factor, scaling.offset, 10**scaling.decimals
    # Integers are exact up to the division, which Python rounds once.
    return lambda raw: (raw * factor + offset) / divisor


def _digits(raw: int) -> int | None:
    """Binary-coded decimal; None where a digit is above nine."""
    try:
        return int(f"{raw:x}")
    except ValueError:
        return None


def _text(data: bytes, encoding: str) -> str | None:
    """A text without its padding, up to the first NUL in it; None where it is none of the encoding."""
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text.strip("\0 ").partition("\0")[0].rstrip(" ")
