"""What goes on the line to write, against the examples of the specification, and what confirms it."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.client import ExceptionReply, WrongReply
from headgate.modbus.puts import MASK, Put, check_write_reply, reply_bytes, write_request
from headgate.modbus.tags import Table

# Modbus Application Protocol V1.1b3, the examples of 6.5, 6.6, 6.11, 6.12: request and reply PDU.
PUBLISHED = [
    (Put("coil", 172, (1,)), "05 00 AC FF 00", "05 00 AC FF 00"),
    (Put("holding", 1, (3,)), "06 00 01 00 03", "06 00 01 00 03"),
    (
        Put("coil", 19, (1, 0, 1, 1, 0, 0, 1, 1, 1, 0)),
        "0F 00 13 00 0A 02 CD 01",
        "0F 00 13 00 0A",
    ),
    (Put("holding", 1, (10, 258)), "10 00 01 00 02 04 00 0A 01 02", "10 00 01 00 02"),
]


@pytest.mark.parametrize(("put", "request_pdu", "reply"), PUBLISHED)
def test_the_published_examples(put: Put, request_pdu: str, reply: str) -> None:
    assert bytes([put.function]) + write_request(put) == bytes.fromhex(request_pdu)
    check_write_reply(bytes.fromhex(reply), put)
    assert reply_bytes(put) == len(bytes.fromhex(reply)) - 1


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_mask_write_changes_its_bits_alone(present: int, mask: int, value: int) -> None:
    """What the device makes of it (6.16): (present AND and_mask) OR (or_mask AND NOT and_mask)."""
    put = Put("holding", 4, (value,), mask)
    assert put.function == MASK
    data = write_request(put)
    and_mask, or_mask = int.from_bytes(data[2:4]), int.from_bytes(data[4:6])
    result = present & and_mask | or_mask & ~and_mask & 0xFFFF
    assert result & mask == value & mask
    assert result & ~mask == present & ~mask
    check_write_reply(bytes([22]) + data, put)


def puts() -> st.SearchStrategy[Put]:
    registers = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=8)
    bits = st.lists(st.integers(0, 1), min_size=1, max_size=20)
    masks = st.one_of(st.none(), st.integers(0, 0xFFFF))

    def put(table: Table, values: list[int], mask: int | None, address: int, multiple: bool) -> Put:
        single = table == "holding" and len(values) == 1 and not multiple
        return Put(table, address, tuple(values), mask if single else None, multiple)

    assert set(get_args(Table)) >= {"coil", "holding"}
    return st.one_of(
        st.builds(put, st.just("holding"), registers, masks, st.integers(0, 65_000), st.booleans()),
        st.builds(put, st.just("coil"), bits, st.none(), st.integers(0, 65_000), st.booleans()),
    )


@given(puts(), st.data())
def test_no_other_reply_confirms_a_write(put: Put, data: st.DataObject) -> None:
    good = bytes([put.function]) + write_request(put)[: reply_bytes(put)]
    check_write_reply(good, put)
    at = data.draw(st.integers(0, len(good) - 1))
    other = bytearray(good)
    other[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((WrongReply, ExceptionReply)):
        check_write_reply(bytes(other), put)
    with pytest.raises(WrongReply):
        check_write_reply(good[: data.draw(st.integers(0, len(good) - 1))] or b"", put)
    with pytest.raises(WrongReply):
        check_write_reply(good + b"\0", put)


@pytest.mark.parametrize("code", range(1, 12))
def test_an_exception_is_one_of_this_function_alone(code: int) -> None:
    put = Put("holding", 1, (3,))
    with pytest.raises(ExceptionReply) as caught:
        check_write_reply(bytes([0x86, code]), put)
    assert caught.value.code == code
    with pytest.raises(WrongReply):
        check_write_reply(bytes([0x90, code]), put)
