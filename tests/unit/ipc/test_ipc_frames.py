"""Frames: round trips, every split of the stream, broken ones, and botocore's opinion of ours."""

from __future__ import annotations

import os
import random
import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from headgate.ipc import frames, messages
from headgate.ipc.frames import Decoder, FrameError
from tests.support.mutate import mutated

NAMES = st.text("abcdefgh:-", min_size=1, max_size=20)
VALUES = st.one_of(st.integers(-(2**31), 2**31 - 1), st.text(max_size=50))
HEADERS = st.dictionaries(NAMES, VALUES, max_size=6)
FRAMES = st.tuples(HEADERS, st.binary(max_size=300))


def encoded(headers: dict[str, int | str], payload: bytes) -> bytes:
    parts = [
        frames.i32_header(n, v) if isinstance(v, int) else frames.string_header(n, v)
        for n, v in headers.items()
    ]
    return frames.encode(b"".join(parts), payload)


@given(FRAMES)
def test_what_is_encoded_is_decoded(frame: tuple[dict[str, int | str], bytes]) -> None:
    (decoded,) = Decoder().feed(encoded(*frame))
    assert (decoded.headers, decoded.payload) == frame


@given(FRAMES)
def test_botocore_reads_our_frames(frame: tuple[dict[str, int | str], bytes]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(encoded(*frame))
    (read,) = list(buffer)
    assert (read.headers, read.payload) == frame


def test_every_split_of_the_stream_gives_the_same_frames() -> None:
    sent: list[tuple[dict[str, int | str], bytes]] = [
        ({"a": 1, "b": "x"}, b"one"),
        ({}, b""),
        ({"c": "é"}, b"3" * 40),
    ]
    wire = b"".join(encoded(*frame) for frame in sent)
    for first in range(len(wire) + 1):
        for second in range(first, len(wire) + 1):
            decoder = Decoder()
            got = [
                f for part in (wire[:first], wire[first:second], wire[second:]) for f in decoder.feed(part)
            ]
            assert [(f.headers, f.payload) for f in got] == sent


@given(st.lists(FRAMES, max_size=5), st.data())
def test_any_chunks_give_the_same_frames(
    sent: list[tuple[dict[str, int | str], bytes]], data: st.DataObject
) -> None:
    wire = b"".join(encoded(*frame) for frame in sent)
    decoder, got = Decoder(), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        got += decoder.feed(wire[:size])
        wire = wire[size:]
    assert [(f.headers, f.payload) for f in got] == sent


def test_every_header_type_is_read() -> None:
    values = b"".join(
        bytes((1,)) + name + bytes((kind,)) + value
        for name, kind, value in [
            (b"a", 0, b""), (b"b", 1, b""), (b"c", 2, b"\xff"), (b"d", 3, b"\xff\xfe"),
            (b"e", 4, b"\0\0\0\7"),
            (b"f", 5, struct.pack(">q", -5)), (b"g", 6, b"\0\2hi"), (b"h", 7, b"\0\2ho"),
            (b"i", 8, struct.pack(">q", 1763685600000)), (b"j", 9, bytes(16)),
        ]
    )  # fmt: skip
    (frame,) = Decoder().feed(frames.encode(values, b""))
    assert frame.headers == {
        "a": True, "b": False, "c": -1, "d": -2, "e": 7, "f": -5, "g": b"hi", "h": "ho",
        "i": 1763685600000, "j": bytes(16),
    }  # fmt: skip


def lengths(total: int, headers: int) -> bytes:
    start = struct.pack(">II", total, headers)
    return start + struct.pack(">I", crc32(start))


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (lengths(15, 0), "frame of 15 B"),
        (lengths(16, 1), "with 1 B of headers"),
        (lengths(2**32 - 1, 0), "frame of 4294967295 B"),
        (lengths(20, 0)[:-1] + b"\0", "checksum of its lengths"),
        (frames.encode(b"", b"x")[:-1] + b"\0", "wrong checksum"),
        (frames.encode(b"\x05ab", b""), "broken headers"),
        (frames.encode(b"\x01a\x0a", b""), "unknown type 10"),
        (frames.encode(b"\x01a\x07\0\x09x", b""), "value of 9 B"),
        (frames.encode(b"\x01a\x07\0\x01\xff", b""), "broken headers"),
        (frames.encode(b"\x01a\x06\xff\xff" + bytes(0xFFFF), b""), "value of 65535 B"),
        (frames.encode(b"".join(frames.i32_header(f"{n}", n) for n in range(1025)), b""), "more than 1024"),
    ],
)
def test_broken_frames_are_named_and_the_decoder_stays_broken(wire: bytes, says: str) -> None:
    decoder = Decoder()
    with pytest.raises(FrameError, match=says):
        decoder.feed(wire)
    with pytest.raises(FrameError, match=says):
        decoder.feed(frames.encode(b"", b""))


def fuzz(count: int, seed: int) -> tuple[int, int]:
    """Decode and parse `count` mutated messages; returns how many were taken and how many refused."""
    chance = random.Random(seed)
    originals = [
        messages.connect("token"),
        messages.request("PublishToTopic", 7, b'{"topic":"a","publishMessage":{}}'),
        messages.close_stream(2**31 - 1),
        messages.ping_response(b"x"),
    ]
    taken = refused = 0
    for _ in range(count):
        wire = mutated(chance.choice(originals), chance)
        try:
            for frame in Decoder().feed(wire):
                messages.parse(frame)
            taken += 1
        except FrameError as error:
            refused += len(str(error)) > 10  # an error that says nothing does not count
    return taken, refused


def test_mutated_frames_are_refused_or_read_never_worse() -> None:
    taken, refused = fuzz(5_000, seed=int(os.environ.get("HEADGATE_SEED", "1")))
    assert taken > 100
    assert refused > 1_000


@pytest.mark.slow("ipc")
def test_100k_mutated_frames() -> None:
    count = int(os.environ.get("HEADGATE_FUZZ_FRAMES", "100000"))
    taken, refused = fuzz(count, seed=int(os.environ.get("HEADGATE_SEED", "1")))
    assert taken + refused == count


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({":message-type": 0, ":message-flags": 0}, "without type"),
        ({":message-type": 0, ":message-flags": 0, ":stream-id": "1"}, "without type"),
        ({":message-type": 8, ":message-flags": 0, ":stream-id": 1}, "unknown type 8"),
        ({":message-type": 0, ":message-flags": 0, ":stream-id": -1}, "on stream -1"),
        ({":message-type": 0, ":message-flags": 0, ":stream-id": 1, "service-model-type": 3}, "no string"),
    ],
)
def test_frames_that_are_no_messages(headers: dict[str, int | str], says: str) -> None:
    (frame,) = Decoder().feed(encoded(headers, b""))
    with pytest.raises(FrameError, match=says):
        messages.parse(frame)


def test_a_request_on_the_wire() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(messages.request("PublishToTopic", 3, b"{}"))
    (read,) = list(buffer)
    assert read.headers == {
        ":content-type": "application/json",
        "service-model-type": "aws.greengrass#PublishToTopicRequest",
        "operation": "aws.greengrass#PublishToTopic",
        ":message-type": 0,
        ":message-flags": 0,
        ":stream-id": 3,
    }
    assert read.payload == b"{}"
