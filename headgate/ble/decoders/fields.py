"""Values at fixed places in bytes: their types, and what compiles a list of them into a decoder."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.ble.decoders.quantity import Packet, Quantity, Raw
from headgate.errors import Reject

ByteOrder = Literal["big", "little"]
ORDERS: tuple[ByteOrder, ...] = ("little", "big")
Family = Literal["integer", "float", "bit", "string"]


@dataclass(frozen=True, slots=True)
class FieldType:
    """How a value lies in bytes: how many (0: all that are left), and its `struct` code if it is a float."""

    size_bytes: int
    family: Family = "integer"
    signed: bool = False
    code: str = ""


TYPES: Mapping[str, FieldType] = {
    **{f"uint{8 * size}": FieldType(size) for size in (1, 2, 3, 4, 6, 8)},
    **{f"int{8 * size}": FieldType(size, signed=True) for size in (1, 2, 3, 4, 6, 8)},
    "float16": FieldType(2, "float", code="e"),
    "float32": FieldType(4, "float", code="f"),
    "float64": FieldType(8, "float", code="d"),
    "medfloat16": FieldType(2, "float"),
    "bit": FieldType(1, "bit"),
    "string": FieldType(0, "string"),
}
"""`medfloat16` is IEEE 11073's SFLOAT: an exponent of 4 bits and a mantissa of 12, to the base ten."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value: where it lies, and how its raw is made from what lies there.

    raw = integer * factor + offset (of a float: value = (float * factor + offset) / 10^decimals of its
    `quantity`, at once). `bit`: from 0, the least significant. `length`: bytes of a string, 0 for the rest.
    `mask`: what of the integer counts, shifted down to its lowest bit. `texts` of an enumeration.
    `not_available`: integers, as the type reads them (of a float: its bit pattern), that stand for no value.
    """

    quantity: Quantity
    type: str
    at: int = 0
    order: ByteOrder = "little"
    bit: int = 0
    length: int = 0
    mask: int | None = None
    factor: int = 1
    offset: int = 0
    decimals: int = 0
    texts: tuple[tuple[int, str], ...] = ()
    not_available: frozenset[int] = frozenset()

    @property
    def end(self) -> int:
        """How many bytes there must be."""
        return self.at + (TYPES[self.type].size_bytes or self.length)


Read = Callable[[bytes], Raw]


def compile_fields(
    name: str, fields: Sequence[Field], length: int | None = None, packet_id: str = ""
) -> Callable[[bytes], Packet]:
    """A decoder of bytes of `length` (None: of enough), which are called `name` where it raises Reject.

    `packet_id`: the tag of the field that counts packets.
    """
    plain = [(field.quantity.tag, _reader(field)) for field in fields if not field.texts]
    named = [(field.quantity.tag, _reader(field), dict(field.texts)) for field in fields if field.texts]
    least = max((field.end for field in fields), default=0)
    wanted = f"{least} B or more" if length is None else f"{length} B"

    def decode(data: bytes) -> Packet:
        if len(data) < least or (length is not None and len(data) != length):
            raise Reject(f"{name}: {len(data)} B {data[:8].hex()}, expected {wanted}")
        raws = {tag: read(data) for tag, read in plain}
        doubtful: list[str] = []
        for tag, read, texts in named:
            number = read(data)
            if isinstance(number, int):
                raws[tag] = texts.get(number, str(number))
                if number not in texts:
                    doubtful.append(tag)
            else:
                raws[tag] = number
        count = raws.get(packet_id)
        return Packet.of(raws, count if isinstance(count, int) else None, None, None, "", doubtful)

    return decode


def medfloat16(pattern: int) -> float | None:
    """The value of an IEEE 11073 SFLOAT; None for NaN, infinities, NRes and what is reserved."""
    mantissa, exponent = pattern & 0xFFF, pattern >> 12
    if exponent == 0 and 0x7FE <= mantissa <= 0x802:
        return None
    mantissa -= (mantissa & 0x800) << 1
    exponent -= (exponent & 0x8) << 1
    value: float = mantissa * 10**exponent if exponent >= 0 else mantissa / 10**-exponent
    return value


def _reader(field: Field) -> Read:
    kind = TYPES[field.type]
    if kind.family == "string":
        return _string(field)
    if kind.family == "bit":
        at, probe = field.at, 1 << field.bit
        return lambda data: int(data[at] & probe != 0)
    return _float(field, kind) if kind.family == "float" else _integer(field, kind)


def _string(field: Field) -> Read:
    start, stop = field.at, field.at + field.length if field.length else None

    def read(data: bytes) -> Raw:
        try:
            return data[start:stop].decode().partition("\0")[0].strip(" ")
        except UnicodeDecodeError:
            return None

    return read


def _integer(field: Field, kind: FieldType) -> Read:
    start, stop, order, signed = field.at, field.at + kind.size_bytes, field.order, kind.signed
    none, factor, offset, mask = field.not_available, field.factor, field.offset, field.mask
    shift = 0 if mask is None else (mask & -mask).bit_length() - 1

    def read(data: bytes) -> Raw:
        number = int.from_bytes(data[start:stop], order, signed=signed)
        if number in none:
            return None
        if mask is not None:
            number = (number & mask) >> shift
        return number * factor + offset

    return read


def _float(field: Field, kind: FieldType) -> Read:
    start, stop, order, none = field.at, field.at + kind.size_bytes, field.order, field.not_available
    factor, offset, divisor = field.factor, field.offset, 10**field.decimals
    layout = struct.Struct(("<" if order == "little" else ">") + kind.code) if kind.code else None

    def read(data: bytes) -> Raw:
        content = data[start:stop]
        pattern = int.from_bytes(content, order)
        if pattern in none:
            return None
        number: float | None = layout.unpack(content)[0] if layout else medfloat16(pattern)
        if number is None or not math.isfinite(number):
            return None
        value = (number * factor + offset) / divisor
        return value if math.isfinite(value) else None

    return read
