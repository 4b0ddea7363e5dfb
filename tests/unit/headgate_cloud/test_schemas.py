"""The JSON Schemas, the golden examples and the decoder say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headgate.uplink.acks import parse_acks
from headgate_cloud.decoder import Undecodable, decode
from headgate_cloud.intake import UNIT_BYTES, Progress, acknowledgement, payloads

ROOT = Path(__file__).parents[3]
EXAMPLES = [p for kind in ("ack", "envelope") for p in sorted((ROOT / "tests/golden" / kind).glob("*.json"))]


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / "schemas" / f"{name}.v1.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden_examples_are_valid(example: Path) -> None:
    validator(example.parent.name).validate(json.loads(example.read_text()))
    if example.parent.name == "envelope":
        assert decode(example.read_bytes()).header.epoch == "8c0f3a5b77d01e42"


def test_what_is_sent_is_a_valid_acknowledgement() -> None:
    (payload,) = payloads(
        [acknowledgement("live", "8c0f3a5b77d01e42", Progress(17, ((19, 21),)))], together=True
    )
    ack = json.loads(payload)
    validator("ack").validate(ack)
    assert ack == json.loads((ROOT / "tests" / "golden" / "ack" / "ranges.json").read_text())


def test_acknowledgements_of_several_streams_are_one_message_of_one_unit() -> None:
    ranges = tuple((10**9 + 2 * i, 10**9 + 2 * i) for i in range(32))
    acks = [
        acknowledgement(
            stream, f"{epoch:016x}", Progress(17, ranges), want=["8c0f3a5b77d01e42"], forked="why"
        )
        for epoch in range(10)
        for stream in ("live", "reports")
    ]
    found = payloads(acks, together=True)
    schema = json.loads((ROOT / "schemas/ack.v2.json").read_text())
    Draft202012Validator.check_schema(schema)
    for payload in found:
        Draft202012Validator(schema).validate(json.loads(payload))
        assert len(payload) + len(f"hg/v1/{'t' * 128}/dn/ack") <= UNIT_BYTES
    read = [ack for payload in found for ack in parse_acks(payload)]
    apart = [ack for payload in payloads(acks, together=False) for ack in parse_acks(payload)]
    assert read == apart
    assert len(read) == 20
    assert 2 <= len(found) <= 5
    assert len(payloads(acks[:2], together=True)) == 1


def broken(path: list[str | int], value: object) -> Any:
    example = json.loads((ROOT / "tests" / "golden" / "envelope" / "samples.json").read_text())
    at = example
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return example


@pytest.mark.parametrize(
    "example",
    [
        broken(["v"], 2),
        broken(["seq"], 2),
        broken(["epoch"], "8c0f"),
        broken(["more"], 1),
        broken(["kind"], "windows"),
        broken(["times", 0, 1], 1.5),
        broken(["columns", "meter-a"], {}),
        broken(["columns", "meter-a/voltage_l1", "v", 0], "NaN"),
        broken(["columns", "meter-a/voltage_l1", "q"], [[1, 6]]),
        broken(["columns", "meter-a/voltage_l1", "d"], -1),
    ],
)
def test_schema_and_decoder_refuse_the_same(example: dict[str, object]) -> None:
    assert not validator("envelope").is_valid(example)
    with pytest.raises(Undecodable):
        decode(json.dumps(example).encode())


SHED = {
    "stream": "live",
    "epoch": "8c0f3a5b77d01e42",
    "first": 3,
    "last": 9,
    "samples": 70,
    "why": "byte cap",
}
THINNED = {"series": "meter-a/*", "from": 1, "to": 2, "count": 3, "step_ms": 60_000, "why": "age"}
REMOVED = {"file": "quarantine/x", "bytes": 4096, "why": "byte cap"}


@pytest.mark.parametrize(
    ("type_", "fields"),
    [("shed", SHED), ("downsampled", THINNED), ("removed", REMOVED)],
    ids=lambda x: str(x)[:9],
)
def test_reports_of_what_was_shed_are_whole(type_: str, fields: dict[str, object]) -> None:
    head = {
        "v": 1,
        "kind": "report",
        "stream": "reports",
        "epoch": "8c0f3a5b77d01e42",
        "seq": 2,
        "clock": "synced",
    }
    body = {**head, "report": {"type": type_, **fields}}
    validator("envelope").validate(body)
    assert decode(json.dumps(body).encode()).report == body["report"]
    for name in fields:
        short = {key: value for key, value in fields.items() if key != name}
        assert not validator("envelope").is_valid({**head, "report": {"type": type_, **short}})
