"""Register types as a table, and the decoder that turns one response into the values of its tags."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import itemgetter

from headgate.model import Kind, Quality, Value


@dataclass(frozen=True, slots=True)
class RegisterType:
    """How a value lies in registers: how many, its `struct` code (high word first), its kind unscaled."""

    registers: int
    code: str
    kind: Kind


TYPES: dict[str, RegisterType] = {
    "uint16": RegisterType(1, "H", "i64"),
    "int16": RegisterType(1, "h", "i64"),
    "uint32": RegisterType(2, "I", "i64"),
    "int32": RegisterType(2, "i", "i64"),
    "uint64": RegisterType(4, "Q", "u64"),
    "int64": RegisterType(4, "q", "i64"),
    "float32": RegisterType(2, "f", "f64"),
    "float64": RegisterType(4, "d", "f64"),
}
BOOL = "bool"
"""The one type of a coil or discrete input."""


@dataclass(frozen=True, slots=True)
class Field:
    """One tag inside a response: its offset from the response's first register or bit, and its meaning."""

    offset: int
    type: str
    decimals: int | None = None


Decode = Callable[[Sequence[int]], tuple[Sequence[Value], Sequence[int]]]
"""Turns the registers (or bits) of one response into values and qualities; no qualities: all good."""


def scaled(raw: int, decimals: int) -> float:
    """The double nearest to raw / 10^decimals: Python divides integers with one rounding."""
    return raw / int(10**decimals)


def make_decoder(fields: Sequence[Field], count: int) -> Decode:
    """A decoder for responses of `count` registers or bits, worked out once for all of them."""
    if all(field.type == BOOL for field in fields):
        return _bits(fields)
    unpack = _unpacker(fields, count)
    divisors = [None if field.decimals is None else 10**field.decimals for field in fields]
    floats = [i for i, field in enumerate(fields) if TYPES[field.type].code in "fd"]
    scales = any(divisor is not None for divisor in divisors)

    def decode(registers: Sequence[int]) -> tuple[Sequence[Value], Sequence[int]]:
        raw = unpack(registers)
        if scales:
            values: Sequence[Value] = [
                value if divisor is None else value / divisor
                for value, divisor in zip(raw, divisors, strict=True)
            ]
        else:
            values = raw
        if floats and not all(isfinite(raw[i]) for i in floats):
            return _without_non_finite(values, floats)
        return values, ()

    return decode


def _bits(fields: Sequence[Field]) -> Decode:
    offsets = [field.offset for field in fields]

    def decode(bits: Sequence[int]) -> tuple[Sequence[Value], Sequence[int]]:
        return [bool(bits[offset]) for offset in offsets], ()

    return decode


def _unpacker(fields: Sequence[Field], count: int) -> Callable[[Sequence[int]], Sequence[float]]:
    """From registers to raw values in the fields' order."""
    offsets = [field.offset for field in fields]
    if all(field.type == "uint16" for field in fields):
        if offsets == list(range(count)):
            return list
        if len(offsets) == 1:
            return lambda registers: (registers[offsets[0]],)
        return itemgetter(*offsets)
    pack = struct.Struct(f">{count}H").pack
    layers = [(_layout(fields, layer, count), layer) for layer in _layers(fields)]
    if len(layers) == 1:
        unpack = layers[0][0].unpack
        return lambda registers: unpack(pack(*registers))
    places = [i for _, layer in layers for i in layer]
    order = itemgetter(*(places.index(i) for i in range(len(fields))))

    def unpack_layers(registers: Sequence[int]) -> Sequence[float]:
        data = pack(*registers)
        raw: list[float] = []
        for layout, _ in layers:
            raw += layout.unpack(data)
        return order(raw)  # type: ignore[no-any-return]  # several getters: a tuple of what raw holds

    return unpack_layers


def _layers(fields: Sequence[Field]) -> list[list[int]]:
    """Indexes of fields, grouped so that those of one group do not overlap and ascend."""
    layers: list[list[int]] = []
    ends: list[int] = []
    for i in sorted(range(len(fields)), key=lambda i: fields[i].offset):
        field = fields[i]
        layer = next((n for n, end in enumerate(ends) if end <= field.offset), len(layers))
        if layer == len(layers):
            layers.append([])
            ends.append(0)
        layers[layer].append(i)
        ends[layer] = field.offset + TYPES[field.type].registers
    # One layer in the fields' own order needs no re-ordering; a field list out of order gets its own layers.
    if len(layers) == 1 and layers[0] != list(range(len(fields))):
        return [[i] for i in range(len(fields))]
    return layers


def _layout(fields: Sequence[Field], layer: Sequence[int], count: int) -> struct.Struct:
    form, at = ">", 0
    for i in layer:
        field = fields[i]
        kind = TYPES[field.type]
        form += f"{2 * (field.offset - at)}x{kind.code}"
        at = field.offset + kind.registers
    return struct.Struct(f"{form}{2 * (count - at)}x")


def _without_non_finite(
    values: Sequence[Value], floats: Sequence[int]
) -> tuple[Sequence[Value], Sequence[int]]:
    clean = list(values)
    quality = [int(Quality.GOOD)] * len(clean)
    for i in floats:
        value = clean[i]
        if isinstance(value, float) and not isfinite(value):
            clean[i] = None
            quality[i] = int(Quality.BAD_VALUE)
    return clean, quality
