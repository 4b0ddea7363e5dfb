"""What is encoded is decoded as the same value, for every type and order; what cannot be is refused."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config.reader import Problems, Section
from headgate.exact import Unwritable
from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.encode import Cells, encode, limits, unwritable
from headgate.modbus.forms import Orders, read_form
from headgate.modbus.types import BOOL, EXACT, TYPES, Form
from headgate.model import Quality, Value

orders = st.sampled_from(["big", "little"])
INTEGERS = [name for name, kind in TYPES.items() if kind.family == "integer"]
FLOATS = [name for name, kind in TYPES.items() if kind.family == "float"]
BCD = [name for name, kind in TYPES.items() if kind.family == "bcd"]


def form_of(type_: str, **keys: Any) -> Form:
    problems = Problems("test")
    form = read_form(Section(keys, "", problems), type_, Orders())
    problems.reject_if_any()
    return form


def put_into(form: Form, cells: Cells, before: int = 0xA5C3) -> list[int]:
    """The registers after the write, where each held `before`."""
    registers = [before] * form.count
    for i, value in enumerate(cells.values):
        at = cells.offset + i
        mask = 0xFFFF if cells.mask is None else cells.mask
        registers[at] = registers[at] & ~mask | value & mask
    return registers


def read_again(form: Form, cells: Cells) -> tuple[Value, int]:
    values, quality = make_decoder([Field(0, form)], form.count)(put_into(form, cells))
    return values[0], quality[0] if quality else 0


@given(st.data(), st.sampled_from(INTEGERS + BCD), orders, orders)
def test_integers_come_back(data: st.DataObject, type_: str, byte_order: str, word_order: str) -> None:
    form = form_of(type_, byte_order=byte_order, word_order=word_order)
    value = data.draw(st.integers(*limits(form)))
    assert read_again(form, encode(form, value)) == (value, Quality.GOOD)


@given(
    st.data(),
    st.sampled_from(INTEGERS + BCD),
    orders,
    orders,
    st.sampled_from([{"decimals": 1}, {"scale": 0.25, "offset": -7.5}, {"scale": -3}, {"scale": 1e-9}]),
)
def test_what_was_read_can_be_written_back(
    data: st.DataObject, type_: str, byte_order: str, word_order: str, scaling: dict[str, float]
) -> None:
    form = form_of(type_, byte_order=byte_order, word_order=word_order, **scaling)
    low, high = limits(form)
    raw = data.draw(st.integers(max(low, -EXACT), min(high, EXACT)))
    value = read_again(form, encode(form_of(type_, byte_order=byte_order, word_order=word_order), raw))
    again = encode(form, value[0] if value[0] is not None else raw)
    if form.scaling is not None and form.scaling.factor == 1:
        assert put_into(form, again) == put_into(
            form, encode(form_of(type_, byte_order=byte_order, word_order=word_order), raw)
        )
    assert read_again(form, again)[0] is not None


@given(st.data(), st.sampled_from(FLOATS), orders, orders)
def test_floats_come_back(data: st.DataObject, type_: str, byte_order: str, word_order: str) -> None:
    form = form_of(type_, byte_order=byte_order, word_order=word_order)
    bits = TYPES[type_].bits
    value = data.draw(st.floats(width=bits, allow_nan=False, allow_infinity=False))  # type: ignore[arg-type]
    found, quality = read_again(form, encode(form, value))
    assert (found, quality) == (value, Quality.GOOD)


@given(st.text("abcXYZ 0-9.:", max_size=10), st.integers(5, 9), orders)
def test_texts_come_back(text: str, length: int, byte_order: str) -> None:
    form = form_of("string", length=length, byte_order=byte_order)
    value = text.strip(" ")
    assert read_again(form, encode(form, value)) == (value, Quality.GOOD)


@given(st.booleans(), st.integers(0, 15), orders)
def test_bits_leave_the_others_alone(value: bool, bit: int, byte_order: str) -> None:
    form = form_of("bit", bit=bit, byte_order=byte_order)
    cells = encode(form, value)
    assert cells.mask is not None
    assert cells.mask.bit_count() == 1
    assert read_again(form, cells) == (value, Quality.GOOD)
    assert (put_into(form, cells)[0] ^ 0xA5C3) & ~cells.mask == 0


@given(st.data(), st.sampled_from(["uint8_high", "uint8_low", "int8_high", "int8_low"]), orders)
def test_halves_leave_the_other_half_alone(data: st.DataObject, type_: str, byte_order: str) -> None:
    form = form_of(type_, byte_order=byte_order)
    value = data.draw(st.integers(*limits(form)))
    cells = encode(form, value)
    assert cells.mask in (0xFF00, 0x00FF)
    assert read_again(form, cells) == (value, Quality.GOOD)
    assert cells.mask is not None
    assert (put_into(form, cells)[0] ^ 0xA5C3) & ~cells.mask == 0


@given(st.data(), st.sampled_from([0x0F00, 0x0001, 0xFFFF]), orders)
def test_masked_fields_come_back(data: st.DataObject, mask: int, byte_order: str) -> None:
    form = form_of("uint16", mask=mask, byte_order=byte_order)
    value = data.draw(st.integers(*limits(form)))
    cells = encode(form, value)
    assert read_again(form, cells) == (value, Quality.GOOD)
    assert (cells.mask is None) == (mask == 0xFFFF)


@pytest.mark.parametrize("order", ["abcd", "cdab", "badc", "dcba"])
def test_a_mask_within_one_register_of_several_is_written_there(order: str) -> None:
    form = form_of("uint32", mask=0x00F0_0000, order=order)
    cells = encode(form, 9)
    assert len(cells.values) == 1
    assert cells.offset in (0, 1)
    assert read_again(form, cells) == (9, Quality.GOOD)
    assert not unwritable(form)


def test_a_mask_across_registers_is_not_written() -> None:
    form = form_of("uint32", mask=0x0001_8000)
    assert "more than one register" in unwritable(form)
    with pytest.raises(Unwritable, match="more than one register"):
        encode(form, 1)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("abcd", (0x0102, 0x0304)),
        ("cdab", (0x0304, 0x0102)),
        ("badc", (0x0201, 0x0403)),
        ("dcba", (0x0403, 0x0201)),
    ],
)
def test_orders_in_letters(order: str, words: tuple[int, ...]) -> None:
    assert encode(form_of("uint32", order=order), 0x01020304).values == words


def test_enumerations_take_their_texts() -> None:
    form = form_of("uint16", values={0: "stopped", 1: "running", 2: "stopped"})
    assert encode(form, "running") == Cells(0, (1,))
    for value, why in (("stopped", "more than one"), ("1", "none of its texts"), (1, "none of its texts")):
        with pytest.raises(Unwritable, match=why):
            encode(form, value)


def test_coils_take_yes_and_no() -> None:
    assert encode(Form(BOOL), True) == encode(Form(BOOL), 1) == Cells(0, (1,))
    assert encode(form_of("bool", values={0: "open", 1: "shut"}), "shut") == Cells(0, (1,))
    with pytest.raises(Unwritable, match="neither"):
        encode(Form(BOOL), 2)


@pytest.mark.parametrize(
    ("form", "value", "why"),
    [
        (form_of("uint16"), 65_536, "does not fit"),
        (form_of("uint16"), -1, "does not fit"),
        (form_of("int16"), 32_768, "does not fit"),
        (form_of("uint16"), 1.5, "between 1 and 2"),
        (form_of("uint16", decimals=1), 230.45, "between 230.4 and 230.5"),
        (form_of("uint16", scale=-0.5), 0.25, "between"),
        (form_of("uint16"), True, "no number"),
        (form_of("uint16"), "1", "no number"),
        (form_of("uint16"), None, "no number"),
        (form_of("uint16"), math.nan, "no number"),
        (form_of("bcd16"), 10_000, "does not fit"),
        (form_of("int16", not_available=0x8000), -32_768, "no value"),
        (form_of("int64", decimals=1), 1e17, "several"),
        (form_of("float16"), 1e6, "does not fit"),
        (form_of("float32"), 1e39, "does not fit"),
        (form_of("float32"), 1e-60, "close to zero"),
        (form_of("float32"), 16_777_217, "nearest is 16777216"),
        (
            form_of("float32", not_available=0x7F7FFFFF),
            struct.unpack(">f", b"\x7f\x7f\xff\xff")[0],
            "no value",
        ),
        (form_of("float32"), math.inf, "no number"),
        (form_of("float32"), False, "no number"),
        (form_of("float64"), 10**400, "does not fit"),
        (form_of("string", length=2), "12345", "5 B"),
        (form_of("string", length=2), " a", "blanks"),
        (form_of("string", length=2), "a\0b", "NUL"),
        (form_of("string", length=2), "ä", "not in encoding"),
        (form_of("string", length=2), 5, "no text"),
    ],
)
def test_what_cannot_be_meant_is_refused(form: Form, value: Any, why: str) -> None:
    with pytest.raises(Unwritable, match=why):
        encode(form, value)


def test_a_float_takes_the_nearest() -> None:
    value, _ = read_again(form_of("float32"), encode(form_of("float32"), 230.4))
    assert value == struct.unpack(">f", struct.pack(">f", 230.4))[0]


def test_scaling_is_undone_exactly() -> None:
    assert encode(form_of("uint16", decimals=1), 230.4) == Cells(0, (2304,))
    assert encode(form_of("uint16", scale=0.1, offset=-40), -37.9) == Cells(0, (21,))
    assert encode(form_of("uint64"), (1 << 64) - 1).values == (0xFFFF,) * 4
