"""What one transaction writes, as the PDU that asks for it and the reply that confirms it; pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from headgate.modbus.checks import REFUSED
from headgate.modbus.client import ExceptionReply, WrongReply
from headgate.modbus.tags import Table

COIL, REGISTER, COILS, REGISTERS, MASK = 5, 6, 15, 16, 22
"""Function codes (Modbus Application Protocol V1.1b3, 6.5, 6.6, 6.11, 6.12, 6.16)."""
WRITE_FUNCTIONS = (COIL, REGISTER, COILS, REGISTERS, MASK)
ON = 0xFF00
"""What function 5 has for a coil that is on."""


@dataclass(frozen=True, slots=True)
class Put:
    """What one transaction writes: coils, registers, or of one register the bits of `mask`.

    `multiple`: a single one is written by the function for several, which is all that some devices have.
    """

    table: Table
    address: int
    values: tuple[int, ...]
    mask: int | None = None
    multiple: bool = False

    @property
    def function(self) -> int:
        """The function code."""
        several = self.multiple or len(self.values) > 1
        if self.table == "coil":
            return COILS if several else COIL
        if self.mask is not None:
            return MASK
        return REGISTERS if several else REGISTER


def write_request(put: Put) -> bytes:
    """The PDU behind the function code."""
    match put.function:
        case 5:
            return struct.pack(">HH", put.address, ON if put.values[0] else 0)
        case 6:
            return struct.pack(">HH", put.address, put.values[0])
        case 22:
            mask = put.mask or 0
            return struct.pack(">HHH", put.address, ~mask & 0xFFFF, put.values[0] & mask)
        case 15:
            data = _bits(put.values)
        case _:
            data = struct.pack(f">{len(put.values)}H", *put.values)
    return struct.pack(">HHB", put.address, len(put.values), len(data)) + data


def reply_bytes(put: Put) -> int:
    """How many bytes stand behind the function code of a good reply; none of them counts the others."""
    return 6 if put.function == MASK else 4


def check_write_reply(pdu: bytes, put: Put) -> None:
    """Whether a reply's PDU confirms a write. Raises WrongReply or ExceptionReply.

    A good reply repeats the request, of several values their address and count.
    """
    function = put.function
    if len(pdu) == 2 and pdu[0] == function | REFUSED:
        raise ExceptionReply(pdu[1])
    if not pdu or pdu[0] != function:
        raise WrongReply(f"reply with function code {pdu[0] if pdu else 'none'} instead of {function}")
    expected = write_request(put)[: reply_bytes(put)]
    if pdu[1:] != expected:
        raise WrongReply(f"reply {pdu[1:].hex(' ')} to a write of {expected.hex(' ')}")


def _bits(values: Sequence[int]) -> bytes:
    """Bits in bytes, the lowest address in the least significant bit of the first."""
    packed = sum(1 << i for i, value in enumerate(values) if value)
    return packed.to_bytes((len(values) + 7) // 8, "little")
