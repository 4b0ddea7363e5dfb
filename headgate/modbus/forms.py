"""Reads the keys of a tag that say how its value lies in registers and what it means; faults with paths."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from headgate.config.reader import Section, describe
from headgate.modbus.types import (
    BOOL,
    ENCODINGS,
    MAX_DECIMALS,
    ORDERS,
    TYPES,
    ByteOrder,
    Family,
    Form,
    RegisterType,
    Scaling,
)

MAX_LENGTH = 125
"""Registers of a string: as many as one read has (Modbus Application Protocol V1.1b3, 6.3)."""
MAX_TEXT = 64
MAX_SCALE, MIN_SCALE = 1e15, 1e-15
_MAX_SCALE_DECIMALS = 32
_VALUES_HINT = "such as {0: stopped, 1: running}"
_RAW_HINT = "a raw integer such as 0xFFFF"
_SENTINEL_HINTS: Mapping[Family, str] = {
    "bit": _RAW_HINT,
    "integer": _RAW_HINT,
    "bcd": _RAW_HINT,
    "float": "the bit pattern, such as 0x7F7FFFFF, or nan",
}
_NUMBERS: tuple[Family, ...] = ("integer", "bcd", "float")
_GOES_WITH: Mapping[str, tuple[Family, ...]] = {
    "order": ("bit", *_NUMBERS),
    "byte_order": ("bit", *_NUMBERS, "string"),
    "word_order": ("bit", *_NUMBERS),
    "bit": ("bit",),
    "length": ("string",),
    "encoding": ("string",),
    "mask": ("integer",),
    "scale": _NUMBERS,
    "offset": _NUMBERS,
    "decimals": ("integer", "bcd"),
    "values": ("bool", "bit", "integer", "bcd"),
    "not_available": ("bit", *_NUMBERS),
}
"""The keys that only some types have."""
_ORDER_KEYS = ("order", "byte_order", "word_order")


class Orders(NamedTuple):
    """Order of the bytes in a register, and of the registers of a value."""

    byte_order: ByteOrder = "big"
    word_order: ByteOrder = "big"


LETTERS: Mapping[str, Orders] = {
    "ab": Orders("big", "big"),
    "ba": Orders("little", "big"),
    "abcd": Orders("big", "big"),
    "cdab": Orders("big", "little"),
    "badc": Orders("little", "big"),
    "dcba": Orders("little", "little"),
    "abcdefgh": Orders("big", "big"),
    "ghefcdab": Orders("big", "little"),
    "badcfehg": Orders("little", "big"),
    "hgfedcba": Orders("little", "little"),
}
"""Orders by the bytes of a value as they arrive, A the most significant."""


def read_orders(section: Section, default: Orders, kind: RegisterType | None = None) -> Orders:
    """`byte_order` and `word_order`, or `order` in letters; `kind`: the type that they are for, if one."""
    split = Orders(
        section.choice("byte_order", ORDERS, default.byte_order),
        section.choice("word_order", ORDERS, default.word_order),
    )
    if not section.has("order"):
        return split
    if section.has("byte_order") or section.has("word_order"):
        section.fault("order", "says what byte_order and word_order say", "give either it or them")
    letters = str(section.value("order")).lower()
    sizes = {4} if kind is None else {4, kind.registers * 2}
    known = [name for name in LETTERS if len(name) in sizes]
    if letters not in known:
        section.fault("order", f"unknown {section.value('order')!r}", "known are " + ", ".join(known))
        return default
    return LETTERS[letters]


def read_form(section: Section, type_name: str, default: Orders) -> Form:
    """The form of a tag of this type; `default`: its device's orders."""
    return _shared(_read_form(section, type_name, default))


@lru_cache(4096)
def _shared(form: Form) -> Form:
    """The same object for equal forms: tens of thousands of tags have a handful."""
    return form


def _read_form(section: Section, type_name: str, default: Orders) -> Form:
    kind = TYPES.get(type_name)
    given = _fitting_keys(section, type_name, kind)
    if kind is None:
        return Form(BOOL, values=_values(section, 0, 1) if "values" in given else ())
    if kind.family == "string":
        return Form(
            type_name,
            byte_order=section.choice("byte_order", ORDERS, default.byte_order),
            length=section.integer("length", low=1, high=MAX_LENGTH),
            encoding=section.choice("encoding", ENCODINGS, "ascii"),
        )
    orders = default if given.isdisjoint(_ORDER_KEYS) else read_orders(section, default, kind)
    mask = _mask(section, kind) if "mask" in given else None
    scaling = _scaling(section, given)
    if scaling is not None and "values" in given:
        section.fault("values", "does not go with scale, offset or decimals", "a text is not scaled")
        given.remove("values")
    return Form(
        type_name,
        byte_order=orders.byte_order,
        word_order=orders.word_order if kind.registers > 1 else "big",
        bit=section.integer("bit", low=0, high=15) if kind.family == "bit" else 0,
        mask=mask,
        scaling=scaling,
        values=_values(section, *_range(kind, mask)) if "values" in given else (),
        not_available=_not_available(section, kind) if "not_available" in given else frozenset(),
    )


def _fitting_keys(section: Section, type_name: str, kind: RegisterType | None) -> set[str]:
    """Those of the keys that only some types have which are there and go with this type."""
    family: Family = BOOL if kind is None else kind.family
    given = set()
    for key in sorted(section.present(_GOES_WITH.keys())):
        families = _GOES_WITH[key]
        if family not in families or (key == "mask" and kind is not None and kind.signed):
            fit = [name for name, each in TYPES.items() if each.family in families]
            fit = [name for name in fit if not (key == "mask" and TYPES[name].signed)]
            section.fault(key, f"does not go with type {type_name}", "it goes with " + ", ".join(fit))
        else:
            given.add(key)
    return given


def _scaling(section: Section, given: set[str]) -> Scaling | None:
    if given.isdisjoint(("scale", "offset", "decimals")):
        return None
    scale = "1"
    if "decimals" in given:
        scale = "1e-" + str(section.integer("decimals", low=0, high=MAX_DECIMALS))
        if "scale" in given:
            section.fault("decimals", "says what scale says", "give one of them: scale 0.1 is decimals 1")
    elif "scale" in given:
        number = section.number("scale", 1, low=-MAX_SCALE, high=MAX_SCALE)
        if abs(number) < MIN_SCALE:
            section.fault("scale", f"{number:g} makes every value the same", f"at least {MIN_SCALE:g}")
            number = 1
        scale = repr(number)
    offset = repr(section.number("offset", 0, low=-MAX_SCALE, high=MAX_SCALE)) if "offset" in given else "0"
    scaling = _exact(scale, offset)
    if scaling.decimals > _MAX_SCALE_DECIMALS:
        section.fault("offset", f"{offset} has too many decimals", f"at most {_MAX_SCALE_DECIMALS}")
        return Scaling()
    return scaling


@lru_cache(1024)
def _exact(scale: str, offset: str) -> Scaling:
    return Scaling.of(Decimal(scale), Decimal(offset))


def _mask(section: Section, kind: RegisterType) -> int | None:
    mask = _whole(section.value("mask"))
    high = (1 << kind.bits) - 1
    if mask is None:
        section.fault(
            "mask", f"expected a whole number, found {describe(section.value('mask'))}", "as 0x0F00"
        )
    elif not 0 < mask <= high:
        section.fault("mask", f"{mask:#x} is out of range", f"0x1 to {high:#x}")
    else:
        return mask
    return None


def _values(section: Section, low: int, high: int) -> tuple[tuple[int, str], ...]:
    """An enumeration, by number; the numbers are in [low, high]."""
    texts: dict[int, str] = {}
    given = section.value("values")
    if not isinstance(given, Mapping) or not given:
        section.fault("values", f"expected numbers with their texts, found {describe(given)}", _VALUES_HINT)
        return ()
    for key, text in given.items():
        place, number = f"values.{key}", _whole(key)
        if number is None or not low <= number <= high:
            section.fault(place, "is not a number that this tag can have", f"{low} to {high}")
        elif number in texts:
            section.fault(place, f"{number} is there twice", "")
        elif isinstance(text, bool):
            section.fault(place, f"expected text, found {describe(text)}", 'put words as "on" in quotes')
        elif not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
            section.fault(place, f"expected text, found {describe(text)}", f"1 to {MAX_TEXT} characters")
        else:
            texts[number] = text
    return tuple(sorted(texts.items()))


def _range(kind: RegisterType, mask: int | None) -> tuple[int, int]:
    """Least and greatest integer that a tag can have."""
    if kind.family == "bit":
        return 0, 1
    if kind.family == "bcd":
        return 0, 10 ** (kind.bits // 4) - 1
    if mask is not None:
        return 0, mask // (mask & -mask)
    return (-(1 << kind.bits - 1), (1 << kind.bits - 1) - 1) if kind.signed else (0, (1 << kind.bits) - 1)


def _not_available(section: Section, kind: RegisterType) -> frozenset[int]:
    """The sentinels as the type reads them: 0x8000 of an int16 is -32768."""
    given = section.value("not_available")
    low, high = -(1 << kind.bits - 1) if kind.signed else 0, (1 << kind.bits) - 1
    sentinels: set[int] = set()
    listed = isinstance(given, list)
    for i, item in enumerate(given if isinstance(given, list) else [given]):
        place = f"not_available[{i}]" if listed else "not_available"
        number = _whole(item)
        if kind.family == "float" and str(item).lower() == "nan":
            continue  # never a value, in any of its bit patterns
        if number is None:
            section.fault(
                place, f"expected a whole number, found {describe(item)}", _SENTINEL_HINTS[kind.family]
            )
        elif not low <= number <= high:
            hint = _SENTINEL_HINTS[kind.family] if number < 0 else f"the type has {kind.bits} bits"
            section.fault(place, f"{number} is out of range", hint)
        else:
            sentinels.add(
                number - (1 << kind.bits) if kind.signed and number >> kind.bits - 1 > 0 else number
            )
    return frozenset(sentinels)


def _whole(value: Any) -> int | None:
    """The integer that a scalar means: also as text (`0x8000` too), as nucleus lite has it; else None."""
    if isinstance(value, str):
        try:
            return int(value, 0)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isfinite(value) and value == int(value) else None
