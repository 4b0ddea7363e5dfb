"""Requests and replies as JSON: golden examples, the schemas, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headgate.driver import Refused, Reply, Request
from headgate.requests import model
from headgate.requests.model import Unreadable, parse_direct, parse_job, parse_reply

ROOT = Path(__file__).parents[4]
REQUESTS = sorted((ROOT / "tests/golden/request").glob("*.json"))
REPLIES = sorted((ROOT / "tests/golden/reply").glob("*.json"))
GOOD = {"v": 1, "id": "r1", "op": "read", "args": {"series": ["a/b"]}, "deadline_ms": 5}


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "schemas" / f"{name}.v1.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("file", REQUESTS, ids=lambda file: file.stem)
def test_golden_requests_are_valid_and_read(file: Path) -> None:
    document = json.loads(file.read_text())
    validator("request").validate(document)
    asked = parse_direct(file.read_bytes())
    assert (asked.request.id, asked.request.op) == (document["id"], document["op"])
    assert asked.request.args == document.get("args", {})
    assert asked.args_uri == document.get("args_uri", "")


@pytest.mark.parametrize("file", REPLIES, ids=lambda file: file.stem)
def test_golden_replies_are_valid_and_come_back_as_they_were(file: Path) -> None:
    document = json.loads(file.read_text())
    validator("reply").validate(document)
    assert model.reply_json(parse_reply(file.read_bytes())) == document


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "a b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "../x"}, "id"),
        ({"id": 7}, "id"),
        ({"v": 2}, "version 1"),
        ({"v": True}, "v:"),
        ({"v": "1"}, "v:"),
        ({"op": "Read"}, "op"),
        ({"args": []}, "args"),
        ({"args": None}, "args"),
        ({"deadline_ms": 1.5}, "deadline_ms"),
        ({"deadline_ms": -1}, "deadline_ms"),
        ({"deadline_ms": 1 << 60}, "deadline_ms"),
        ({"args_uri": "https://x"}, "beside args"),
        ({"arg": 1}, "did you mean 'args'"),
    ],
)
def test_what_is_no_request_is_refused_with_the_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Unreadable) as error:
        parse_direct(json.dumps({**GOOD, **change}).encode())
    assert error.value.code == "bad_request"
    assert said in str(error.value)


def test_all_faults_are_told_at_once_and_what_can_be_read_is_kept_for_the_answer() -> None:
    with pytest.raises(Unreadable) as error:
        parse_direct(json.dumps({**GOOD, "v": 9, "deadline_ms": "x", "more": 1}).encode())
    assert error.value.id == "r1"
    assert error.value.op == "read"
    assert all(word in str(error.value) for word in ("v:", "deadline_ms:", "more:"))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"v":NaN}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b"1" * 5_000,
    ],
)
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_direct(payload)


def test_what_is_too_large_is_refused_by_its_id_where_it_can_be_read() -> None:
    large = json.dumps({**GOOD, "args": {"series": ["a/b"] * 2_000}}).encode()
    with pytest.raises(Unreadable, match="args_uri") as error:
        parse_direct(large)
    assert error.value.id == "r1"
    with pytest.raises(Unreadable, match="fit") as error:
        parse_direct(b" " * (model.MAX_LOOK_BYTES + 1))
    assert error.value.id == ""


def test_nesting_is_bounded() -> None:
    args: Any = 1
    for _ in range(model.MAX_DEPTH):
        args = {"a": args}
    with pytest.raises(Unreadable, match="nested"):
        parse_direct(json.dumps({**GOOD, "args": args}).encode())


def test_the_digest_is_the_contents_and_not_the_spelling_nor_a_signature() -> None:
    def digest(**change: Any) -> str:
        document = {**GOOD, **change}
        return parse_direct(json.dumps({k: v for k, v in document.items() if v is not None}).encode()).digest

    assert digest() == parse_direct(json.dumps(dict(reversed(GOOD.items())), indent=1).encode()).digest
    assert len({digest(), digest(op="list"), digest(args={}), digest(deadline_ms=6)}) == 4
    claim = {"args": None, "args_sha256": "0" * 64}
    assert digest(**claim, args_uri="https://x/1") == digest(**claim, args_uri="https://x/2")
    assert digest(**claim, args_uri="https://x/1") != digest(args=None, args_uri="h", args_sha256="1" * 64)


def test_a_jobs_document_gets_the_jobs_id() -> None:
    inner = {key: value for key, value in GOOD.items() if key != "id"}
    asked = parse_job("job-1", {"headgate": inner}, 100)
    assert (asked.request.id, asked.request.carrier) == ("job-1", "job")
    for document, size_bytes in (
        ({"headgate": GOOD}, 100),
        ({"headgate": 7}, 100),
        ({"headgate": inner}, 40_000),
    ):
        with pytest.raises(Unreadable) as error:
            parse_job("job-1", document, size_bytes)
        assert error.value.id == "job-1"


def test_what_is_sent_on_is_a_valid_request() -> None:
    request = Request("r1", 1, "read", {"series": ["a/b"]}, 5, "job")
    validator("request").validate(model.request_json(request))
    validator("reply").validate(model.reply_json(Reply("r1", "ok", detail="x" * 2_000)))


def test_a_reply_of_another_form_is_refused() -> None:
    with pytest.raises(Refused, match=r"status.*code"):
        parse_reply(b'{"v": 1, "id": "a", "status": "done", "code": "A B"}')


def test_mutated_requests_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    wires = [file.read_bytes() for file in REQUESTS]
    for _ in range(2_000):
        payload = bytearray(chance.choice(wires))
        for _ in range(chance.randint(1, 6)):
            payload[chance.randrange(len(payload))] = chance.choice(b'{}[]",:0123456789eE+-.\\u\xff\x00ab')
        try:
            found = parse_direct(bytes(payload))
        except Unreadable:
            continue
        assert found.request.version == 1
