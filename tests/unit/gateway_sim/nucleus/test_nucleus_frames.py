"""Frames of the simulated nucleus: round trip, botocore's opinion, and what is refused."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import Callable
from uuid import UUID

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.nucleus.frames import Decoder, Frame, FrameError, HeaderValue, encode

NAMES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=127)
VALUES: st.SearchStrategy[HeaderValue] = st.one_of(
    st.booleans(), st.integers(-(2**31), 2**31 - 1), st.text(max_size=60), st.binary(max_size=60), st.uuids()
)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=8)


def decode(data: bytes) -> list[Frame]:
    return list(Decoder().feed(data))


@given(HEADERS, st.binary(max_size=300))
def test_what_is_encoded_decodes(headers: dict[str, HeaderValue], payload: bytes) -> None:
    assert decode(encode(headers, payload)) == [Frame(headers, payload)]


@given(HEADERS, st.binary(max_size=300))
def test_botocore_reads_it_alike(headers: dict[str, HeaderValue], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encode(headers, payload))
    event = next(iter(buffer))
    expected = {name: value.bytes if isinstance(value, UUID) else value for name, value in headers.items()}
    assert (event.headers, event.payload) == (expected, payload)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.integers(1, 30))
def test_any_cut_of_the_stream_gives_the_same_frames(payloads: list[bytes], step: int) -> None:
    stream = b"".join(encode({":stream-id": n}, payload) for n, payload in enumerate(payloads))
    decoder = Decoder()
    frames = [frame for at in range(0, len(stream), step) for frame in decoder.feed(stream[at : at + step])]
    assert [frame.payload for frame in frames] == payloads
    assert decoder.pending_bytes == 0


def test_every_header_type_decodes() -> None:
    uuid = UUID(int=7)
    head = b"".join(
        bytes((1,)) + name + body
        for name, body in [
            (b"a", b"\0"), (b"b", b"\1"), (b"c", b"\2\xff"), (b"d", b"\3\xff\xfe"), (b"e", b"\4\0\0\0\5"),
            (b"f", b"\5" + struct.pack(">q", -6)), (b"g", b"\6\0\1\7"), (b"h", b"\7\0\1x"),
            (b"i", b"\x08" + struct.pack(">q", 9)), (b"j", b"\x09" + uuid.bytes),
        ]
    )  # fmt: skip
    expected: dict[str, HeaderValue] = {
        "a": True,
        "b": False,
        "c": -1,
        "d": -2,
        "e": 5,
        "f": -6,
        "g": b"\7",
        "h": "x",
        "i": 9,
        "j": uuid,
    }
    assert decode(whole(head, b"")) == [Frame(expected, b"")]


def whole(head: bytes, payload: bytes) -> bytes:
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


GOOD = encode({":message-type": 0}, b"{}")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0" * 12, "prelude checksum"),
        (GOOD[:-1] + bytes((GOOD[-1] ^ 1,)), "message checksum"),
        (GOOD[:20] + bytes((GOOD[20] ^ 1,)) + GOOD[21:], "message checksum"),
        (whole(b"\x01a\x0a", b""), "unknown header type 10"),
        (whole(b"\x01a\x07\xff\xff", b""), "the limit is 32767"),
        (whole(b"\x01a\x07\0\x09x", b""), "runs past"),
        (whole(b"\x09a", b""), "do not decode"),
        (whole(b"\x01a", b""), "do not decode"),
        (whole(b"\x00\x00", b""), "is empty"),
        (whole(b"\x01a\x00\x01a\x00", b""), "repeated"),
        (whole(b"\x01\xff\x00", b""), "do not decode"),
        (whole(b"\x01a\x07\0\x01\xff", b""), "do not decode"),
    ],
)
def test_what_is_no_frame_says_why(data: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        decode(data)


def prelude(total: int, headers_len: int) -> bytes:
    raw = struct.pack(">II", total, headers_len)
    return raw + struct.pack(">I", zlib.crc32(raw))


@pytest.mark.parametrize(
    ("total", "headers_len", "why"),
    [
        (24 * 1024 * 1024 + 1, 0, "the limit is 25165824 B"),
        (15, 0, "0 B of headers in a message of 15 B"),
        (100, 85, "85 B of headers in a message of 100 B"),
        (1024 * 1024, 200_000, "200000 B of headers"),
    ],
)
def test_lengths_are_judged_before_anything_is_held(total: int, headers_len: int, why: str) -> None:
    decoder = Decoder()
    with pytest.raises(FrameError, match=why):
        list(decoder.feed(prelude(total, headers_len)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: encode({f"h{n}": 1 for n in range(1025)}),
        lambda: encode({"a": "x" * 32_768}),
        lambda: encode({"a" * 128: 1}),
        lambda: encode({"": 1}),
    ],
)
def test_over_limits_is_not_encoded(make: Callable[[], bytes]) -> None:
    with pytest.raises(FrameError):
        make()


def test_random_damage_never_gives_anything_but_frames_or_frame_errors() -> None:
    rng = random.Random(int(os.environ.get("HEADGATE_SEED", "1")))
    refused = 0
    for _ in range(3000):
        data = bytearray(
            encode({":message-type": rng.randrange(8), "x": rng.randbytes(9)}, rng.randbytes(20))
        )
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            decode(bytes(data))
        except FrameError:
            refused += 1
    assert refused > 2000
