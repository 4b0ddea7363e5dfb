"""The handler's core on real DynamoDB semantics (moto in process): any order, repeats, gaps, conflicts."""

from __future__ import annotations

import itertools
import json
from collections import Counter
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

from headgate_cloud.archive import Archive, Place
from headgate_cloud.fetchrules import FetchRule
from headgate_cloud.fetchtable import FetchTable
from headgate_cloud.gateways import Gateways
from headgate_cloud.ingest import Ingest, Record
from headgate_cloud.reports import Reports
from headgate_cloud.schemas import Schemas
from headgate_cloud.tables import Response, Tables
from tests.unit.headgate_cloud.ingest_examples import EPOCH, message, report


class Acks:
    """Stands where AWS IoT's data plane would: keeps what is published, and what it says of each stream."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def publish(self, *, topic: str, qos: int, payload: bytes) -> None:
        assert qos == 0
        found = json.loads(payload)
        self.messages.append((topic, found))
        self.sent += [(topic, {"v": 1, **ack}) for ack in found.get("acks", [found])]


class Cloud:
    """One set of tables under a prefix of its own, and a handler on them."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client, self.acks, self.said = client, Acks(), list[Mapping[str, object]]()
        keys = {
            "Envelopes": ("stream_key", "seq"),
            "Streams": ("stream_key",),
            "Rejected": ("id",),
            "Gateways": ("thing",),
            "Files": ("thing", "file_id"),
            "Fetches": ("thing", "file_id"),
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
        reports = Reports(client, prefix + "Files", prefix + "Replies", self.said.append, schemas=schemas)
        # One thread: moto in process does not lock, and the order is the test's to choose.
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        s3.create_bucket(Bucket=prefix + "archive")
        self.archive = Archive(s3, prefix + "archive")
        self.ingest = Ingest(
            tables,
            self.archive,
            Gateways(client, prefix + "Gateways"),
            reports,
            self.acks,
            ThreadPoolExecutor(1),
            lambda: 42,
            self.said.append,
            schemas,
        )

    def run(self, *messages: str) -> list[str]:
        return self.ingest.run([Record(messageId=f"m{i}", body=body) for i, body in enumerate(messages)])

    def body(self, row: dict[str, Any]) -> bytes:
        """What the index says is held."""
        return self.archive.body(Place(row["object"]["S"], int(row["line"]["N"])), row["digest"]["S"])

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
    assert {topic: ack["v"] for topic, ack in cloud.acks.messages} == {
        "hg/v1/gw-1/dn/ack": 2,
        "hg/v1/gw-2/dn/ack": 1,
    }
    assert len(cloud.acks.messages) == 2
    streams = {row["stream_key"]["S"]: row for row in cloud.rows("Streams")}
    assert streams[f"gw-1/alarms/{EPOCH}"]["prev_epoch"] == {"S": "11f0c2aa90b3d4e5"}
    assert streams[f"gw-1/alarms/{EPOCH}"]["prev_seq"] == {"N": "991"}
    assert "prev_epoch" not in streams[f"gw-1/live/{EPOCH}"]


def test_another_content_under_a_held_key_is_kept_and_reported(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    other = report(1, report={"type": "other"})
    assert cloud.run(message(report(1)), message(other)) == []
    (held,), (rejected,) = cloud.rows("Envelopes"), cloud.rows("Rejected")
    assert cloud.body(held) == report(1)
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


def test_a_thing_that_speaks_for_another_is_refused(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    spoofed = [
        message(report(1), client=client) for client in ("gw-2", "gw-1#x", "gw-1#", "gw-10", "n/a", "")
    ]
    assert cloud.run(*spoofed) == []
    assert (cloud.rows("Envelopes"), cloud.rows("Gateways"), cloud.acks.sent) == ([], [], [])
    (rejected,) = cloud.rows("Rejected")
    assert (rejected["code"], rejected["topic"]) == ({"S": "sender"}, {"S": "hg/v1/gw-1/up/live/json"})
    assert cloud.said[-1]["ForeignSenders"] == 6
    assert cloud.run(message(report(1), client="gw-1#2")) == []  # a nucleus's further connection
    assert cloud.acks.sent[-1][1]["up_to"] == 1


def test_one_object_for_each_gateway_and_batch(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    first = [message(report(seq), thing=thing) for seq in (1, 2, 3) for thing in ("gw-1", "gw-2")]
    cloud.run(*first, first[0])
    rows = cloud.rows("Envelopes")
    assert len({row["object"]["S"] for row in rows}) == 2
    assert {cloud.body(row) for row in rows} == {report(seq) for seq in (1, 2, 3)}
    assert cloud.said[-1]["objects"] == 2
    cloud.run(*first)
    assert cloud.said[-1]["Duplicates"] == 6
    assert "objects" not in cloud.said[-1]  # what is held is not stored again
    seen = {row["thing"]["S"]: row["last_seen_ms"]["N"] for row in cloud.rows("Gateways")}
    assert seen == {"gw-1": "1763685600000", "gw-2": "1763685600000"}


def test_a_crash_between_object_and_index_leaves_no_lie(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    tables = cloud.ingest.tables
    broken = Tables(
        Throttled(tables.client, "put_item", "put_item"), tables.envelopes, tables.streams, tables.rejected
    )
    records = [Record(messageId=f"m{i}", body=message(report(i + 1))) for i in range(2)]
    assert replace(cloud.ingest, tables=broken).run(records) == ["m0", "m1"]
    assert cloud.acks.sent == []
    assert cloud.rows("Envelopes") == []
    assert cloud.ingest.run(records) == []
    listed = cloud.archive.client.list_objects_v2(Bucket=cloud.archive.bucket)["Contents"]
    assert len(listed) == 1  # the same envelopes again are the same object
    assert [cloud.body(row) for row in cloud.rows("Envelopes")] == [report(1), report(2)]
    assert cloud.acks.sent[-1][1]["up_to"] == 2


def test_no_object_no_acknowledgement(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    ingest = replace(
        cloud.ingest, archive=replace(cloud.archive, client=Throttled(cloud.archive.client, "put_object"))
    )
    records = [Record(messageId=thing, body=message(report(1), thing=thing)) for thing in ("gw-1", "gw-2")]
    assert ingest.run(records) == ["gw-1"]
    assert [topic for topic, _ in cloud.acks.sent] == ["hg/v1/gw-2/dn/ack"]
    assert ingest.run(records[:1]) == []
    assert cloud.acks.sent[-1][0] == "hg/v1/gw-1/dn/ack"


def test_the_loser_of_a_race_finds_the_winner(clouds: Iterator[Cloud]) -> None:
    """Both looked before either had stored: the index decides, and what it names is there."""
    cloud = next(clouds)
    tables = cloud.ingest.tables
    other = report(1, report={"type": "other"})

    class Blind:
        """Knew nothing when it looked."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tables.client, name)

        def batch_get_item(self, **_: object) -> Response:
            return {"Responses": {}}

    blind = Tables(Blind(), tables.envelopes, tables.streams, tables.rejected)
    cloud.run(message(report(1)))
    late = replace(cloud.ingest, tables=blind)
    assert late.run([Record(messageId="same", body=message(report(1), received_ms=5))]) == []
    assert late.run([Record(messageId="other", body=message(other))]) == []
    (held,) = cloud.rows("Envelopes")
    assert cloud.body(held) == report(1)
    assert [row["code"]["S"] for row in cloud.rows("Rejected")] == ["conflict"]
    assert len(cloud.archive.client.list_objects_v2(Bucket=cloud.archive.bucket)["Contents"]) == 3
    assert [cloud.said[-1][name] for name in ("Envelopes", "Duplicates", "Conflicts")] == [0, 0, 1]


def test_a_batch_is_metrics_too(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    cloud.run(message(report(1)), message(report(4)), message(report(6)), message(b"{"))
    gap = next(entry for entry in cloud.said if entry["event"] == "gap")
    assert (gap["Stream"], gap["Gaps"], gap["MissingEnvelopes"]) == ("live", 2, 3)
    assert gap["_aws"] == {
        "Timestamp": 42,
        "CloudWatchMetrics": [
            {
                "Namespace": "Headgate",
                "Dimensions": [["Stream"]],
                "Metrics": [{"Name": "Gaps", "Unit": "Count"}, {"Name": "MissingEnvelopes", "Unit": "Count"}],
            }
        ],
    }
    batch = cloud.said[-1]
    names = ("Envelopes", "Duplicates", "Conflicts", "Undecodable", "ForeignSenders", "IngestLag")
    assert [batch[name] for name in names] == [3, 0, 0, 1, 0, 0]


class Requests:
    """Counts the calls of a client by name."""

    def __init__(self, client: Any, counts: Counter[str]) -> None:
        self.client, self.counts = client, counts

    def __getattr__(self, name: str) -> Any:
        self.counts[name] += 1
        return getattr(self.client, name)


def test_a_batch_costs_no_more_requests_than_it_must(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    tables, counts = cloud.ingest.tables, Counter[str]()
    counted = Tables(Requests(tables.client, counts), tables.envelopes, tables.streams, tables.rejected)
    archive = replace(cloud.archive, client=Requests(cloud.archive.client, counts))
    records = [Record(messageId=str(i), body=message(report(i + 1))) for i in range(90)]
    assert replace(cloud.ingest, tables=counted, archive=archive).run(records) == []
    assert counts == {"batch_get_item": 1, "put_object": 1, "put_item": 90, "query": 1, "update_item": 2}


def test_a_rule_puts_announced_files_into_the_queue_once(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    fetches = FetchTable(cloud.client, cloud.prefix + "Fetches")
    reports = replace(
        cloud.ingest.reports, fetches=fetches, rules=(FetchRule(source="captures", priority=9),)
    )
    announced = {"type": "file", "path": "a/b.csv", "size": 12, "mtime_ms": 34}
    bodies = [
        report(n, report={**announced, "file_id": f"{n:032x}", "source": source})
        for n, source in enumerate(("captures", "logs"), 1)
    ]
    records = [Record(messageId=str(n), body=message(body)) for n, body in enumerate(bodies)]
    ingest = replace(cloud.ingest, reports=reports)
    assert ingest.run(records) == []
    assert fetches.end("gw-1", f"{1:032x}", "cancelled", "", 0)
    assert ingest.run(records) == []
    (wanted,) = fetches.all("gw-1")
    assert (wanted.file_id, wanted.priority, wanted.by, wanted.state) == (f"{1:032x}", 9, "rule", "cancelled")


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
