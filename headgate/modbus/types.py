"""The words for a value in a Modbus table: its type, how it lies in registers, what its raw integer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from headgate.model import Kind

ByteOrder = Literal["big", "little"]
ORDERS: tuple[ByteOrder, ...] = ("big", "little")
Encoding = Literal["ascii", "utf-8", "latin-1"]
ENCODINGS: tuple[Encoding, ...] = ("ascii", "utf-8", "latin-1")
Family = Literal["bool", "bit", "integer", "bcd", "float", "string"]

EXACT = 1 << 53
"""Integers up to here are exact as a double (IEEE 754 binary64)."""
MAX_DECIMALS = 15
"""Most decimals of a series: so many digits a double keeps."""


@dataclass(frozen=True, slots=True)
class RegisterType:
    """How a value lies in registers: how many, its `struct` code (first byte first), its kind unscaled.

    `bits`: width of the raw integer or bit pattern. A string's registers are counted by the tag.
    """

    registers: int
    code: str
    kind: Kind
    family: Family
    bits: int

    @property
    def signed(self) -> bool:
        """Whether the raw integer is in two's complement."""
        return self.family == "integer" and self.code.strip("x").islower()


BOOL: Literal["bool"] = "bool"
"""The one type of a coil or discrete input."""
TYPES: Mapping[str, RegisterType] = {
    "uint16": RegisterType(1, "H", "i64", "integer", 16),
    "int16": RegisterType(1, "h", "i64", "integer", 16),
    "uint32": RegisterType(2, "I", "i64", "integer", 32),
    "int32": RegisterType(2, "i", "i64", "integer", 32),
    "uint64": RegisterType(4, "Q", "u64", "integer", 64),
    "int64": RegisterType(4, "q", "i64", "integer", 64),
    "uint8_high": RegisterType(1, "Bx", "i64", "integer", 8),
    "uint8_low": RegisterType(1, "xB", "i64", "integer", 8),
    "int8_high": RegisterType(1, "bx", "i64", "integer", 8),
    "int8_low": RegisterType(1, "xb", "i64", "integer", 8),
    "float16": RegisterType(1, "e", "f64", "float", 16),
    "float32": RegisterType(2, "f", "f64", "float", 32),
    "float64": RegisterType(4, "d", "f64", "float", 64),
    "bit": RegisterType(1, "H", "bool", "bit", 16),
    "bcd16": RegisterType(1, "H", "i64", "bcd", 16),
    "bcd32": RegisterType(2, "I", "i64", "bcd", 32),
    "bcd64": RegisterType(4, "Q", "i64", "bcd", 64),
    "string": RegisterType(0, "s", "text", "string", 0),
}
"""The types of a value in registers."""
_BOOL_TYPE = RegisterType(1, "?", "bool", "bool", 1)


@dataclass(frozen=True, slots=True)
class Scaling:
    """value = (raw * factor + offset) / 10^decimals, with one rounding to the nearest double."""

    factor: int = 1
    offset: int = 0
    decimals: int = 0

    @classmethod
    def of(cls, scale: Decimal, offset: Decimal) -> Scaling:
        """The scaling raw * scale + offset: exact, because whatever is written in digits is a decimal."""
        decimals = max(0, -_exponent(scale), -_exponent(offset))
        ten = Decimal(10) ** decimals
        return cls(int(scale * ten), int(offset * ten), decimals)


@dataclass(frozen=True, slots=True)
class Form:
    """How one value lies in its registers (or its bit), and what the raw integer there means.

    `byte_order` is that of the bytes in a register, `word_order` that of the registers. `bit`: from 0, the
    least significant. `length`: registers of a string. `mask`: what of the integer counts, shifted down to
    its lowest bit. `values`: texts of an enumeration. `not_available`: raw integers, as the type reads them
    (of a float: its bit pattern; of a string 0 for all NUL), that stand for no value. `scaled`: its power of
    ten is in another register, so it is an integer here and any decimal as a value.
    """

    type: str
    byte_order: ByteOrder = "big"
    word_order: ByteOrder = "big"
    bit: int = 0
    length: int = 0
    encoding: Encoding = "ascii"
    mask: int | None = None
    scaling: Scaling | None = None
    values: tuple[tuple[int, str], ...] = ()
    not_available: frozenset[int] = frozenset()
    scaled: bool = False

    @property
    def register_type(self) -> RegisterType:
        """The entry of the type in the table."""
        return TYPES.get(self.type, _BOOL_TYPE)

    @property
    def count(self) -> int:
        """Registers, or bits of a bit table, that the value takes."""
        return self.length if self.type == "string" else self.register_type.registers

    @property
    def kind(self) -> Kind:
        """The series' kind: text where there are texts, f64 when scaled, else the type's own."""
        if self.values:
            return "text"
        return "f64" if self.scaled or self.scaling is not None else self.register_type.kind

    @property
    def decimals(self) -> int | None:
        """The series' decimals: those of a scaled integer, as far as a double has them."""
        if self.scaling is None or self.register_type.family == "float":
            return None
        return self.scaling.decimals if self.scaling.decimals <= MAX_DECIMALS else None


def _exponent(number: Decimal) -> int:
    """The power of ten of a finite number's last digit that is not zero."""
    exponent = number.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
