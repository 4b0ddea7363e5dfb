"""Questions to a device about itself (FC 43/14, FC 17): requests, lengths of replies, what they say; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from headgate.modbus.client import WrongReply

SERVER_ID: Final = 17
ENCAPSULATED: Final = 43
DEVICE_IDENTIFICATION = 14
"""Function codes, and the one MEI type of 43 that is asked (V1.1b3, 6.13, 6.19 and 6.21)."""
BASIC: Final = 1
REGULAR: Final = 2
EXTENDED: Final = 3
"""Read device id codes: streams of objects, each with those of the former (6.21)."""
Code = Literal[1, 2, 3]
OBJECT_NAMES: Mapping[int, str] = {
    0: "vendor_name",
    1: "product_code",
    2: "revision",
    3: "vendor_url",
    4: "product_name",
    5: "model_name",
    6: "user_application_name",
}
"""Objects that the standard names (6.21); others are the vendor's own, from 0x80 on."""
_HEADER = 7
"""Bytes before the objects: function, MEI type, code, conformity, more follows, next object, count."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked: function 43/14 for objects from `first` on, or function 17."""

    function: Literal[17, 43]
    code: Code = BASIC
    first: int = 0

    @property
    def data(self) -> bytes:
        """The PDU behind the function code."""
        if self.function == SERVER_ID:
            return b""
        return bytes((DEVICE_IDENTIFICATION, self.code, self.first))

    def reply_bytes(self, start: bytes) -> int:
        """How long the PDU is of a good reply that starts like this; 0 while it does not show, or is none."""
        if self.function == SERVER_ID:
            return 2 + start[1] if len(start) > 1 else 0
        if len(start) < _HEADER or start[1] != DEVICE_IDENTIFICATION or start[2] != self.code:
            return 0
        at = _HEADER
        for _ in range(start[6]):
            if len(start) < at + 2:
                return 0
            at += 2 + start[at + 1]
        return at


ASK_SERVER_ID = Inquiry(SERVER_ID)


@dataclass(frozen=True, slots=True)
class Objects:
    """One reply to 43/14: objects by their ids, and from where to ask on, None at the end.

    `conformity`: the greatest code that the device knows (bit 0x80: objects can be asked for one by one).
    """

    objects: Mapping[int, bytes]
    next_object: int | None
    conformity: int


def read_objects(pdu: bytes, asked: Inquiry) -> Objects:
    """The objects of a reply's PDU. Raises WrongReply."""
    if not pdu or asked.reply_bytes(pdu) != len(pdu):
        raise WrongReply(f"reply of {len(pdu)} B that is no whole device identification")
    objects, at = {}, _HEADER
    for _ in range(pdu[6]):
        end = at + 2 + pdu[at + 1]
        objects[pdu[at]] = pdu[at + 2 : end]
        at = end
    more = pdu[4] == 0xFF
    if more and pdu[5] <= asked.first:
        raise WrongReply(f"more objects from {pdu[5]} on, after those from {asked.first} on")
    return Objects(objects, pdu[5] if more else None, pdu[3])


def read_server_id(pdu: bytes) -> bytes:
    """What a device says to function 17, which is its own affair. Raises WrongReply."""
    if not pdu or ASK_SERVER_ID.reply_bytes(pdu) != len(pdu):
        raise WrongReply(f"reply of {len(pdu)} B that is no whole server id")
    return pdu[2:]
