"""From the registers of one response to raw values: the fewest `struct` calls that read every place in it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from headgate.modbus.types import ByteOrder

Unpack = Callable[[Sequence[int]], Sequence[Any]]
"""From a response's registers to one raw value (int, float or bytes) per place, in the places' order."""


@dataclass(frozen=True, slots=True)
class Place:
    """Registers of a response that are one value: `code` as in `struct`, for bytes that come high first."""

    offset: int
    registers: int
    code: str
    byte_order: ByteOrder = "big"
    word_order: ByteOrder = "big"


@dataclass(frozen=True, slots=True)
class _Mode:
    """Registers are packed to bytes one way (`>`: high byte first) and read another: that makes any order.

    Registers AB CD packed by `>` are ABCD, by `<` BADC; each of them is read from its front or its back.
    """

    pack: str
    read: str


_MODES: dict[tuple[ByteOrder, ByteOrder], _Mode] = {
    ("big", "big"): _Mode(">", ">"),
    ("little", "little"): _Mode(">", "<"),
    ("big", "little"): _Mode("<", "<"),
    ("little", "big"): _Mode("<", ">"),
}
"""By byte order and word order; those that are packed alike stand together."""


def make_unpack(places: Sequence[Place], count: int) -> Unpack:
    """An unpacker for responses of `count` registers, worked out once for all of them."""
    whole = [place.offset for place in places]
    if all(place.code == "H" and place.byte_order == "big" for place in places):
        return list if whole == list(range(count)) else picker(whole)
    words = _common_word_order(places)
    distinct = sorted(dict.fromkeys(places), key=lambda place: place.offset)
    groups: dict[_Mode, list[list[Place]]] = {mode: [] for mode in _MODES.values()}
    for place in distinct:
        _put(groups[_mode(place, words)], place)
    read = [place for layers in groups.values() for layer in layers for place in layer]
    found = {place: i for i, place in enumerate(read)}
    order = [found[place] for place in places]
    pick = None if order == list(range(len(read))) else picker(order)
    layouts = [(mode, _layout(layer, mode, count)) for mode, layers in groups.items() for layer in layers]
    if len(layouts) == 1:
        return _one(layouts[0][0], layouts[0][1], pick, count)
    return _several(layouts, pick, count)


def _one(mode: _Mode, layout: struct.Struct, pick: Unpack | None, count: int) -> Unpack:
    pack, unpack = struct.Struct(f"{mode.pack}{count}H").pack, layout.unpack
    if pick is None:
        return lambda registers: unpack(pack(*registers))
    return lambda registers: pick(unpack(pack(*registers)))


def _several(layouts: Sequence[tuple[_Mode, struct.Struct]], pick: Unpack | None, count: int) -> Unpack:
    steps = [
        (
            struct.Struct(f"{way}{count}H").pack,
            [layout.unpack for mode, layout in layouts if mode.pack == way],
        )
        for way in dict.fromkeys(mode.pack for mode, _ in layouts)
    ]

    def unpack(registers: Sequence[int]) -> Sequence[Any]:
        raw: list[Any] = []
        for pack, reads in steps:
            data = pack(*registers)
            for read in reads:
                raw += read(data)
        return raw if pick is None else pick(raw)

    return unpack


def picker(indexes: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Takes the items at these indexes out of a sequence."""
    if len(indexes) == 1:
        (only,) = indexes
        return lambda items: (items[only],)
    return itemgetter(*indexes)


def _common_word_order(places: Sequence[Place]) -> ByteOrder:
    """The word order in which single registers are read as well, so that one layout does for all."""
    found = {place.word_order for place in places if place.registers > 1 and not _is_text(place)}
    return "little" if found == {"little"} else "big"


def _mode(place: Place, words: ByteOrder) -> _Mode:
    if _is_text(place):
        return _MODES[place.byte_order, "big"]  # a text's registers are in order
    return _MODES[place.byte_order, words if place.registers == 1 else place.word_order]


def _put(layers: list[list[Place]], place: Place) -> None:
    """Add a place to the first layer that it does not overlap; places come by ascending offset."""
    for layer in layers:
        if layer[-1].offset + layer[-1].registers <= place.offset:
            layer.append(place)
            return
    layers.append([place])


def _layout(layer: Sequence[Place], mode: _Mode, count: int) -> struct.Struct:
    form, at = mode.read, 0
    for place in layer:
        # A half of a register: which of its two bytes comes first depends on the way of reading.
        code = place.code if mode.read == ">" or _is_text(place) else place.code[::-1]
        form += f"{2 * (place.offset - at)}x{code}"
        at = place.offset + place.registers
    return struct.Struct(f"{form}{2 * (count - at)}x")


def _is_text(place: Place) -> bool:
    return place.code.endswith("s")
