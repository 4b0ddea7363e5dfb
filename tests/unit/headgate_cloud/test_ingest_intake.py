"""Queued messages read, ranges worked out: no tables, no sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.intake import MAX_BODY_BYTES, MAX_RANGES, Arrival, Progress, Rejection, progress, read
from tests.unit.headgate_cloud.ingest_examples import EPOCH, message, report


def test_a_sound_envelope_arrives() -> None:
    found = read(message(report(1)), now_ms=0)
    assert isinstance(found, Arrival)
    assert (found.stream_key, found.header.seq, found.received_ms) == (f"gw-1/live/{EPOCH}", 1, 1763685600000)
    assert (found.flaw, found.body) == (None, report(1))


def test_a_readable_key_with_a_broken_payload_arrives_flawed() -> None:
    found = read(message(report(2, report={})), now_ms=0)
    assert isinstance(found, Arrival)
    assert found.flaw == "undecodable: $.report: 'type' is missing"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no JSON", "not what the rule selects"),
        ("[]", "not what the rule selects"),
        (message(b"").replace('"thing"', '"other"'), "not what the rule selects"),
        (message(b"", body="***"), "not what the rule selects"),
        (message(report(1), thing="gw/1"), "'gw/1' cannot be a thing's name"),
        (message(report(1), codec="cbor"), "codec 'cbor' is none of json"),
        (message(bytes(MAX_BODY_BYTES + 1)), "131073 B is more than 131072"),
        (message(report(1), stream="alarms"), "the header's stream is live, the topic's alarms"),
        (message(report(1, epoch="x")), "undecodable: $.epoch"),
        (message(b"{}"), "undecodable: $: 'v' is missing"),
    ],
)
def test_what_is_rejected_says_why(text: str, why: str) -> None:
    found = read(text, now_ms=7)
    assert isinstance(found, Rejection)
    assert found.why.startswith(why)
    assert len(found.body) <= MAX_BODY_BYTES


@given(st.sets(st.integers(1, 120)), st.integers(0, 40))
def test_ranges_say_exactly_what_is_stored(stored: set[int], known: int) -> None:
    stored |= set(range(1, known + 1))
    found = progress(known, sorted(stored))
    gap = next(n for n in range(1, 200) if n not in stored)
    assert found.up_to == gap - 1
    named = [n for first, last in found.received for n in range(first, last + 1)]
    beyond = sorted(n for n in stored if n > found.up_to)
    assert named == beyond[: len(named)]
    assert len(found.received) <= MAX_RANGES
    assert len(named) == len(beyond) or len(found.received) == MAX_RANGES


def test_no_more_is_read_than_can_be_named() -> None:
    endless = iter(range(3, 10**9, 2))
    found = progress(1, endless)
    assert found == Progress(1, tuple((n, n) for n in range(3, 67, 2)))
    assert next(endless) == 69
