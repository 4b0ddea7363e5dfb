"""The decoder that turns the registers or bits of one response into the values of its tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from headgate.modbus.layout import Place, Unpack, make_unpack, picker
from headgate.modbus.meaning import make_convert, make_doubt, may_fail
from headgate.modbus.types import BOOL, Form
from headgate.model import Quality, Value


@dataclass(frozen=True, slots=True)
class Field:
    """One tag inside a response: its offset from the response's first register or bit, and its form."""

    offset: int
    form: Form


Decode = Callable[[Sequence[int]], tuple[Sequence[Value], Sequence[int]]]
"""Turns the registers (or bits) of one response into values and qualities; no qualities: all good."""
_Raw = Sequence[Any]
_Values = Callable[[_Raw], Sequence[Value]]
_Marks = Callable[[_Raw, Sequence[Value]], dict[int, Quality]]


def make_decoder(fields: Sequence[Field], count: int) -> Decode:
    """A decoder for responses of `count` registers or bits, worked out once for all of them.

    Without a value, as bad_value: a float that is not finite, what the tag calls not available, digits above
    nine in BCD, text of another encoding. Uncertain: an integer that its enumeration does not name (the text
    is the number), a scaled 64-bit integer beyond 2^53, which a double does not keep exactly.
    """
    forms = [field.form for field in fields]
    unpack = _bits(fields) if all(form.type == BOOL for form in forms) else _registers(fields, count)
    evaluate = _evaluate(forms, exact=len(_patterned(forms)) == 0)
    marks = _marks(forms)
    if evaluate is None and marks is None:
        return lambda registers: (unpack(registers), ())

    def decode(registers: Sequence[int]) -> tuple[Sequence[Value], Sequence[int]]:
        raw = unpack(registers)
        values = raw if evaluate is None else evaluate(raw)
        if marks is None or not (marked := marks(raw, values)):
            return values, ()
        return _without_bad(values, marked)

    return decode


def _bits(fields: Sequence[Field]) -> Unpack:
    offsets = [field.offset for field in fields]
    return lambda bits: [bool(bits[offset]) for offset in offsets]


def _registers(fields: Sequence[Field], count: int) -> Unpack:
    """One raw value per field, then the bit patterns that `_patterned` asks for."""
    places = [_place(field, field.form.register_type.code) for field in fields]
    patterns = {16: "H", 32: "I", 64: "Q"}
    places += [
        _place(fields[i], patterns[fields[i].form.register_type.bits])
        for i in _patterned([field.form for field in fields])
    ]
    return make_unpack(places, count)


def _place(field: Field, code: str) -> Place:
    form = field.form
    if form.type == "string":
        code = f"{2 * form.length}s"
    return Place(field.offset, form.count, code, form.byte_order, form.word_order)


def _patterned(forms: Sequence[Form]) -> list[int]:
    """The fields whose bit pattern is wanted beside the value: floats with sentinels."""
    return [i for i, form in enumerate(forms) if form.register_type.family == "float" and form.not_available]


def _evaluate(forms: Sequence[Form], *, exact: bool) -> _Values | None:
    """From raw values to values; None where they are the same. `exact`: there is one raw value per field."""
    divisors: list[int | None] = [None] * len(forms)
    converts = []
    for i, form in enumerate(forms):
        if _only_decimals(form) and form.scaling is not None:
            divisors[i] = int(10**form.scaling.decimals)
        elif (convert := make_convert(form)) is not None:
            converts.append((i, convert))
    if not converts and exact:
        if not any(divisors):
            return None
        return lambda raw: [
            value if divisor is None else value / divisor
            for value, divisor in zip(raw, divisors, strict=True)
        ]

    def evaluate(raw: _Raw) -> Sequence[Value]:
        # Bit patterns come after the last field.
        values: list[Value] = [
            value if divisor is None else value / divisor
            for value, divisor in zip(raw, divisors, strict=False)
        ]
        for i, convert in converts:
            values[i] = convert(raw[i])
        return values

    return evaluate


def _only_decimals(form: Form) -> bool:
    """Whether the raw value over a power of ten is all there is to it."""
    scaling = form.scaling
    plain = form.mask is None and form.register_type.family in ("integer", "float")
    return plain and scaling is not None and scaling.factor == 1 and scaling.offset == 0


def _marks(forms: Sequence[Form]) -> _Marks | None:
    """What is not good of a response, by field; None where everything always is."""
    # The later ones prevail: a sentinel is no value, whatever else it looks like.
    checks = [check for check in (_meaning(forms), _finite(forms), _available(forms)) if check is not None]
    if len(checks) < 2:
        return checks[0] if checks else None

    def marks(raw: _Raw, values: Sequence[Value]) -> dict[int, Quality]:
        found: dict[int, Quality] = {}
        for check in checks:
            found |= check(raw, values)
        return found

    return marks


def _finite(forms: Sequence[Form]) -> _Marks | None:
    floats = [i for i, form in enumerate(forms) if form.register_type.family == "float"]
    if not floats:
        return None
    pick = None if len(floats) == len(forms) else picker(floats)

    def marks(raw: _Raw, values: Sequence[Any]) -> dict[int, Quality]:
        if all(map(isfinite, values if pick is None else pick(values))):
            return {}
        return {i: Quality.BAD_VALUE for i in floats if not isfinite(values[i])}

    return marks


def _available(forms: Sequence[Form]) -> _Marks | None:
    patterns = {i: len(forms) + n for n, i in enumerate(_patterned(forms))}
    tests = [
        (i, patterns.get(i, i), form.not_available) for i, form in enumerate(forms) if form.not_available
    ]
    if not tests:
        return None
    texts = [i for i, _, _ in tests if forms[i].type == "string"]
    tests = [test for test in tests if test[0] not in texts]

    def marks(raw: _Raw, values: Sequence[Value]) -> dict[int, Quality]:
        found = {i: Quality.BAD_VALUE for i, at, sentinels in tests if raw[at] in sentinels}
        return found | {i: Quality.BAD_VALUE for i in texts if not any(raw[i])}

    return marks


def _meaning(forms: Sequence[Form]) -> _Marks | None:
    failing = [i for i, form in enumerate(forms) if may_fail(form)]
    doubts = [(i, doubt) for i, form in enumerate(forms) if (doubt := make_doubt(form)) is not None]
    if not failing and not doubts:
        return None

    def marks(raw: _Raw, values: Sequence[Value]) -> dict[int, Quality]:
        found = {i: Quality.UNCERTAIN for i, doubt in doubts if doubt(raw[i])}
        return found | {i: Quality.BAD_VALUE for i in failing if values[i] is None}

    return marks


def _without_bad(
    values: Sequence[Value], marked: dict[int, Quality]
) -> tuple[Sequence[Value], Sequence[int]]:
    clean = list(values)
    quality = [int(Quality.GOOD)] * len(clean)
    for i, mark in marked.items():
        quality[i] = int(mark)
        if mark == Quality.BAD_VALUE:
            clean[i] = None
    return clean, quality
