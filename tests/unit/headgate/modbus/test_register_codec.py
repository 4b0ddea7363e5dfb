"""The decoder of a response: what it hands on as it is, what it marks, bit tables; published examples."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.types import BOOL, Form, Scaling
from headgate.model import Quality, Value


def one(form: Form, *registers: int) -> Value:
    """The good value of registers that are one value."""
    (value,), quality = make_decoder([Field(0, form)], len(registers))(registers)
    assert not any(quality)
    return value


def words(text: str) -> Sequence[int]:
    return [int(word, 16) for word in text.split()]


def test_contiguous_uint16_registers_are_handed_on_as_they_are() -> None:
    decode = make_decoder([Field(i, Form("uint16")) for i in range(5)], 5)
    assert decode([1, 2, 3, 4, 65535]) == ([1, 2, 3, 4, 65535], ())


def test_all_bits_of_a_register_are_read_at_once() -> None:
    decode = make_decoder([Field(1, Form("bit", bit=bit)) for bit in (0, 15, 1)], 2)
    assert decode([0, 0x8002]) == ([False, True, True], ())


def test_bits_are_taken_by_offset() -> None:
    decode = make_decoder([Field(offset, Form(BOOL)) for offset in (1, 0, 9)], 10)
    assert decode([True, False, *[False] * 7, True, *[False] * 6]) == ([False, True, True], ())


def test_a_bit_table_has_texts_too() -> None:
    form = Form(BOOL, values=((0, "closed"), (1, "open")))
    assert make_decoder([Field(0, form), Field(1, form)], 2)([True, False]) == (["open", "closed"], ())


def test_an_unknown_number_of_an_enumeration_is_its_text_and_uncertain() -> None:
    form = Form("uint16", values=((0, "off"), (1, "on")))
    decode = make_decoder([Field(0, form), Field(1, form)], 2)
    assert decode([1, 7]) == (["on", "7"], [Quality.GOOD, Quality.UNCERTAIN])
    assert decode([1, 0]) == (["on", "off"], ())


def test_a_sentinel_prevails_over_an_enumeration_and_its_neighbours_are_good() -> None:
    form = Form("uint16", values=((0, "off"), (1, "on")), not_available=frozenset({0xFFFF, 1}))
    decode = make_decoder([Field(0, form), Field(1, form), Field(2, Form("uint16"))], 3)
    assert decode([0xFFFF, 1, 0xFFFF]) == ([None, None, 0xFFFF], [Quality.BAD_VALUE, Quality.BAD_VALUE, 0])


def test_a_sentinel_is_tested_before_scaling() -> None:
    form = Form("int16", scaling=Scaling(decimals=1), not_available=frozenset({-32768}))
    decode = make_decoder([Field(0, form)], 1)
    assert decode([0x8000]) == ([None], [Quality.BAD_VALUE])
    assert decode([0x8001]) == ([-3276.7], ())


def test_a_text_ends_at_its_first_nul() -> None:
    assert one(Form("string", length=4), *words("4142 0043 4445 4600")) == "AB"
    assert one(Form("string", length=4), *words("4142 2000 4344 0000")) == "AB"
    assert one(Form("string", length=2), 0, 0) == ""
    assert one(Form("string", length=3), *words("0000 0041 4200")) == "AB"


def test_what_is_no_text_of_the_encoding_is_no_value() -> None:
    decode = make_decoder([Field(0, Form("string", length=1)), Field(1, Form("string", length=1))], 2)
    assert decode([0xFFFF, 0x4142]) == ([None, "AB"], [Quality.BAD_VALUE, Quality.GOOD])


@pytest.mark.parametrize("pattern", ["7FC0 0000", "7F80 0000", "FF80 0000"])
def test_a_float_that_is_not_finite_is_no_value_and_its_neighbours_are_good(pattern: str) -> None:
    fields = [Field(0, Form("float32")), Field(2, Form("float32")), Field(4, Form("uint16"))]
    assert make_decoder(fields, 5)([*words(pattern), 0x3FC0, 0, 7]) == (
        [None, 1.5, 7],
        [Quality.BAD_VALUE, Quality.GOOD, Quality.GOOD],
    )


def test_a_float_beyond_a_double_once_scaled_is_no_value() -> None:
    form = Form("float64", scaling=Scaling(factor=10**15))
    assert make_decoder([Field(0, form)], 4)(words("7FEF FFFF FFFF FFFF")) == ([None], [Quality.BAD_VALUE])


@pytest.mark.parametrize(
    ("form", "registers", "value"),
    [
        # Modbus Application Protocol V1.1b3: 6.3 (registers 108 to 110), 6.4 (register 9).
        (Form("uint16"), "022B", 555),
        (Form("uint16"), "0064", 100),
        (Form("uint16"), "000A", 10),
        # Eastron SDM320Y user manual, V1.0 of 06-2018, page 42: 230.2 V, 100 ms.
        (Form("float32"), "4366 3334", 230.2),
        (Form("float32"), "42C8 0000", 100.0),
        # Siemens SITRANS F, Modbus RTU, A5E00753974-AB, table B-12 and the example below it.
        (Form("float32"), "425D 47AE", 55.32),
        (Form("float32"), "BF80 0000", -1.0),
        (Form("float32"), "40C3 5293", 6.10383),
        # The same in the other float byte orders of Siemens SITRANS FST030, A5E37367739-AC, table A-5:
        # 2-3-0-1, 1-0-3-2 and 0-1-2-3, where 3 is the most significant byte.
        (Form("float32", "little", "big"), "C340 9352", 6.10383),
        (Form("float32", "big", "little"), "5293 40C3", 6.10383),
        (Form("float32", "little", "little"), "9352 C340", 6.10383),
        # SunSpec Device Information Model Specification: the identifier "SunS" as a uint32 and as text.
        (Form("uint32"), "5375 6E53", 0x53756E53),
        (Form("string", length=2), "5375 6E53", "SunS"),
        # IEEE 754 binary16: one, the largest number, the smallest one above zero.
        (Form("float16"), "3C00", 1.0),
        (Form("float16"), "7BFF", 65504.0),
        (Form("float16"), "0001", 2.0**-24),
    ],
)
def test_published_examples(form: Form, registers: str, value: float | str) -> None:
    decoded = one(form, *words(registers))
    assert decoded == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("name", "registers", "sentinel"),
    [
        ("int16", "8000", 0x8000 - 2**16),
        ("uint16", "FFFF", 0xFFFF),
        ("int32", "8000 0000", -(2**31)),
        ("uint32", "FFFF FFFF", 0xFFFFFFFF),
        ("int64", "8000 0000 0000 0000", -(2**63)),
        ("uint64", "FFFF FFFF FFFF FFFF", 2**64 - 1),
        ("float32", "7F7F FFFF", 0x7F7FFFFF),
    ],
)
def test_values_that_sunspec_and_others_call_not_implemented(
    name: str, registers: str, sentinel: int
) -> None:
    form = Form(name, not_available=frozenset({sentinel}))
    for order in ("big", "little"):
        here = Form(name, word_order=order, not_available=form.not_available)
        data = words(registers) if order == "big" else words(registers)[::-1]
        assert make_decoder([Field(0, here)], len(data))(data) == ([None], [Quality.BAD_VALUE])
