"""What is put at a place reads as the same value, and nothing beside it changes; else it is refused."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.ble.decoders.encode import encode_field
from headgate.ble.decoders.fields import TYPES, Field, compile_fields, medfloat16
from headgate.ble.format_values import read_field
from headgate.config.reader import Problems, Section
from headgate.exact import EXACT, Unwritable
from headgate.model import Value

INTEGERS = sorted(name for name, kind in TYPES.items() if kind.family == "integer")
FLOATS = {"float16": 16, "float32": 32, "float64": 64}
orders = st.sampled_from(["little", "big"])
contents = st.binary(min_size=16, max_size=16)


def field_of(type_: str, **keys: Any) -> Field:
    problems = Problems("test")
    field = read_field(Section({"type": type_, **keys}, "", problems), "v", 512)
    problems.reject_if_any()
    return field


def meant(field: Field, content: bytes) -> Value:
    packet = compile_fields("test", [field])(content)
    assert not packet.doubtful
    assert not field.quantity.doubts(packet.raw["v"])
    return field.quantity.value(packet.raw["v"])


def put(field: Field, value: Value, content: bytes) -> bytes:
    """The content after the write; what is not the field's has stayed."""
    patched = encode_field(field, value).onto(content)
    if field.type != "string" or field.length:
        assert len(patched) == len(content)
        assert patched[: field.at] == content[: field.at]
        assert patched[field.end :] == content[field.end :]
    return patched


def limits(field: Field) -> tuple[int, int]:
    bits = 8 * TYPES[field.type].size_bytes
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if TYPES[field.type].signed else (0, (1 << bits) - 1)


@given(st.data(), st.sampled_from(INTEGERS), orders, st.integers(0, 8), contents)
def test_integers_come_back(data: st.DataObject, type_: str, order: str, at: int, content: bytes) -> None:
    field = field_of(type_, order=order, at=at)
    value = data.draw(st.integers(*limits(field)))
    assert meant(field, put(field, value, content)) == value


@given(
    st.data(),
    st.sampled_from(INTEGERS),
    orders,
    st.sampled_from(
        [
            {"decimals": 1},
            {"scale": 0.25, "offset": -7.5},
            {"scale": -3},
            {"scale": 1e-9},
            {"offset": -40},
        ]
    ),
    contents,
)
def test_what_was_read_can_be_written_back(
    data: st.DataObject, type_: str, order: str, scaling: dict[str, float], content: bytes
) -> None:
    field, plain = field_of(type_, order=order, **scaling), field_of(type_, order=order)
    low, high = limits(field)
    # Beyond 2^53 a double means several integers; these scales multiply by at most 3.
    raw = data.draw(st.integers(max(low, -EXACT // 100), min(high, EXACT // 100)))
    before = put(plain, raw, content)
    value = meant(field, before)
    assert put(field, value, content) == before


@given(st.integers(0, (1 << 24) - 1), contents)
def test_a_large_scale_reads_as_doubles_and_is_written_from_them(raw: int, content: bytes) -> None:
    field = field_of("uint24", scale=1e15)
    before = put(field_of("uint24"), raw, content)
    assert put(field, meant(field, before), content) == before


@given(st.data(), st.sampled_from(sorted(FLOATS)), orders, contents)
def test_floats_come_back(data: st.DataObject, type_: str, order: str, content: bytes) -> None:
    field = field_of(type_, order=order, at=3)
    value = data.draw(st.floats(width=FLOATS[type_], allow_nan=False, allow_infinity=False))  # type: ignore[arg-type]  # 16, 32 or 64
    assert meant(field, put(field, value, content)) == value


@given(st.integers(0, 0xFFFF), orders, contents)
def test_every_medical_float_comes_back(pattern: int, order: str, content: bytes) -> None:
    value = medfloat16(pattern)
    mantissa = pattern & 0xFFF
    if value is None or 0x7FE <= mantissa <= 0x802:
        return  # what means something else at exponent 0 is not written at any
    field = field_of("medfloat16", order=order, at=1)
    assert meant(field, put(field, value, content)) == value


@given(st.booleans(), st.integers(0, 7), contents)
def test_bits_leave_the_others_alone(value: bool, bit: int, content: bytes) -> None:
    field = field_of("bit", bit=bit, at=2)
    patched = put(field, value, content)
    assert meant(field, patched) is value
    assert (patched[2] ^ content[2]) & ~(1 << bit) == 0


@given(st.data(), st.sampled_from([0x0F00, 0x0001, 0xFFFF, 0x0FF0]), orders, contents)
def test_masked_fields_leave_the_others_alone(
    data: st.DataObject, mask: int, order: str, content: bytes
) -> None:
    field = field_of("uint16", mask=mask, order=order, at=5)
    value = data.draw(st.integers(0, mask // (mask & -mask)))
    patched = put(field, value, content)
    assert meant(field, patched) == value
    layout = "<H" if order == "little" else ">H"
    (was,), (now) = struct.unpack_from(layout, content, 5), struct.unpack_from(layout, patched, 5)[0]
    assert (was ^ now) & ~mask == 0


@given(st.text(max_size=10), st.integers(0, 20), contents)
def test_texts_come_back(text: str, length: int, content: bytes) -> None:
    field = field_of("string", at=2, **({"length": length} if length else {}))
    value = text.strip(" ").replace("\0", "")
    if length and len(value.encode("utf-8", "replace")) > length:
        return
    if value.strip(" ") != value or any(0xD800 <= ord(each) < 0xE000 for each in value):
        return
    if field.end > len(content):
        content = content.ljust(field.end, b"x")
    assert meant(field, put(field, value, content)) == value


def test_a_text_fills_a_known_length_and_cuts_an_unknown_one() -> None:
    field = field_of("string", at=1)
    assert encode_field(field, "ab", 6).onto(b"123456") == b"1ab\0\0\0"
    assert encode_field(field, "ab").onto(b"123456") == b"1ab"
    assert encode_field(field_of("string", at=1, length=3), "ab").onto(b"123456") == b"1ab\x0056"


@pytest.mark.parametrize(
    ("type_", "keys", "value", "said"),
    [
        ("uint8", {}, 256, "256 does not fit type uint8"),
        ("uint8", {}, -1, "does not fit"),
        ("int24", {}, 1 << 23, "does not fit"),
        ("uint16", {}, 1.5, "lies between 1 and 2"),
        ("int16", {"decimals": 1}, 21.55, "lies between 21.5 and 21.6"),
        ("uint8", {"scale": 1e15}, 1e30, "does not fit"),
        ("uint8", {}, True, "no number"),
        ("uint8", {}, "7", "no number"),
        ("uint8", {}, float("nan"), "no number"),
        ("uint8", {"mask": 0x0F}, 16, "does not fit"),
        ("uint16", {"not_available": 0xFFFF}, 0xFFFF, "there is no value: its bytes are ffff"),
        ("int16", {"not_available": 0x8000}, -32768, "there is no value"),
        ("float32", {"not_available": 0x3F800000}, 1.0, "there is no value"),
        ("uint16", {"scale": 0.1, "high": 100}, 100.1, "uncertain"),
        ("float32", {"low": 0}, -0.5, "uncertain"),
        ("int64", {"scale": 1, "low": -1e15, "high": 1e15}, 2e15, "uncertain"),
        ("uint64", {"scale": 1}, float(1 << 54), "2^53"),
        ("float32", {}, 16_777_217, "the nearest is 16777216.0"),
        ("float16", {}, 1e6, "does not fit"),
        ("float32", {}, 1e-60, "too close to zero"),
        ("medfloat16", {}, 36.65, "lies between 36.6 and 36.7"),
        ("medfloat16", {}, 1e12, "does not fit"),
        ("medfloat16", {}, float("inf"), "no number"),
        ("bit", {"bit": 3}, 2, "neither true nor false"),
        ("bit", {"bit": 3}, 1.0, "neither true nor false"),
        ("uint8", {"values": {0: "off", 1: "on"}}, "high", "none of its texts: off, on"),
        ("uint8", {"values": {0: "off", 1: "on", 2: "on"}}, "on", "more than one number"),
        ("uint8", {"values": {0: "off"}}, 0, "none of its texts"),
        ("string", {"length": 2}, "abc", "3 B in UTF-8, its place has 2"),
        ("string", {}, "x" * 513, "its place has 512"),
        ("string", {}, " a", "blanks"),
        ("string", {}, "a\0", "NULs"),
        ("string", {}, "\ud800", "UTF-8"),
        ("string", {}, 5, "no text"),
    ],
)
def test_what_could_not_be_read_again_is_refused(
    type_: str, keys: dict[str, Any], value: Any, said: str
) -> None:
    with pytest.raises(Unwritable) as refused:
        encode_field(field_of(type_, **keys), value)
    assert said in str(refused.value)
