"""Parts, their checksums in one pass, the composite, and messages that fit."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from headgate.errors import Reject
from headgate.files import messages
from headgate.files.plan import MAX_PARTS, Plan, composite, count_of, make_plan, part_bytes_for
from headgate_cloud import filemessages

SCHEMA = json.loads((Path(__file__).resolve().parents[4] / "schemas/file.v1.json").read_text("utf-8"))
FILE_ID = "0" * 32
MIB = 1024**2


@given(data=st.binary(max_size=200), part_bytes=st.integers(1, 60))
def test_one_pass_gives_what_the_parts_hash_to(data: bytes, part_bytes: int) -> None:
    plan = make_plan(FILE_ID, io.BytesIO(data), len(data), part_bytes, lambda: None)
    pieces = [data[at : at + part_bytes] for at in range(0, len(data), part_bytes)] or [b""]
    sums = [base64.b64encode(hashlib.sha256(piece).digest()).decode() for piece in pieces]
    assert list(plan.checksums) == sums
    assert plan.sha256 == filemessages.composite(sums)
    for number, piece in enumerate(pieces, 1):
        offset, size_bytes = plan.place(number)
        assert data[offset : offset + size_bytes] == piece


def test_a_file_that_ends_early_has_changed() -> None:
    with pytest.raises(Reject, match="ends 1 B early"):
        make_plan(FILE_ID, io.BytesIO(b"abc"), 4, 2, lambda: None)


@given(size_bytes=st.integers(0, 40 * 1024**4))
def test_parts_grow_with_the_file(size_bytes: int) -> None:
    part_bytes = part_bytes_for(size_bytes, 5 * MIB)
    assert part_bytes >= 5 * MIB
    assert count_of(size_bytes, part_bytes) <= MAX_PARTS
    assert part_bytes == 5 * MIB or part_bytes % MIB == 0


@pytest.mark.parametrize("parts", [1, 110, 111, MAX_PARTS])
def test_questions_fit_the_way_up_and_are_understood(parts: int) -> None:
    sums = tuple(base64.b64encode(hashlib.sha256(b"%d" % n).digest()).decode() for n in range(parts))
    plan = Plan(FILE_ID, parts * 5 * MIB, 5 * MIB, sums)
    found: dict[int, str] = {}
    for message in messages.parts(plan):
        assert len(message) <= 7_000
        body = json.loads(message)
        Draft202012Validator(SCHEMA).validate(body)
        queued = json.dumps({"thing": "gw-1", "body": base64.b64encode(message).decode()})
        page = filemessages.read(queued)
        assert isinstance(page, filemessages.Page)
        found |= page.parts
    assert tuple(found[n] for n in range(1, parts + 1)) == sums
    assert composite(sums).endswith(f"-{parts}")
    Draft202012Validator(SCHEMA).validate(json.loads(messages.sent(FILE_ID, "u")))


def test_answers_of_the_handlers_are_understood() -> None:
    assert messages.parse_down(filemessages.urls(FILE_ID, "u", "https://l")) == messages.Urls(
        FILE_ID, "u", "https://l"
    )
    assert messages.parse_down(filemessages.confirmed(FILE_ID, "u", "k", "s")) == messages.Confirmed(
        FILE_ID, "u", "k", "s"
    )
    assert messages.parse_down(filemessages.refused(FILE_ID, "unknown", "x")) == messages.CloudRefused(
        FILE_ID, "unknown", "x"
    )
    found = messages.parse_list(b'{"upload_id":"u","done":[2],"urls":{"1":"https://x"}}')
    assert found == messages.UrlList("u", frozenset({2}), {1: "https://x"})


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"[]", b"{}", b'{"v":1}', b"\xff", b"[" * 100_000),
        b'{"v":2,"kind":"urls","file_id":"%b","upload_id":"u","list":"l"}' % FILE_ID.encode(),
        b'{"v":1,"kind":"urls","file_id":"%b","upload_id":"","list":"l"}' % FILE_ID.encode(),
        b'{"v":1,"kind":"other","file_id":"%b"}' % FILE_ID.encode(),
        b'{"v":1,"kind":"urls","file_id":"../x","upload_id":"u","list":"l"}',
    ],
)
def test_what_is_no_message_is_rejected(payload: bytes) -> None:
    with pytest.raises(Reject):
        messages.parse_down(payload)


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"{}",
            b'{"upload_id":"u","done":[0],"urls":{}}',
            b'{"upload_id":"u","done":[true],"urls":{}}',
        ),
        *(b'{"upload_id":"u","done":[],"urls":{"x":"u"}}', b'{"upload_id":"u","done":[],"urls":{"1":5}}'),
        *(b'{"upload_id":"u","done":[],"urls":[]}', b'{"done":[],"urls":{}}'),
        '{"upload_id":"u","done":[],"urls":{"²":"u"}}'.encode(),
    ],
)
def test_what_is_no_list_is_rejected(data: bytes) -> None:
    with pytest.raises(Reject):
        messages.parse_list(data)
