"""Reads the keys of one value of an own format: how it lies in bytes, what it means; faults with paths."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import NamedTuple

from headgate.ble.decoders.fields import ORDERS, TYPES, Family, Field, FieldType
from headgate.ble.decoders.quantity import MAX_DECIMALS, Form, Quantity
from headgate.config.reader import Section, describe
from headgate.exact import EXACT

MAX_TEXT = 64
MAX_SCALE, MIN_SCALE = 1e15, 1e-15
MAX_SCALE_DECIMALS = 32
_NUMBERS: tuple[Family, ...] = ("integer", "float")
_GOES_WITH: Mapping[str, tuple[Family, ...]] = {
    "order": _NUMBERS,
    "bit": ("bit",),
    "length": ("string",),
    "mask": ("integer",),
    "scale": _NUMBERS,
    "offset": _NUMBERS,
    "decimals": ("integer",),
    "values": ("integer",),
    "low": _NUMBERS,
    "high": _NUMBERS,
    "not_available": _NUMBERS,
}
"""The keys that only some types have."""
_VALUES_HINT = "such as {0: stopped, 1: running}"


class _Scaling(NamedTuple):
    """value = (raw * factor + offset) / 10^decimals."""

    factor: int = 1
    offset: int = 0
    decimals: int = 0


def read_field(section: Section, tag: str, max_bytes: int) -> Field:
    """A value's field; it lies within `max_bytes`."""
    name = section.choice("type", tuple(TYPES))
    kind = TYPES[name]
    given = _fitting_keys(section, name, kind)
    at = section.integer("at", 0, low=0, high=max_bytes - max(1, kind.size_bytes))
    unit = section.text("unit", "", pattern=r".{0,16}", hint="at most 16 characters")
    if kind.family == "bit":
        bit = section.integer("bit", low=0, high=7)
        return Field(Quantity(tag, unit, form="bool"), name, at, bit=bit)
    if kind.family == "string":
        length = section.integer("length", 0, low=1, high=max_bytes - at) if "length" in given else 0
        return Field(Quantity(tag, unit, form="text"), name, at, length=length)
    order = section.choice("order", ORDERS, "little") if "order" in given else "little"
    mask = _mask(section, kind) if "mask" in given else None
    none = _not_available(section, kind) if "not_available" in given else frozenset()
    if "values" in given:
        for key in sorted(given & {"scale", "offset", "decimals", "low", "high"}):
            section.fault(key, "does not go with values", "a text is not a number")
        texts = _texts(section, kind, mask)
        return Field(
            Quantity(tag, unit, form="text"), name, at, order, mask=mask, texts=texts, not_available=none
        )
    scaling = _scaling(section, given)
    factor, offset, decimals = scaling or _Scaling()
    quantity = _quantity(section, tag, unit, kind, scaling)
    return Field(
        quantity,
        name,
        at,
        order,
        mask=mask,
        factor=factor,
        offset=offset,
        decimals=decimals,
        not_available=none,
    )


def _quantity(section: Section, tag: str, unit: str, kind: FieldType, scaling: _Scaling | None) -> Quantity:
    """What a number means; a scaled integer is always f64, whatever its scale."""
    form: Form = "integer"
    decimals = 0
    if kind.family == "float":
        form = "real"
    elif scaling is not None:
        form, decimals = "scaled", scaling.decimals
    elif kind.size_bytes == 8 and not kind.signed:
        form = "unsigned"
    low = _bound(section, "low", decimals)
    high = _bound(section, "high", decimals)
    if low is not None and high is not None and low > high:
        section.fault("high", "is below low", "values outside of the two are uncertain")
    if form == "scaled" and kind.size_bytes == 8:
        # Beyond, a scaled integer is rounded to a double.
        low, high = -EXACT if low is None else low, EXACT if high is None else high
    return Quantity(tag, unit, decimals, form, low, high)


def _bound(section: Section, key: str, decimals: int) -> float | None:
    """A bound as a raw."""
    if not section.has(key):
        return None
    number = section.number(key, 0, low=-MAX_SCALE, high=MAX_SCALE)
    return float(Decimal(repr(number)) * 10**decimals)


def _fitting_keys(section: Section, name: str, kind: FieldType) -> set[str]:
    """Those of the keys that only some types have which are there and go with this type."""
    given = set()
    for key in sorted(section.present(_GOES_WITH.keys())):
        unfit = key == "mask" and kind.signed
        if kind.family not in _GOES_WITH[key] or unfit:
            fit = [
                other
                for other, each in TYPES.items()
                if each.family in _GOES_WITH[key] and not (key == "mask" and each.signed)
            ]
            section.fault(key, f"does not go with type {name}", "it goes with " + ", ".join(fit))
        else:
            given.add(key)
    return given


def _scaling(section: Section, given: set[str]) -> _Scaling | None:
    """A scale and an offset are the decimal numbers that are written; exact."""
    if given.isdisjoint(("scale", "offset", "decimals")):
        return None
    scale = Decimal(1)
    if "decimals" in given:
        scale = Decimal(1).scaleb(-section.integer("decimals", low=0, high=MAX_DECIMALS))
        if "scale" in given:
            section.fault("decimals", "says what scale says", "give one of them: scale 0.1 is decimals 1")
    elif "scale" in given:
        number = section.number("scale", 1, low=-MAX_SCALE, high=MAX_SCALE)
        if abs(number) < MIN_SCALE:
            section.fault("scale", f"{number:g} makes every value the same", f"at least {MIN_SCALE:g}")
            number = 1
        scale = Decimal(repr(number))
    shift = Decimal(repr(section.number("offset", 0, low=-MAX_SCALE, high=MAX_SCALE)))
    decimals = max(0, _digits(scale), _digits(shift))
    if decimals > MAX_SCALE_DECIMALS:
        section.fault("offset", f"{shift} has too many decimals", f"at most {MAX_SCALE_DECIMALS}")
        return _Scaling()
    ten = Decimal(10) ** decimals
    return _Scaling(int(scale * ten), int(shift * ten), decimals)


def _digits(number: Decimal) -> int:
    """Decimals of a finite number up to the last that is not zero."""
    exponent = number.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _mask(section: Section, kind: FieldType) -> int | None:
    high = (1 << 8 * kind.size_bytes) - 1
    mask = _whole(section.value("mask"))
    if mask is None or not 0 < mask <= high:
        section.fault("mask", f"{section.value('mask')!r} is no mask of this type", f"0x1 to {high:#x}")
        return None
    return mask


def _texts(section: Section, kind: FieldType, mask: int | None) -> tuple[tuple[int, str], ...]:
    """An enumeration, by number."""
    given = section.value("values")
    if not isinstance(given, Mapping) or not given:
        section.fault("values", f"expected numbers with their texts, found {describe(given)}", _VALUES_HINT)
        return ()
    low, high = _range(kind)
    if mask is not None:
        low, high = 0, mask // (mask & -mask)
    texts: dict[int, str] = {}
    for key, text in given.items():
        place, number = f"values.{key}", _whole(key)
        if number is None or not low <= number <= high:
            section.fault(place, "is not a number that this value can have", f"{low} to {high}")
        elif number in texts:
            section.fault(place, f"{number} is there twice")
        elif not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
            hint = 'put words as "on" in quotes' if isinstance(text, bool) else f"1 to {MAX_TEXT} characters"
            section.fault(place, f"expected text, found {describe(text)}", hint)
        else:
            texts[number] = text
    return tuple(sorted(texts.items()))


def _not_available(section: Section, kind: FieldType) -> frozenset[int]:
    """The sentinels as the type reads them: 0x8000 of an int16 is -32768; of a float its bit pattern."""
    given = section.value("not_available")
    bits = 8 * kind.size_bytes
    sentinels: set[int] = set()
    for i, item in enumerate(given if isinstance(given, list) else [given]):
        place = f"not_available[{i}]" if isinstance(given, list) else "not_available"
        if kind.family == "float" and str(item).lower() == "nan":
            continue  # never a value, in any of its bit patterns
        number = _whole(item)
        if number is None or not _range(kind)[0] <= number < 1 << bits:
            hint = "a bit pattern, or nan" if kind.family == "float" else "a raw integer such as 0xFFFF"
            section.fault(place, f"{item!r} is nothing that a {bits}-bit value can be", hint)
        else:
            sentinels.add(number - (1 << bits) if kind.signed and number >> bits - 1 == 1 else number)
    return frozenset(sentinels)


def _range(kind: FieldType) -> tuple[int, int]:
    """Least and greatest integer of a type."""
    bits = 8 * kind.size_bytes
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.signed else (0, (1 << bits) - 1)


def _whole(value: object) -> int | None:
    """The integer that a scalar means: also as text (`0x8000` too), as nucleus lite has it; else None."""
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isfinite(value) and value == int(value) else None
