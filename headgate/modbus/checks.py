"""Whether a reply answers what was asked, byte for byte, and what it says; pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache

from headgate.modbus.client import ExceptionReply, WrongReply
from headgate.modbus.tags import BIT_TABLES, Table

FUNCTION_CODES: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""Of reading a table (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""
REFUSED = 0x80
"""Set in the function code of a reply that refuses the request."""


def data_bytes(table: Table, count: int) -> int:
    """How many bytes of data the reply to a read has."""
    return (count + 7) // 8 if table in BIT_TABLES else 2 * count


def read_reply(pdu: bytes, table: Table, count: int) -> Sequence[int]:
    """The registers, or at least `count` bits, of a reply's PDU. Raises WrongReply or ExceptionReply."""
    function, size = FUNCTION_CODES[table], data_bytes(table, count)
    if len(pdu) == 2 and pdu[0] == function | REFUSED:
        raise ExceptionReply(pdu[1])
    if not pdu or pdu[0] != function:
        raise WrongReply(f"reply with function code {pdu[0] if pdu else 'none'} instead of {function}")
    if len(pdu) != 2 + size or pdu[1] != size:
        named = pdu[1] if len(pdu) > 1 else 0
        raise WrongReply(f"reply with {len(pdu) - 2} B of data, named as {named} B, instead of {size}")
    if table in BIT_TABLES:
        return [bit for byte in pdu[2:] for bit in _BITS[byte]]
    return _registers(count).unpack_from(pdu, 2)


@cache
def _registers(count: int) -> struct.Struct:
    return struct.Struct(f">{count}H")


_BITS = [tuple(bool(byte >> bit & 1) for bit in range(8)) for byte in range(256)]
"""The bits of each byte, the lowest address in the least significant one."""
