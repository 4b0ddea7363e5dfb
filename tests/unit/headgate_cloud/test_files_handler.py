"""The files handler on DynamoDB's semantics (moto in process): any order, repeats, losses, races."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from headgate_cloud.filemessages import Plan
from headgate_cloud.files import Files
from headgate_cloud.filetables import FileTables
from headgate_cloud.ingest import Record
from headgate_cloud.uploads import Finished, Held, Uploads
from tests.unit.headgate_cloud.file_examples import FILE_ID, PART_BYTES, checksum, page, queued, sent, whole


@dataclass(frozen=True, slots=True)
class Bucket(Uploads):
    """S3 as far as the handler sees it, without its network."""

    parts: dict[str, dict[int, Held]] = field(default_factory=dict)
    objects: dict[str, Finished] = field(default_factory=dict)
    lists: list[dict[str, Any]] = field(default_factory=list)
    made: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def create(self, key: str) -> str:
        upload_id = f"u-{next(self.made)}"
        self.parts[upload_id] = {}
        return upload_id

    def abort(self, key: str, upload_id: str) -> None:
        self.parts.pop(upload_id, None)

    def held(self, key: str, upload_id: str) -> dict[int, Held] | None:
        return self.parts.get(upload_id)

    def put_list(
        self, plan: Plan, key: str, upload_id: str, checksums: Sequence[str], done: Sequence[int]
    ) -> str:
        self.lists.append({"upload_id": upload_id, "done": list(done), "checksums": list(checksums)})
        return f"https://list/{len(self.lists)}"

    def complete(self, key: str, upload_id: str, parts: Mapping[int, Held]) -> None:
        if self.parts.pop(upload_id, None) is not None:
            held = [part for _, part in sorted(parts.items())]
            self.objects[key] = Finished(sum(p.size_bytes for p in held), whole([p.sha256 for p in held]))

    def finished(self, key: str) -> Finished | None:
        return self.objects.get(key)

    def fill(self, upload_id: str, *numbers: int, count: int) -> None:
        for n in numbers:
            size_bytes = PART_BYTES if n < count else 7
            self.parts[upload_id][n] = Held(f'"{n}"', size_bytes, checksum(n))


class Cloud:
    """One set of tables under a prefix of its own, and a handler on them."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client, self.prefix = client, prefix
        self.said: list[Mapping[str, object]] = []
        self.down: list[tuple[str, dict[str, Any]]] = []
        for table, names in (("Files", ("thing", "file_id")), ("FilePages", ("plan", "page"))):
            kinds = {name: "N" if name == "page" else "S" for name in names}
            client.create_table(
                TableName=prefix + table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": name, "KeyType": kind}
                    for name, kind in zip(names, ("HASH", "RANGE"), strict=True)
                ],
                AttributeDefinitions=[{"AttributeName": n, "AttributeType": k} for n, k in kinds.items()],
            )
        self.bucket = Bucket(None, "b", 900)
        tables = FileTables(client, prefix + "Files", prefix + "FilePages")
        self.files = Files(tables, self.bucket, self, 10**9, lambda: 42_000, self.said.append)

    def publish(self, *, topic: str, qos: int, payload: bytes) -> None:
        assert qos == 0
        self.down.append((topic, json.loads(payload)))

    def announce(self, size_bytes: int, thing: str = "gw-1") -> None:
        row = {"thing": {"S": thing}, "file_id": {"S": FILE_ID}, "size": {"N": str(size_bytes)}}
        row |= {"path": {"S": "logs/../a b.csv"}, "state": {"S": "announced"}}
        self.client.put_item(TableName=self.prefix + "Files", Item=row)

    def run(self, *bodies: object, thing: str = "gw-1") -> list[dict[str, Any]]:
        """Returns what was answered."""
        before = len(self.down)
        records = [Record(messageId=str(i), body=queued(body, thing)) for i, body in enumerate(bodies)]
        assert self.files.run(records) == []
        assert {topic for topic, _ in self.down[before:]} <= {f"hg/v1/{thing}/dn/file"}
        return [answer for _, answer in self.down[before:]]

    @property
    def row(self) -> dict[str, str]:
        (found,) = self.client.scan(TableName=self.prefix + "Files")["Items"]
        return {name: next(iter(value.values())) for name, value in found.items()}


@pytest.fixture(scope="module")
def clouds() -> Iterator[Iterator[Cloud]]:
    """A fresh cloud each time it is asked for one."""
    with mock_aws():
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        client = boto3.client("dynamodb", region_name="eu-central-1", **keys)
        yield (Cloud(client, f"f{n}-") for n in itertools.count())


PAGES = [[1, 2], [3], [4, 5]]
SIZE = 4 * PART_BYTES + 7


@settings(max_examples=25)
@given(order=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=6))
def test_pages_in_any_order_and_number_make_one_upload(
    clouds: Iterator[Cloud], order: list[list[int]]
) -> None:
    cloud = next(clouds)
    cloud.announce(SIZE)
    there: set[int] = set()
    for batch in order:
        answers = cloud.run(*(page(n, PAGES) for n in batch))
        there |= set(batch)
        assert [answer["kind"] for answer in answers] == (["urls"] if there == {0, 1, 2} else [])
    assert len(cloud.bucket.parts) == (there == {0, 1, 2})
    for made in cloud.bucket.lists:
        assert made == {"upload_id": "u-1", "done": [], "checksums": [checksum(n) for n in range(1, 6)]}


def upload(cloud: Cloud) -> str:
    """Announced, asked for, answered."""
    cloud.announce(SIZE)
    (answer,) = cloud.run(*(page(n, PAGES) for n in range(3)))
    assert answer["kind"] == "urls"
    return str(answer["upload_id"])


def test_an_upload_is_completed_checked_and_confirmed_however_often_it_is_told(
    clouds: Iterator[Cloud],
) -> None:
    cloud = next(clouds)
    upload_id = upload(cloud)
    cloud.bucket.fill(upload_id, 1, 2, 3, 4, 5, count=5)
    answers = cloud.run(sent(upload_id), sent(upload_id)) + cloud.run(sent(upload_id), page(1, PAGES))
    key = f"gw-1/{FILE_ID}/a_b.csv"
    assert answers == 4 * [
        {
            "v": 1,
            "kind": "confirmed",
            "file_id": FILE_ID,
            "upload_id": upload_id,
            "key": key,
            "sha256": whole([checksum(n) for n in range(1, 6)]),
        }
    ]
    assert (cloud.row["state"], cloud.row["key"]) == ("complete", key)


def test_asked_again_it_names_what_s3_holds(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    upload_id = upload(cloud)
    cloud.bucket.fill(upload_id, 1, 4, 5, count=5)
    cloud.bucket.parts[upload_id][4] = Held('"x"', PART_BYTES, checksum(9))  # another content is not done
    (answer,) = cloud.run(page(0, PAGES))
    assert (answer["upload_id"], cloud.bucket.lists[-1]["done"]) == (upload_id, [1, 5])


def test_a_vanished_upload_is_replaced_and_another_plan_takes_over(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    upload_id = upload(cloud)
    del cloud.bucket.parts[upload_id]
    (refusal,) = cloud.run(sent(upload_id))
    assert refusal["code"] == "no_such_upload"
    (answer,) = cloud.run(page(0, PAGES))
    assert answer["upload_id"] == "u-2"
    (late,) = cloud.run(sent(upload_id))
    assert late["code"] == "no_such_upload"
    larger = {"part_size": SIZE, "sha256": whole([checksum(7)]), "pages": 1, "parts": [[1, checksum(7)]]}
    (other,) = cloud.run(page(0, PAGES, **larger))
    assert (other["upload_id"], cloud.row["upload_id"]) == ("u-3", "u-3")
    assert list(cloud.bucket.parts) == ["u-3"]  # the one it took over from is aborted


def test_what_is_missing_is_asked_for_and_what_differs_is_refused(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    upload_id = upload(cloud)
    cloud.bucket.fill(upload_id, 1, 2, 5, count=5)
    (missing,) = cloud.run(sent(upload_id))
    assert (missing["code"], missing["detail"]) == (
        "no_such_upload",
        "2 of 5 parts are missing, the first is 3; ask anew",
    )
    assert upload_id in cloud.bucket.parts
    cloud.bucket.fill(upload_id, 3, 4, count=5)
    cloud.bucket.parts[upload_id][3] = Held('"3"', PART_BYTES, checksum(9))
    (wrong,) = cloud.run(sent(upload_id))
    assert wrong["code"] == "mismatch"
    assert (cloud.bucket.parts, cloud.row["state"]) == ({}, "announced")


def test_a_handler_that_died_before_it_noted_completion_is_made_up_for(clouds: Iterator[Cloud]) -> None:
    for repeat in (sent("u-1"), page(2, PAGES)):
        cloud = next(clouds)
        upload_id = upload(cloud)
        cloud.bucket.fill(upload_id, 1, 2, 3, 4, 5, count=5)
        cloud.bucket.complete(cloud.row["key"], upload_id, cloud.bucket.parts[upload_id])
        (answer,) = cloud.run(repeat)
        assert (answer["kind"], cloud.row["state"]) == ("confirmed", "complete")


def test_refusals_say_why(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    (unknown,) = cloud.run(page(0, PAGES))
    assert unknown["code"] == "unknown"
    cloud.announce(SIZE)
    assert [a["code"] for a in cloud.run(page(0, PAGES), thing="gw-2")] == ["unknown"]  # another's file
    assert [a["code"] for a in cloud.run(page(0, PAGES, size=SIZE + 1))] == ["mismatch"]
    assert [a["code"] for a in cloud.run(page(0, PAGES, pages=0))] == ["bad_request"]
    assert cloud.run(b"no json") == []
    (contradiction,) = cloud.run(
        page(0, PAGES), page(1, PAGES), page(2, PAGES, parts=[[4, checksum(5)], [5, checksum(4)]])
    )
    assert contradiction["code"] == "mismatch"
    assert cloud.run(page(0, PAGES)) == []  # what contradicted was forgotten


def test_what_is_too_large_is_refused(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    size_bytes = 10**9 + 1
    cloud.announce(size_bytes)
    asked = {"size": size_bytes, "part_size": 10**9 + 1, "sha256": whole([checksum(1)]), "parts": []}
    (answer,) = cloud.run(page(0, [[1]], **asked))
    assert answer["code"] == "too_large"


class Quicker(Bucket):
    """Another handler puts its upload in force while this one makes its own."""

    def create(self, key: str) -> str:
        mine = super().create(key)
        cloud: Cloud = self.client
        if mine == "u-1":
            other = super().create(key)
            plan = Plan("gw-1", FILE_ID, SIZE, PART_BYTES, whole([checksum(n) for n in range(1, 6)]))
            assert cloud.files.tables.begin(plan, key=key, upload_id=other, instead_of="", now_ms=1)
        return mine


def test_of_two_handlers_at_once_one_upload_stays(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    cloud.bucket = Quicker(cloud, "b", 900)
    cloud.files = Files(cloud.files.tables, cloud.bucket, cloud, 10**9, lambda: 42_000, cloud.said.append)
    assert upload(cloud) == "u-2"
    assert list(cloud.bucket.parts) == ["u-2"]


def test_one_message_that_fails_takes_no_other_along(clouds: Iterator[Cloud]) -> None:
    class Down(Bucket):
        def held(self, key: str, upload_id: str) -> dict[int, Held] | None:
            raise ConnectionError("S3 is away")

    cloud = next(clouds)
    upload_id = upload(cloud)
    cloud.files = Files(
        cloud.files.tables, Down(None, "b", 1), cloud, 10**9, lambda: 42_000, cloud.said.append
    )
    bodies = [queued(sent(upload_id)), queued(page(0, PAGES)), queued(sent("other")), queued(b"noise")]
    failed = cloud.files.run([Record(messageId=str(i), body=body) for i, body in enumerate(bodies)])
    assert failed == ["0", "1"]
    assert cloud.down[-1][1]["code"] == "no_such_upload"
