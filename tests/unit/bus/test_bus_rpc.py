"""Frames of requests and replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.bus import rpc
from headgate.bus.rpc import Kind, RpcFrame
from headgate.errors import Reject

IDS = st.integers(0, 2**64 - 1)
REPLY_TOPICS = st.text(min_size=1, max_size=12)


@given(IDS, REPLY_TOPICS, st.binary(max_size=100))
def test_requests_go_round(request_id: int, topic: str, payload: bytes) -> None:
    wire = rpc.encode_request(request_id, topic, payload)
    assert rpc.decode(wire) == RpcFrame(Kind.REQUEST, request_id, topic, payload)
    assert len(wire) <= len(payload) + rpc.OVERHEAD_BYTES


@given(IDS, st.sampled_from([Kind.OK, Kind.REJECT, Kind.RETRY]), st.binary(max_size=100))
def test_replies_go_round(request_id: int, kind: Kind, payload: bytes) -> None:
    wire = rpc.encode_reply(request_id, kind, payload)
    assert rpc.decode(wire) == RpcFrame(kind, request_id, "", payload)
    assert len(wire) <= len(payload) + rpc.OVERHEAD_BYTES


@given(st.binary(max_size=60))
def test_anything_else_is_rejected(wire: bytes) -> None:
    if not wire.startswith(rpc.MAGIC):
        with pytest.raises(Reject):
            rpc.decode(wire)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w[:12], "12 B are too short"),
        (lambda w: w[:3] + b"\x02" + w[4:], "unknown version 2"),
        (lambda w: w[:4] + b"\x09" + w[5:], "unknown kind 9"),
        (lambda w: w[:13], "without a whole reply topic"),
        (lambda w: w[:13] + b"\x00", "without a whole reply topic"),
        (lambda w: w[:15], "without a whole reply topic"),
        (lambda w: w[:14] + b"\xff\xff", "not UTF-8"),
    ],
)
def test_broken_requests_say_what_is_wrong(change, says: str) -> None:  # type: ignore[no-untyped-def]  # lambdas
    with pytest.raises(Reject, match=says):
        rpc.decode(change(rpc.encode_request(1, "ab", b"")))


def test_a_long_reply_topic_is_rejected() -> None:
    with pytest.raises(Reject, match="51 B"):
        rpc.encode_request(1, "x" * 51, b"")
