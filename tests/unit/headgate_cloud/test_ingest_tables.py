"""The handler's core on real DynamoDB semantics (moto in process): any order, repeats, gaps, conflicts."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from headgate_cloud.ingest import Ingest, Record
from headgate_cloud.reports import Reports
from headgate_cloud.schemas import Schemas
from headgate_cloud.tables import Response, Tables
from tests.unit.headgate_cloud.ingest_examples import EPOCH, message, report


class Acks:
    """Stands where AWS IoT's data plane would: keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def publish(self, *, topic: str, qos: int, payload: bytes) -> None:
        assert qos == 0
        self.sent.append((topic, json.loads(payload)))


class Cloud:
    """One set of tables under a prefix of its own, and a handler on them."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client, self.acks, self.said = client, Acks(), list[Mapping[str, object]]()
        keys = {
            "Envelopes": ("stream_key", "seq"),
            "Streams": ("stream_key",),
            "Rejected": ("id",),
            "Files": ("thing", "file_id"),
            "Replies": ("thing", "id"),
        }
        for name, attributes in keys.items():
            kinds = zip(attributes, ("HASH", "RANGE"), strict=False)
            client.create_table(
                TableName=prefix + name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": a, "KeyType": kind} for a, kind in kinds],
                AttributeDefinitions=[
                    {"AttributeName": a, "AttributeType": "N" if a == "seq" else "S"} for a in attributes
                ],
            )
        self.prefix = prefix
        tables = Tables(client, prefix + "Envelopes", prefix + "Streams", prefix + "Rejected")
        schemas = Schemas(client, prefix + "Streams")
        reports = Reports(client, prefix + "Files", prefix + "Replies", self.said.append, schemas)
        # One thread: moto in process does not lock, and the order is the test's to choose.
        self.ingest = Ingest(
            tables, reports, schemas, self.acks, ThreadPoolExecutor(1), lambda: 42, self.said.append
        )

    def run(self, *messages: str) -> list[str]:
        return self.ingest.run([Record(messageId=f"m{i}", body=body) for i, body in enumerate(messages)])

    def rows(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.scan(TableName=self.prefix + table)["Items"]
        return found


@pytest.fixture(scope="module")
def clouds() -> Iterator[Iterator[Cloud]]:
    """A fresh cloud each time it is asked for one."""
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        yield (Cloud(client, f"t{n}-") for n in itertools.count())


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=8), min_size=1, max_size=5),
)
def test_any_order_with_repeats_and_gaps(clouds: Iterator[Cloud], batches: list[list[int]]) -> None:
    cloud = next(clouds)
    stored: set[int] = set()
    for batch in batches:
        assert cloud.run(*(message(report(seq)) for seq in batch)) == []
        stored |= set(batch)
        topic, ack = cloud.acks.sent[-1]
        assert (topic, ack["stream"], ack["epoch"]) == ("hg/v1/gw-1/dn/ack", "live", EPOCH)
        named = {n for first, last in ack["received"] for n in range(first, last + 1)}
        assert set(range(1, ack["up_to"] + 1)) | named == stored
        assert ack["up_to"] + 1 not in stored
    assert len(cloud.acks.sent) == len(batches)
    assert {int(row["seq"]["N"]) for row in cloud.rows("Envelopes")} == stored
    (row,) = cloud.rows("Streams")
    assert int(row["duplicates"]["N"]) == sum(map(len, batches)) - len(stored)
    assert cloud.rows("Rejected") == []


def test_one_acknowledgement_for_each_stream_touched(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    alarms = report(1, stream="alarms", prev={"epoch": "11f0c2aa90b3d4e5", "seq": 991})
    cloud.run(
        message(report(1)),
        message(report(1), thing="gw-2"),
        message(report(2)),
        message(alarms, stream="alarms"),
    )
    assert sorted((topic, ack["stream"], ack["up_to"]) for topic, ack in cloud.acks.sent) == [
        ("hg/v1/gw-1/dn/ack", "alarms", 1),
        ("hg/v1/gw-1/dn/ack", "live", 2),
        ("hg/v1/gw-2/dn/ack", "live", 1),
    ]
    streams = {row["stream_key"]["S"]: row for row in cloud.rows("Streams")}
    assert streams[f"gw-1/alarms/{EPOCH}"]["prev_epoch"] == {"S": "11f0c2aa90b3d4e5"}
    assert streams[f"gw-1/alarms/{EPOCH}"]["prev_seq"] == {"N": "991"}
    assert "prev_epoch" not in streams[f"gw-1/live/{EPOCH}"]


def test_another_content_under_a_held_key_is_kept_and_reported(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    other = report(1, report={"type": "other"})
    assert cloud.run(message(report(1)), message(other)) == []
    (held,), (rejected,) = cloud.rows("Envelopes"), cloud.rows("Rejected")
    assert held["body"]["B"] == report(1)
    assert rejected["body"]["B"] == other
    assert rejected["why"]["S"] == f"another content is held under gw-1/live/{EPOCH}/1"
    assert any(entry["event"] == "rejected" for entry in cloud.said)
    assert cloud.acks.sent[-1][1]["up_to"] == 1


def test_a_flawed_envelope_blocks_no_stream_and_yields_to_a_sound_one(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    assert (
        cloud.run(message(report(1)), message(report(2, report={})), message(report(3)), message(b"{")) == []
    )
    assert cloud.acks.sent[-1][1]["up_to"] == 3
    assert {row["why"]["S"].split(":")[1] for row in cloud.rows("Rejected")} == {" $.report", " $"}
    marks = [
        row.get("rejected") for row in sorted(cloud.rows("Envelopes"), key=lambda row: int(row["seq"]["N"]))
    ]
    assert marks == [None, {"S": "undecodable: $.report: 'type' is missing"}, None]
    cloud.run(message(report(2)))
    assert not any("rejected" in row for row in cloud.rows("Envelopes"))


class Throttled:
    """A DynamoDB client that refuses the calls named, once each."""

    def __init__(self, client: Any, *calls: str) -> None:
        self.client, self.calls = client, list(calls)

    def __getattr__(self, name: str) -> Any:
        if name not in self.calls:
            return getattr(self.client, name)
        self.calls.remove(name)

        def refuse(**_: object) -> Response:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, name)

        return refuse


@pytest.mark.parametrize(
    ("call", "failed", "stored"), [("put_item", ["m0"], {2, 3}), ("query", ["m0", "m1", "m2"], {1, 2, 3})]
)
def test_only_what_failed_comes_again(
    clouds: Iterator[Cloud], call: str, failed: list[str], stored: set[int]
) -> None:
    cloud = next(clouds)
    tables = cloud.ingest.tables
    throttled = Tables(Throttled(tables.client, call), tables.envelopes, tables.streams, tables.rejected)
    ingest = replace(cloud.ingest, tables=throttled)
    records = [Record(messageId=f"m{i}", body=message(report(i + 1))) for i in range(3)]
    assert ingest.run(records) == failed
    assert {int(row["seq"]["N"]) for row in cloud.rows("Envelopes")} == stored
    assert ingest.run([record for record in records if record["messageId"] in failed]) == []
    assert cloud.acks.sent[-1][1] == {"v": 1, "stream": "live", "epoch": EPOCH, "up_to": 3, "received": []}


def test_progress_never_goes_back(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    cloud.run(*(message(report(seq)) for seq in (1, 2, 3)))
    key = f"gw-1/live/{EPOCH}"
    assert cloud.ingest.tables.advance(key, 1, prev=None, duplicates=2, now_ms=50) == 3
    (row,) = cloud.rows("Streams")
    assert (row["up_to"], row["duplicates"], row["updated_ms"]) == ({"N": "3"}, {"N": "2"}, {"N": "50"})


def test_announced_files_and_replies_become_rows_once(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    name = {"file_id": "ab" * 16, "source": "logs", "path": "a/b.csv"}
    announced = {"type": "file", **name, "size": 12, "mtime_ms": 34}
    first = {"type": "reply", "carrier": "job", "reply": {"id": "r-1", "status": "ok"}}
    other = {"type": "reply", "carrier": "job", "reply": {"id": "r-1", "status": "failed"}}
    bodies = [report(1, report=announced), report(2, report=first), report(3, report=other)]
    assert cloud.run(*map(message, bodies)) == []
    cloud.client.update_item(
        TableName=cloud.prefix + "Files",
        Key={"thing": {"S": "gw-1"}, "file_id": {"S": "ab" * 16}},
        UpdateExpression="SET #s = :s",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": {"S": "complete"}},
    )
    assert cloud.run(*map(message, bodies)) == []  # a repeat takes nothing back
    (file,), (reply,) = cloud.rows("Files"), cloud.rows("Replies")
    assert {name: next(iter(value.values())) for name, value in file.items()} == {
        "thing": "gw-1",
        "size": "12",
        "mtime_ms": "34",
        "state": "complete",
        "updated_ms": "1763685600000",
        **name,
    }
    assert json.loads(reply["reply"]["S"]) == {"id": "r-1", "status": "ok"}
    assert int(reply["expires_s"]["N"]) > 1763685600


@pytest.mark.parametrize(
    "change",
    [
        {"file_id": "../x"},
        {"size": -1},
        {"path": ""},
        {"path": None},
        {"mtime_ms": 1.5},
        {"source": "x" * 1025},
    ],
)
def test_a_malformed_announcement_is_told_and_blocks_nothing(
    clouds: Iterator[Cloud], change: dict[str, object]
) -> None:
    cloud = next(clouds)
    fine = {"type": "file", "file_id": "ab" * 16, "source": "s", "path": "p", "size": 1, "mtime_ms": 1}
    assert cloud.run(message(report(1, report={**fine, **change}))) == []
    assert cloud.acks.sent[-1][1]["up_to"] == 1
    assert cloud.rows("Files") == []
    assert [entry["envelope"] for entry in cloud.said if entry["event"] == "malformed report"]


def test_an_envelope_whose_schema_is_missing_is_kept_and_the_schema_asked_for(
    clouds: Iterator[Cloud],
) -> None:
    cloud = next(clouds)
    folder = Path(__file__).parents[2] / "golden/envelope/compact"
    payload = bytes.fromhex((folder / "samples.hex").read_text())
    cloud.run(message(payload, codec="compact"))
    (_, ack) = cloud.acks.sent[-1]
    assert (ack["received"], ack["want"]) == ([[7, 7]], ["85ffc1c7238327a8"])
    told = {**json.loads((folder / "schema.json").read_text()), "stream": "reports"}
    cloud.run(message(json.dumps(told).encode(), stream="reports"))
    cloud.run(message(payload, codec="compact"))
    assert "want" not in cloud.acks.sent[-1][1]
    fresh = Schemas(cloud.client, cloud.prefix + "Streams")
    assert len(fresh.decode("gw-1", "compact", payload).columns) == 5
    assert fresh.unknown("gw-2", ["85ffc1c7238327a8"]) == ["85ffc1c7238327a8"]


def test_a_damaged_compact_envelope_is_rejected(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    folder = Path(__file__).parents[2] / "golden/envelope/compact"
    payload = bytes.fromhex((folder / "samples.hex").read_text())
    cloud.run(message(payload[:-1] + b"x", codec="compact"))
    assert cloud.acks.sent == []
    assert [entry["event"] for entry in cloud.said if entry["event"] == "rejected"] == ["rejected"]
