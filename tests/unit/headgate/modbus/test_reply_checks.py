"""Replies byte for byte: only what answers the question is data, and frames are found amid noise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from headgate.modbus.checks import data_bytes, read_reply
from headgate.modbus.client import ExceptionReply, WrongReply
from headgate.modbus.framing import AsciiFramer, RtuFramer, TcpFramer
from headgate.modbus.tags import BIT_TABLES, TABLES, Table


def rtu(unit: int, pdu: bytes) -> bytes:
    frame = bytes([unit]) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def registers(*values: int) -> bytes:
    return struct.pack(f">BB{len(values)}H", 3, 2 * len(values), *values)


def test_registers_and_bits() -> None:
    assert tuple(read_reply(registers(1, 65_535), "holding", 2)) == (1, 65_535)
    assert list(read_reply(b"\x01\x02\x05\x80", "coil", 9))[:9] == [True, False, True] + [False] * 6
    assert list(read_reply(b"\x02\x01\xff", "discrete", 3)) == [True] * 8


@pytest.mark.parametrize(
    "pdu",
    [
        b"",
        b"\x03",
        b"\x03\x04",
        registers(1),
        registers(1, 2, 3),
        registers(1, 2) + b"\x00",  # more than the byte count says
        registers(1, 2)[:-1],
        b"\x03\x05" + registers(1, 2)[2:] + b"\x00",  # an odd count, of which pymodbus makes two registers
        b"\x03\x02" + registers(1, 2)[2:],
        b"\x04" + registers(1, 2)[1:],
        b"\x84\x02",
        b"\x83",
        b"\x83\x02\x00",
    ],
)
def test_anything_else_is_no_answer(pdu: bytes) -> None:
    with pytest.raises(WrongReply):
        read_reply(pdu, "holding", 2)


def test_bits_with_a_wrong_byte_count_are_no_answer() -> None:
    with pytest.raises(WrongReply, match="named as 1 B"):
        read_reply(b"\x01\x01\x05\x80", "coil", 9)


@pytest.mark.parametrize("code", range(256))
def test_every_exception_code_is_told(code: int) -> None:
    with pytest.raises(ExceptionReply, match=f"exception {code}, ") as caught:
        read_reply(bytes([0x83, code]), "holding", 2)
    assert caught.value.code == code


@given(st.sampled_from(TABLES), st.integers(1, 125), st.binary(max_size=260))
def test_data_is_taken_only_of_the_right_size(table: Table, count: int, pdu: bytes) -> None:
    try:
        data = read_reply(pdu, table, count)
    except (WrongReply, ExceptionReply):
        return
    assert len(pdu) == 2 + data_bytes(table, count)
    assert len(data) == (8 * pdu[1] if table in BIT_TABLES else count)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_an_rtu_reply_is_found_amid_noise(before: bytes, behind: bytes) -> None:
    framer = RtuFramer()
    framer.expect(7, 3, 4)
    frame = rtu(7, registers(1, 2))
    used, unit, _, pdu = framer.decode(before + frame + behind)
    assert (unit, pdu) == (7, registers(1, 2))
    assert used == len(before + frame)


@pytest.mark.parametrize(
    "frame",
    [
        rtu(8, registers(1, 2)),
        rtu(7, registers(1)),
        rtu(7, registers(1, 2, 3)),
        rtu(7, b"\x04" + registers(1, 2)[1:]),
        rtu(7, registers(1, 2))[:-1],
        rtu(7, registers(1, 2))[:-1] + b"\x00",
        b"",
    ],
)
def test_what_is_not_waited_for_is_no_frame(frame: bytes) -> None:
    framer = RtuFramer()
    framer.expect(7, 3, 4)
    assert framer.decode(frame) == (0, 0, 0, b"")


def test_an_rtu_exception_is_found() -> None:
    framer = RtuFramer()
    framer.expect(7, 3, 4)
    assert framer.decode(rtu(7, b"\x83\x02")) == (5, 7, 0, b"\x83\x02")


def test_tcp_frames_are_taken_one_by_one() -> None:
    framer = TcpFramer()
    frame = struct.pack(">HHHB", 5, 0, 7, 9) + registers(1, 2)
    assert framer.decode(frame + frame) == (len(frame), 9, 5, registers(1, 2))
    for cut in range(len(frame)):
        assert framer.decode(frame[:cut]) == (0, 0, 0, b"")


@pytest.mark.parametrize(
    "header", [b"\x00\x05\x00\x01\x00\x07\x09", b"\x00\x05\x00\x00\x00\x02\x09", b"\xff" * 9]
)
def test_what_is_no_modbus_tcp_is_refused_at_once(header: bytes) -> None:
    with pytest.raises(ValueError, match="no Modbus TCP header"):
        TcpFramer().decode(header)


def ascii_frame(unit: int, pdu: bytes) -> bytes:
    body = bytes([unit]) + pdu
    return b":" + (body + bytes([-sum(body) & 0xFF])).hex().upper().encode() + b"\r\n"


@pytest.mark.parametrize(
    "noise", [b"", b"\xff\x00", b":", b":zz\r\n", b":0703", ascii_frame(7, b"\x03\x00")[:-3] + b"0\r\n"]
)
def test_an_ascii_reply_is_found_amid_noise(noise: bytes) -> None:
    frame = ascii_frame(7, registers(1, 2))
    assert AsciiFramer().decode(noise + frame + noise) == (len(noise + frame), 7, 0, registers(1, 2))


@pytest.mark.parametrize("frame", [b":7A010179\nB\r\n", b":7A0101 8\r\n", b":7A\r\n", b":0700F\r\n"])
def test_what_is_not_all_digits_or_no_sum_is_no_ascii_frame(frame: bytes) -> None:
    assert AsciiFramer().decode(frame) == (len(frame), 0, 0, b"")
