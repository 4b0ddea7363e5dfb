"""From a value to the bytes that mean it at a field's place, or not at all: the inverse of `fields`."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from headgate.ble.decoders.fields import TYPES, Field, compile_fields, medfloat16
from headgate.exact import EXACT, Unwritable, descaled, finite, number_of_text, said, unscaled
from headgate.model import Value

MAX_BYTES = 512
"""Of a characteristic's value (Bluetooth Core Specification, Vol 3, Part F, 3.2.9)."""
_MANTISSAS = range(-0x7FD, 0x7FE)
"""Of an SFLOAT, without those that mean NaN, infinities, NRes and what is reserved at exponent 0."""
_EXPONENTS = sorted(range(-8, 8), key=abs)


@dataclass(frozen=True, slots=True)
class Patch:
    """Bytes to put at `at`; of each, the bits of `mask` alone. `rest`: what comes after is cut off."""

    at: int
    data: bytes
    mask: bytes
    rest: bool = False

    def onto(self, content: bytes) -> bytes:
        """What a characteristic that reads as `content`, long enough for the field, is to be."""
        if self.rest:
            return content[: self.at] + self.data
        end = self.at + len(self.data)
        new = (
            old & ~mask | byte
            for old, byte, mask in zip(content[self.at : end], self.data, self.mask, strict=True)
        )
        return content[: self.at] + bytes(new) + content[end:]

    @property
    def whole(self) -> bool:
        """Whether nothing of what was there before its end remains."""
        return self.at == 0 and all(mask == 0xFF for mask in self.mask)


def encode_field(field: Field, value: Value, length: int | None = None) -> Patch:
    """The bytes from which a field reads `value`; `length` is that of the characteristic where it is known.

    A float takes the nearest that its type has, except that whole numbers stay whole where nothing is scaled.
    Raises Unwritable, also for what would read as no value or as uncertain.
    """
    patch = _patch(field, value, length)
    read = compile_fields("value", [field])
    raw = read(patch.onto(bytes(max(field.end, field.at)))).raw[field.quantity.tag]
    if raw is None and field.mask is None:
        raise Unwritable(f"{said(value)} would mean that there is no value: its bytes are {patch.data.hex()}")
    if field.quantity.doubts(raw):
        raise Unwritable(f"{said(value)} would be uncertain: it is beyond low or high")
    return patch


def _patch(field: Field, value: Value, length: int | None) -> Patch:
    kind = TYPES[field.type]
    if kind.family == "string":
        return _text(field, value, length)
    if kind.family == "bit":
        if not (value is True or value is False or (type(value) is int and value in (0, 1))):
            raise Unwritable(f"{said(value)} is neither true nor false")
        probe = 1 << field.bit
        return Patch(field.at, bytes([probe * int(value)]), bytes([probe]))
    size = kind.size_bytes
    if kind.family == "float":
        data = _float(field, value)
        return Patch(field.at, data, b"\xff" * size)
    number, mask = _integer(field, value), (1 << 8 * size) - 1
    if field.mask is not None:
        mask = field.mask
        number *= mask & -mask
    data = number.to_bytes(size, field.order, signed=kind.signed)
    return Patch(field.at, data, mask.to_bytes(size, field.order))


def _integer(field: Field, value: Value) -> int:
    """The integer that is meant, before it is shifted to its mask."""
    if field.texts:
        return number_of_text(field.texts, value)
    scaled = field.quantity.form == "scaled"
    try:
        number = descaled(finite(value), field.factor, field.offset, field.decimals, double=scaled)
    except OverflowError:
        raise Unwritable(f"{said(value)} does not fit type {field.type}") from None
    low, high = _limits(field)
    if not low <= number <= high:
        raise Unwritable(f"{said(value)} does not fit type {field.type}: its raw integer would be {number}")
    if scaled and abs(number) > EXACT:
        raise Unwritable(f"{said(value)} is not one raw integer: beyond 2^53 a double means several")
    return number


def _limits(field: Field) -> tuple[int, int]:
    if field.mask is not None:
        return 0, field.mask // (field.mask & -field.mask)
    kind = TYPES[field.type]
    bits = 8 * kind.size_bytes
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind.signed else (0, (1 << bits) - 1)


def _float(field: Field, value: Value) -> bytes:
    number = finite(value)
    meant = unscaled(number, field.factor, field.offset, field.decimals)
    code = TYPES[field.type].code
    if not code:
        return _medfloat16(field, number, meant).to_bytes(2, field.order)
    layout = struct.Struct(("<" if field.order == "little" else ">") + code)
    try:
        raw = float(meant)
        data = layout.pack(raw)
    except OverflowError:
        raise Unwritable(f"{said(value)} does not fit type {field.type}") from None
    (kept,) = layout.unpack(data)
    if raw and not kept:
        raise Unwritable(f"{said(value)} is too close to zero for type {field.type}")
    plain = (field.factor, field.offset, field.decimals) == (1, 0, 0)
    if plain and number == int(number) and kept != number:
        raise Unwritable(f"type {field.type} has no {said(value)}: the nearest is {kept!r}")
    return data


def _medfloat16(field: Field, value: int | float, meant: Fraction) -> int:
    """The pattern of a number to the base ten, its exponent as near to 0 as can be. Raises Unwritable."""
    for exponent in _EXPONENTS:
        mantissa = meant / Fraction(10) ** exponent
        if mantissa.denominator == 1 and int(mantissa) in _MANTISSAS:
            return int(mantissa) & 0xFFF | (exponent & 0xF) << 12
    near = sorted({_medfloat_value(field, each) for each in _neighbours(meant)})
    if len(near) < 2:
        raise Unwritable(f"{said(value)} does not fit type {field.type}")
    raise Unwritable(f"{said(value)} lies between {near[0]!r} and {near[-1]!r}, which can be written")


def _neighbours(meant: Fraction) -> list[int]:
    """The patterns just below and above, with the most digits that fit."""
    for exponent in range(-8, 8):
        below = floor(meant / Fraction(10) ** exponent)
        if below in _MANTISSAS and below + 1 in _MANTISSAS:
            return [number & 0xFFF | (exponent & 0xF) << 12 for number in (below, below + 1)]
    return []


def _medfloat_value(field: Field, pattern: int) -> float:
    number = medfloat16(pattern)
    assert number is not None, "neighbours are numbers"
    return (number * field.factor + field.offset) / int(10**field.decimals)


def _text(field: Field, value: Value, length: int | None) -> Patch:
    if not isinstance(value, str):
        raise Unwritable(f"{said(value)} is no text")
    if value.strip(" ") != value or "\0" in value:
        raise Unwritable("blanks around a text, and NULs in it, would not be read again")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise Unwritable(f"{value[error.start]!r} is not in UTF-8") from None
    size = field.length or (MAX_BYTES if length is None else length) - field.at
    if len(data) > size:
        raise Unwritable(f"the text has {len(data)} B in UTF-8, its place has {size}")
    if field.length or length is not None:
        data = data.ljust(size, b"\0")
    return Patch(field.at, data, b"\xff" * len(data), rest=not field.length)
