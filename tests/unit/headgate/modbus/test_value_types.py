"""Every type in every order, alone and mixed, against a reading of the same bytes that shares no code."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.config import parse_mapping
from headgate.modbus.types import ENCODINGS, ORDERS, TYPES, Form, Scaling
from headgate.model import Quality, Value

LETTERS = {
    ("big", "big"): ("ab", "abcd", "abcdefgh"),
    ("big", "little"): ("ab", "cdab", "ghefcdab"),
    ("little", "big"): ("ba", "badc", "badcfehg"),
    ("little", "little"): ("ba", "dcba", "hgfedcba"),
}
"""By byte and word order: which byte of a value of 1, 2, 4 registers comes when, a the most significant."""
SIGNED = {"int16", "int32", "int64", "int8_high", "int8_low"}
INTEGERS = sorted(name for name in TYPES if "int" in name)
FLOATS = {"float16": (5, 10), "float32": (8, 23), "float64": (11, 52)}
"""Bits of exponent and fraction (IEEE 754-2019, table 3.5)."""
BCDS = {"bcd16": 4, "bcd32": 8, "bcd64": 16}
BAD, GOOD, UNCERTAIN = int(Quality.BAD_VALUE), int(Quality.GOOD), int(Quality.UNCERTAIN)


def arrived(form: Form, data: bytes) -> list[int]:
    """The registers in which a value's bytes, the most significant first, lie."""
    letters = LETTERS[form.byte_order, form.word_order][{2: 0, 4: 1, 8: 2}[len(data)]]
    wire = bytes(data[ord(letter) - ord("a")] for letter in letters)
    return [int.from_bytes(wire[i : i + 2], "big") for i in range(0, len(wire), 2)]


def significant(form: Form, registers: list[int]) -> bytes:
    """A value's bytes, the most significant first: the inverse of `arrived`."""
    wire = b"".join(register.to_bytes(2, "big") for register in registers)
    letters = LETTERS[form.byte_order, form.word_order][{2: 0, 4: 1, 8: 2}[len(wire)]]
    return bytes(wire[letters.index(chr(ord("a") + i))] for i in range(len(wire)))


def ieee(name: str, pattern: int) -> float:
    """The number of a bit pattern, by the definition of the format."""
    exponent_bits, fraction_bits = FLOATS[name]
    fraction = pattern & (1 << fraction_bits) - 1
    exponent = pattern >> fraction_bits & (1 << exponent_bits) - 1
    sign = -1 if pattern >> exponent_bits + fraction_bits else 1
    bias = (1 << exponent_bits - 1) - 1
    if exponent == (1 << exponent_bits) - 1:
        return math.nan if fraction else sign * math.inf
    if exponent == 0:
        return sign * math.ldexp(fraction, 1 - bias - fraction_bits)
    return sign * math.ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits)


def integer(form: Form, registers: list[int]) -> int:
    data = significant(form, registers)
    if form.type.endswith("_high"):
        data = data[:1]
    elif form.type.endswith("_low"):
        data = data[1:]
    return int.from_bytes(data, "big", signed=form.type in SIGNED)


def expected(form: Form, registers: list[int]) -> tuple[Value, int]:
    """Value and quality of a form, worked out from the bytes."""
    if form.type == "string":
        return expected_text(form, registers)
    raw = integer(form, registers)
    if raw in form.not_available:
        return None, BAD
    if form.type in FLOATS:
        number = ieee(form.type, raw)
        return (number, GOOD) if math.isfinite(number) else (None, BAD)
    if form.type == "bit":
        raw = int(f"{raw:016b}"[15 - form.bit])
        if not form.values:
            return bool(raw), GOOD
    if form.type in BCDS:
        digits = raw.to_bytes(BCDS[form.type] // 2, "big").hex()
        if not digits.isdecimal():
            return None, BAD
        raw = int(digits)
    if form.mask is not None:
        raw &= form.mask
        lowest = next(i for i in range(64) if form.mask >> i & 1)
        raw //= 2**lowest
    if form.values:
        texts = dict(form.values)
        return (texts[raw], GOOD) if raw in texts else (str(raw), UNCERTAIN)
    if form.scaling is None:
        return raw, GOOD
    scale, offset = form.scaling, Fraction(form.scaling.offset, 10**form.scaling.decimals)
    exact = raw * Fraction(scale.factor, 10**scale.decimals) + offset
    long = form.register_type.bits == 64 and abs(raw) > 2**53
    return float(exact), UNCERTAIN if long else GOOD


def expected_text(form: Form, registers: list[int]) -> tuple[Value, int]:
    order = "big" if form.byte_order == "big" else "little"
    data = b"".join(register.to_bytes(2, order) for register in registers)  # type: ignore[arg-type]  # a literal
    try:
        text = data.decode(form.encoding)
    except UnicodeDecodeError:
        return None, BAD
    while text and text[0] in "\0 ":
        text = text[1:]
    while text and text[-1] in "\0 ":
        text = text[:-1]
    return text.split("\0")[0].rstrip(" "), GOOD


def decoded(form: Form, registers: list[int]) -> tuple[Value, int]:
    (value,), quality = make_decoder([Field(0, form)], len(registers))(registers)
    return value, quality[0] if quality else GOOD


def same(value: Value, wanted: Value) -> bool:
    return value == wanted and type(value) is type(wanted) and repr(value) == repr(wanted)


orders = st.tuples(st.sampled_from(ORDERS), st.sampled_from(ORDERS))
decimals = st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False, places=6)
scalings = st.builds(Scaling.of, decimals.filter(bool), decimals) | st.builds(
    Scaling, st.just(1), st.just(0), st.integers(0, 15)
)


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Any form of a value in registers."""
    name = draw(st.sampled_from(sorted(TYPES)))
    byte_order, word_order = draw(orders)
    form = Form(name, byte_order, word_order)
    if name == "string":
        return replace(form, length=draw(st.integers(1, 8)), encoding=draw(st.sampled_from(ENCODINGS)))
    if form.count == 1:
        form = replace(form, word_order="big")
    if name == "bit":
        form = replace(form, bit=draw(st.integers(0, 15)))
    if name.startswith("uint") and draw(st.booleans()):
        form = replace(form, mask=draw(st.integers(1, 2**form.register_type.bits - 1)))
    if name in INTEGERS or name in BCDS:
        scaling = draw(st.none() | scalings)
        form = replace(form, scaling=scaling)
    if form.scaling is None and name not in FLOATS and draw(st.booleans()):
        numbers = draw(st.sets(st.integers(0, 9), min_size=1))
        form = replace(form, values=tuple((n, f"state {n}") for n in sorted(numbers)))
    if draw(st.booleans()):
        low = -(2 ** (form.register_type.bits - 1)) if name in SIGNED else 0
        high = 2 ** (form.register_type.bits - (name in SIGNED)) - 1
        form = replace(form, not_available=frozenset(draw(st.sets(st.integers(low, high), max_size=3))))
    return form


registers = st.integers(0, 0xFFFF) | st.sampled_from(
    [0, 1, 2, 0x7FC0, 0x8000, 0xFFFF, 0x4142, 0x1234, 0x7C00]
)


@st.composite
def responses(draw: st.DrawFn) -> tuple[list[Field], list[int]]:
    """Any fields, overlapping or not, in any order, and any registers under them."""
    count = draw(st.integers(8, 125))
    fields = [
        Field(draw(st.integers(0, count - form.count)), form) for form in draw(st.lists(forms(), min_size=1))
    ]
    return fields, draw(st.lists(registers, min_size=count, max_size=count))


@given(responses())
def test_every_field_of_a_response_is_what_its_bytes_mean(response: tuple[list[Field], list[int]]) -> None:
    fields, data = response
    values, quality = make_decoder(fields, len(data))(data)
    assert len(values) == len(fields)
    assert not quality or len(quality) == len(fields)
    for i, field in enumerate(fields):
        wanted = expected(field.form, data[field.offset : field.offset + field.form.count])
        assert same(values[i], wanted[0])
        assert (quality[i] if quality else GOOD) == wanted[1]


@given(forms(), st.data())
def test_a_sentinel_has_no_value_in_any_form(form: Form, data: st.DataObject) -> None:
    if form.type == "string":
        return
    raw = data.draw(st.lists(registers, min_size=form.count, max_size=form.count))
    marked = replace(form, not_available=form.not_available | {integer(form, raw)})
    assert decoded(marked, raw) == (None, BAD)


@pytest.mark.parametrize("name", INTEGERS)
@given(st.data(), orders)
def test_integers_come_back_from_their_registers(name: str, data: st.DataObject, order: Any) -> None:
    form = Form(name, *order)
    bits = form.register_type.bits
    low = -(2 ** (bits - 1)) if name in SIGNED else 0
    value = data.draw(st.integers(low, 2 ** (bits - (name in SIGNED)) - 1))
    coded = value.to_bytes(bits // 8, "big", signed=name in SIGNED)
    other = data.draw(st.binary(min_size=1, max_size=1))
    coded = coded + other if name.endswith("_high") else other + coded if name.endswith("_low") else coded
    assert same(decoded(form, arrived(form, coded))[0], value)


@pytest.mark.parametrize("name", sorted(FLOATS))
@given(st.data(), orders)
def test_floats_are_the_numbers_of_their_bit_patterns(name: str, data: st.DataObject, order: Any) -> None:
    form = Form(name, *order)
    bits = form.register_type.bits
    pattern = data.draw(st.integers(0, 2**bits - 1))
    value, quality = decoded(form, arrived(form, pattern.to_bytes(bits // 8, "big")))
    number = ieee(name, pattern)
    assert (value, quality) == ((number, GOOD) if math.isfinite(number) else (None, BAD))


@pytest.mark.parametrize("name", sorted(BCDS))
@given(st.data(), orders)
def test_binary_coded_decimals_come_back_digit_by_digit(name: str, data: st.DataObject, order: Any) -> None:
    form = Form(name, *order)
    number = data.draw(st.integers(0, 10 ** BCDS[name] - 1))
    coded = bytes.fromhex(f"{number:0{BCDS[name]}}")
    assert decoded(form, arrived(form, coded)) == (number, GOOD)
    wrong = bytearray(coded)
    wrong[data.draw(st.integers(0, len(coded) - 1))] |= data.draw(st.sampled_from([0x0A, 0xA0, 0xFF]))
    assert decoded(form, arrived(form, bytes(wrong)))[1] == (GOOD if wrong.hex().isdecimal() else BAD)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x21), max_size=20), st.sampled_from(ORDERS))
def test_texts_come_back_without_their_padding(encoding: Any, text: str, byte_order: Any) -> None:
    form = Form("string", byte_order, length=12, encoding=encoding)
    text = text if encoding == "ascii" else f"{text}é°"[:20]
    for padding in (b"\0", b" ", b" \0"):
        data = text.encode(encoding).ljust(24, padding[:1])[:23] + padding[-1:]
        pairs = [int.from_bytes(data[i : i + 2], byte_order) for i in range(0, 24, 2)]
        assert decoded(form, pairs) == (text, GOOD)


@given(st.sampled_from(INTEGERS), decimals.filter(bool), decimals, st.data())
def test_a_scaled_integer_is_the_double_nearest_to_the_exact_result(
    name: str, scale: Decimal, offset: Decimal, data: st.DataObject
) -> None:
    scaling = Scaling.of(scale, offset)
    form = Form(name, scaling=scaling)
    raw = data.draw(st.lists(registers, min_size=form.count, max_size=form.count))
    value, _ = decoded(form, raw)
    assert value == float(integer(form, raw) * Fraction(scale) + Fraction(offset))
    digits = [-int(number.normalize().as_tuple().exponent) for number in (scale, offset)]
    assert form.decimals == max(0, *digits)
    assert form.kind == "f64"


@given(st.sampled_from(sorted(FLOATS)), decimals.filter(bool), decimals, st.data())
def test_a_scaled_float_is_scaled_as_a_double(
    name: str, scale: Decimal, offset: Decimal, data: st.DataObject
) -> None:
    form = Form(name, scaling=Scaling.of(scale, offset))
    raw = data.draw(st.lists(registers, min_size=form.count, max_size=form.count))
    number = ieee(name, integer(form, raw))
    value, quality = decoded(form, raw)
    if not math.isfinite(number):
        assert (value, quality) == (None, BAD)
    elif value is None:
        assert quality == BAD
        assert abs(number) > 1e295
    else:
        assert isinstance(value, float)
        exact = Fraction(number) * Fraction(scale) + Fraction(offset)
        size = abs(Fraction(number) * Fraction(scale)) + abs(Fraction(offset))
        assert abs(Fraction(value) - exact) <= size * Fraction(1, 2**51) + Fraction(1, 2**1073)
    assert form.decimals is None


@given(st.integers(2**53 + 1, 2**63 - 1), st.booleans())
def test_a_64_bit_integer_is_exact_as_it_is_and_says_so_when_a_double_cannot_hold_it(
    number: int, negative: bool
) -> None:
    value = -number if negative else number
    data = value.to_bytes(8, "big", signed=True)
    plain = Form("int64")
    assert decoded(plain, arrived(plain, data)) == (value, GOOD)
    scaled = Form("int64", scaling=Scaling(decimals=3))
    assert decoded(scaled, arrived(scaled, data)) == (float(Fraction(value, 1000)), UNCERTAIN)
    assert decoded(scaled, arrived(scaled, (2**53).to_bytes(8, "big"))) == (2**53 / 1000, GOOD)


def test_a_scaled_decimal_of_sixteen_digits_says_when_a_double_cannot_hold_it() -> None:
    form = Form("bcd64", scaling=Scaling(decimals=2))
    for number, quality in ((9_007_199_254_740_992, GOOD), (9_007_199_254_740_993, UNCERTAIN)):
        registers = arrived(form, bytes.fromhex(f"{number:016}"))
        assert decoded(form, registers) == (float(Fraction(number, 100)), quality)
        assert decoded(Form("bcd64"), registers) == (number, GOOD)


@pytest.mark.parametrize(
    "letters",
    ["ab", "ba", *(four for _, four, _ in LETTERS.values()), *(eight for _, _, eight in LETTERS.values())],
)
def test_the_letters_of_an_order_are_the_bytes_as_they_arrive(letters: str) -> None:
    wire = bytes(0x11 * (ord(letter) - ord("a") + 1) for letter in letters)
    tag = {"name": "t", "register": 40001, "type": f"uint{8 * len(letters)}", "order": letters}
    group = {"name": "g", "interval_s": 1, "tags": [tag]}
    device = {"name": "d", "transport": {"kind": "tcp", "host": "h"}, "groups": [group]}
    (read,) = parse_mapping({"devices": [device]}).devices[0].groups[0].tags
    pairs = [int.from_bytes(wire[i : i + 2], "big") for i in range(0, len(wire), 2)]
    assert decoded(read.form, pairs) == (
        int.from_bytes(bytes.fromhex("1122334455667788")[: len(wire)], "big"),
        GOOD,
    )
