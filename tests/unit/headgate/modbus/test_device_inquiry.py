"""Replies to FC 43/14 and 17: their lengths, what they say, their frames amid noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.client import WrongReply
from headgate.modbus.framing import RtuFramer
from headgate.modbus.inquiry import ASK_SERVER_ID, BASIC, ENCAPSULATED, Inquiry, read_objects, read_server_id
from tests.support.modbus_peer import crc16

ASK = Inquiry(ENCAPSULATED, BASIC, 0)
# Modbus Application Protocol V1.1b3, 6.21, the example: basic objects of a device, all in one reply.
EXAMPLE = (
    bytes.fromhex("2b 0e 01 01 00 00 03")
    + bytes((0, 0x16))
    + b"Company identification"
    + bytes((1, 0x0D))
    + b"Product code "
    + bytes((2, 0x05))
    + b"V2.11"
)
OBJECTS = st.dictionaries(st.integers(0, 255), st.binary(max_size=40), max_size=5)


def reply(objects: dict[int, bytes], *, more: int = 0, following: int = 0, code: int = BASIC) -> bytes:
    body = b"".join(bytes((number, len(value))) + value for number, value in objects.items())
    return bytes((43, 14, code, 0x83, more, following, len(objects))) + body


def test_the_example_of_the_standard() -> None:
    said = read_objects(EXAMPLE, ASK)
    assert said.objects == {0: b"Company identification", 1: b"Product code ", 2: b"V2.11"}
    assert (said.next_object, said.conformity) == (None, 1)
    assert bytes((43,)) + ASK.data == bytes.fromhex("2b 0e 01 00")


def test_more_follows_from_where_it_says() -> None:
    assert read_objects(reply({0: b"A"}, more=0xFF, following=1), ASK).next_object == 1


@pytest.mark.parametrize(
    ("pdu", "why"),
    [
        (reply({0: b"A"}) + b"x", "no whole"),
        (reply({0: b"ABC"})[:-1], "no whole"),
        (reply({0: b"A"}, code=2), "no whole"),
        (bytes((43, 13)) + reply({0: b"A"})[2:], "no whole"),
        (b"\x2b", "no whole"),
        (reply({0: b"A"}, more=0xFF, following=0), "more objects from 0 on, after those from 0 on"),
    ],
)
def test_what_is_no_identification_is_refused(pdu: bytes, why: str) -> None:
    with pytest.raises(WrongReply, match=why):
        read_objects(pdu, ASK)


def test_a_server_id_is_its_bytes() -> None:
    assert read_server_id(b"\x11\x03\x07\xff!") == b"\x07\xff!"
    for wrong in (b"", b"\x11", b"\x11\x02a", b"\x11\x00a"):
        with pytest.raises(WrongReply):
            read_server_id(wrong)


@given(OBJECTS, st.integers(0, 300))
def test_the_length_shows_as_soon_as_it_can(objects: dict[int, bytes], cut: int) -> None:
    pdu = reply(objects)
    shown = ASK.reply_bytes(pdu[:cut])
    assert shown in (0, len(pdu))
    assert ASK.reply_bytes(pdu + b"more") == len(pdu)


@given(OBJECTS, st.binary(max_size=12), st.binary(max_size=12), st.data())
def test_serial_frames_are_found_amid_noise_however_they_arrive(
    objects: dict[int, bytes], before: bytes, behind: bytes, data: st.DataObject
) -> None:
    pdu = reply(objects)
    frame = bytes((5,)) + pdu
    frame += crc16(frame)
    framer = RtuFramer()
    framer.expect(5, 43, 0, measure=ASK.reply_bytes)
    whole = before + frame + behind
    for cut in sorted(data.draw(st.lists(st.integers(0, len(before) + len(frame) - 1), max_size=4))):
        # Noise that happens to be a good frame of ours has one chance in 65,536; none of so few bytes is.
        assert framer.decode(whole[:cut])[3] == b""
    used, unit, _, found = framer.decode(whole)
    if len(frame) <= 256:
        assert (unit, found, used) == (5, pdu, len(before) + len(frame))
    else:
        assert found == b""


def test_an_exception_is_found_too() -> None:
    framer = RtuFramer()
    framer.expect(5, 17, 0, measure=ASK_SERVER_ID.reply_bytes)
    frame = bytes((5, 0x91, 1))
    assert framer.decode(frame + crc16(frame))[3] == b"\x91\x01"


@given(st.sampled_from([b"", b"\x2b\x0e\x01", b"\x2b\x0e\x01\x83\x00\x00\x02"]), st.binary(max_size=250))
def test_any_bytes_are_refused_or_say_exactly_what_they_hold(start: bytes, rest: bytes) -> None:
    pdu = start + rest
    try:
        said = read_objects(pdu, ASK)
    except WrongReply:
        return
    at = 7
    for number, length in [(pdu[i], pdu[i + 1]) for i in object_places(pdu)]:
        assert number in said.objects
        at += 2 + length
    assert at == len(pdu)


def object_places(pdu: bytes) -> list[int]:
    places, at = [], 7
    for _ in range(pdu[6]):
        places.append(at)
        at += 2 + pdu[at + 1]
    return places
