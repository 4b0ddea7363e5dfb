"""BTHome devices say the same objects over and over: packets are read by the form of those before."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from headgate.ble.decoders.bthome_objects import NUMBERS, PACKET_ID
from headgate.ble.decoders.quantity import Packet

ReadObjects = Callable[[bytes, int, int | None], Packet]
"""Reads objects from a place to the end, one by one; a packet's counter passes through it."""
_CODES = {1: "B", 2: "H", 4: "I"}
MAX_FORMS = 8
"""Of one length; those that were met last."""


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Integers of so many bytes after their ids, all at once: `layout` gives id, integer, id, integer, ...

    `count_at`: which one is the packet's id; -1 where none is.
    """

    layout: struct.Struct
    ids: tuple[int, ...]
    tags: tuple[str, ...]
    count_at: int


class Forms:
    """Decodes objects by a form where one fits, else with `read`, after which there is a form of it.

    One for all devices: what few of them share stays in the machine's caches.
    """

    def __init__(self, read: ReadObjects) -> None:
        self._read = read
        self._by_size: dict[int, tuple[Form, ...]] = {}

    def decode(self, data: bytes, at: int, counter: int | None) -> Packet:
        """The packet of what lies in `data` from `at` on. Raises Reject as `read` does."""
        for form in self._by_size.get(len(data) - at, ()):
            found = form.layout.unpack_from(data, at)
            if found[::2] == form.ids:
                raws = found[1::2]
                count_at = form.count_at
                return Packet(form.tags, raws, raws[count_at] if count_at >= 0 else None, counter)
        packet = self._read(data, at, counter)
        learnt = _form(_ids(data, at)) if packet.unknown is None else None
        if learnt is not None:
            size = len(data) - at
            self._by_size[size] = (learnt, *self._by_size.get(size, ()))[:MAX_FORMS]
        return packet


def _ids(data: bytes, at: int) -> tuple[int, ...]:
    """The ids of objects that are an integer each; none where there is any other."""
    ids = []
    while at < len(data):
        known = NUMBERS.get(data[at])
        if known is None:
            return ()
        ids.append(data[at])
        at += 1 + known.size_bytes
    return tuple(ids)


@lru_cache(256)
def _form(ids: tuple[int, ...]) -> Form | None:
    """The same object for devices of one kind; None where an integer is no raw as it lies there."""
    objects = [NUMBERS[number] for number in ids]
    tags = tuple(each.tag for each in objects)
    if (
        not ids
        or len(set(tags)) < len(tags)
        or any(each.factor != 1 or each.size_bytes not in _CODES for each in objects)
    ):
        return None
    codes = [_CODES[each.size_bytes] for each in objects]
    codes = [code.lower() if each.signed else code for code, each in zip(codes, objects, strict=True)]
    count_at = tags.index(PACKET_ID) if PACKET_ID in tags else -1
    return Form(struct.Struct("<" + "".join(f"B{code}" for code in codes)), ids, tags, count_at)
