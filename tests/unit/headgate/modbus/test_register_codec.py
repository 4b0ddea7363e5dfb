"""Registers to values: every type against struct, decimals against exact arithmetic, overlaps, non-finite."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.codec import BOOL, TYPES, Field, make_decoder, scaled
from headgate.model import Quality

RANGES = {"H": (0, 2**16 - 1), "h": (-(2**15), 2**15 - 1), "I": (0, 2**32 - 1), "i": (-(2**31), 2**31 - 1)}
RANGES |= {"Q": (0, 2**64 - 1), "q": (-(2**63), 2**63 - 1)}


def registers_of(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[Field], list[int]]:
    """Any fields, overlapping or not, in any order, and any registers under them."""
    count = draw(st.integers(4, 125))
    fields = []
    for _ in range(draw(st.integers(1, 30))):
        name = draw(st.sampled_from(sorted(TYPES)))
        scalable = TYPES[name].code not in "fd"
        fields.append(
            Field(
                draw(st.integers(0, count - TYPES[name].registers)),
                name,
                draw(st.none() | st.integers(0, 15)) if scalable else None,
            )
        )
    registers = draw(st.lists(st.integers(0, 0xFFFF), min_size=count, max_size=count))
    return fields, registers


@given(layouts())
def test_each_field_is_what_struct_reads_at_its_place(layout: tuple[list[Field], list[int]]) -> None:
    fields, registers = layout
    values, quality = make_decoder(fields, len(registers))(registers)
    data = struct.pack(f">{len(registers)}H", *registers)
    assert len(values) == len(fields)
    for i, field in enumerate(fields):
        (raw,) = struct.unpack_from(">" + TYPES[field.type].code, data, 2 * field.offset)
        if isinstance(raw, float) and not math.isfinite(raw):
            assert values[i] is None
            assert quality[i] == Quality.BAD_VALUE
            continue
        expected = raw if field.decimals is None else scaled(raw, field.decimals)
        assert values[i] == expected
        assert type(values[i]) is type(expected)
        assert not quality or quality[i] == Quality.GOOD


@given(st.sampled_from("HhIiQq").flatmap(lambda code: st.integers(*RANGES[code])), st.integers(0, 15))
def test_a_scaled_value_is_the_double_nearest_to_the_decimal_number(raw: int, decimals: int) -> None:
    value = scaled(raw, decimals)
    exact = Fraction(raw, 10**decimals)
    assert value == float(Decimal(raw).scaleb(-decimals))  # as somebody who types the number gets it
    for neighbour in (math.nextafter(value, math.inf), math.nextafter(value, -math.inf)):
        assert abs(Fraction(value) - exact) <= abs(Fraction(neighbour) - exact)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_a_non_finite_float_has_no_value_and_its_neighbours_are_good(name: str, bad: float) -> None:
    code, size = TYPES[name].code, TYPES[name].registers
    registers = registers_of(struct.pack(f">{code}{code}H", bad, 1.5, 7))
    fields = [Field(0, name), Field(size, name), Field(2 * size, "uint16")]
    assert make_decoder(fields, 2 * size + 1)(registers) == (
        [None, 1.5, 7],
        [Quality.BAD_VALUE, Quality.GOOD, Quality.GOOD],
    )


def test_uint64_keeps_every_bit() -> None:
    registers = registers_of(struct.pack(">Q", 2**64 - 1))
    assert make_decoder([Field(0, "uint64")], 4)(registers) == ((2**64 - 1,), ())


def test_bits_are_taken_by_offset() -> None:
    decode = make_decoder([Field(1, BOOL), Field(0, BOOL), Field(9, BOOL)], 10)
    assert decode([True, False, *[False] * 7, True, *[False] * 6]) == ([False, True, True], ())


def test_contiguous_uint16_registers_are_handed_on_as_they_are() -> None:
    decode = make_decoder([Field(i, "uint16") for i in range(5)], 5)
    assert decode([1, 2, 3, 4, 65535]) == ([1, 2, 3, 4, 65535], ())
