"""The same registers in every order of bytes and words: the right one shows itself; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.forms import LETTERS
from headgate.modbus.types import TYPES, Form
from headgate.model import Value

TYPES_TRIED = {
    1: ("uint16", "int16"),
    2: ("uint32", "int32", "float32"),
    4: ("uint64", "int64", "float64"),
}
"""What a stretch of so many registers may be, where nobody says."""


@dataclass(frozen=True, slots=True)
class InOrder:
    """What registers would say in one order, by type; None is no value."""

    order: str
    values: dict[str, Value]


def in_all_orders(registers: Sequence[int], form: Form | None) -> list[InOrder]:
    """Registers of one value in each order; `form`: what it is, else every type that fits is tried."""
    count = len(registers)
    if form is not None:
        forms = {form.type: form}
    else:
        forms = {name: Form(name) for name in TYPES_TRIED.get(count, ())}
    found = []
    for letters, orders in LETTERS.items():
        if len(letters) != 2 * count:
            continue
        values: dict[str, Value] = {}
        for name, each in forms.items():
            if TYPES[name].family == "string":
                continue
            turned = replace(each, byte_order=orders.byte_order, word_order=orders.word_order)
            decoded, _ = make_decoder([Field(0, turned)], count)(registers)
            values[name] = decoded[0]
        found.append(InOrder(letters, values))
    return found
