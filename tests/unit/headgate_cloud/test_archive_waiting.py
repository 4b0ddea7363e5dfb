"""Envelopes of codec compact in the archive: rows for SQL, exactly once, whenever their schemas come."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from headgate.columns import Columns
from headgate.envelope import compact, header
from headgate.envelope.schemas import SchemaBook
from headgate.model import ClockState, EnvelopeId, Series
from headgate_cloud import waiting
from headgate_cloud.archive import Place
from headgate_cloud.ingest import Ingest
from headgate_cloud.schemas import Schemas
from headgate_cloud.strict import Undecodable
from headgate_cloud.tables import Kept
from tests.unit.headgate_cloud.ingest_examples import message
from tests.unit.headgate_cloud.test_ingest_tables import Cloud

EPOCH = 0x8C0F3A5B77D01E42
ROOM_BYTES = header.room_bytes("gw-1", header.COMPACT)
VOLTS = [Series(f"meter-{i}/voltage", "V", "f64", 1, 1) for i in range(2)]


class Gateway:
    """Seals envelopes and the reports of their schemas, a page for each series."""

    def __init__(self) -> None:
        self._book = SchemaBook({})
        self.pages = [self._book.add([series], ROOM_BYTES, 0)[0] for series in VOLTS]

    def samples(self, seq: int, *which: int, received_ms: int = 1_763_685_600_000) -> str:
        """A message with one sample of each of the series."""
        columns = _columns([VOLTS[i] for i in which or (0,)], 1_000 * seq)
        (part,) = compact.pack_samples([columns], ClockState.SYNCED, ROOM_BYTES, self._book)
        body = header.seal(part, EnvelopeId("gw-1", "live", EPOCH, seq), None)
        return message(body, codec="compact", received_ms=received_ms)

    def schema(self, seq: int, which: int = 0) -> str:
        """A message that tells a page."""
        part = self._book.report(self.pages[which], ClockState.SYNCED)
        body = header.seal(part, EnvelopeId("gw-1", "reports", EPOCH, seq), None)
        return message(body, stream="reports")


@pytest.fixture(scope="module")
def clouds() -> Iterator[Iterator[Cloud]]:
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        yield (Cloud(client, f"w{n}-") for n in itertools.count())


def rows(cloud: Cloud) -> dict[int, list[tuple[str, float]]]:
    """By seq what SQL sees by the index of samples; also checks that the bytes come back."""
    found = {}
    for item in cloud.rows("Envelopes"):
        if "/live/" not in item["stream_key"]["S"]:
            continue
        cloud.body(item)
        lines = gzip.decompress(cloud.archive.data(item["object"]["S"])).splitlines()
        line = json.loads(lines[int(item["line"]["N"])])
        columns = line.get("columns", [])
        found[int(item["seq"]["N"])] = [(each["series"], v) for each in columns for v in each["value"]]
    return found


def in_all_objects(cloud: Cloud) -> list[int]:
    """The seqs of the lines with columns, of all objects: what the view counts without the index."""
    listed = cloud.archive.client.list_objects_v2(Bucket=cloud.archive.bucket)["Contents"]
    lines = [
        json.loads(line)
        for each in listed
        for line in gzip.decompress(cloud.archive.data(each["Key"])).splitlines()
    ]
    return sorted(line["seq"] for line in lines if "columns" in line)


def waits(cloud: Cloud) -> list[str]:
    """Notes, and index rows that wait."""
    items = cloud.rows("Envelopes")
    return [i["stream_key"]["S"] for i in items if "waits" in i or "/waits/" in i["stream_key"]["S"]]


def volts(*which: int) -> list[tuple[str, float]]:
    return [(VOLTS[i].name, 230.1) for i in which or (0,)]


def test_a_schema_known_before_or_told_in_the_same_batch(clouds: Iterator[Cloud]) -> None:
    cloud, gateway = next(clouds), Gateway()
    cloud.run(gateway.samples(2), gateway.schema(2))  # in whatever order they stand in it
    assert rows(cloud) == {2: volts()}
    cloud.run(gateway.samples(3))
    assert rows(cloud) == {2: volts(), 3: volts()}
    assert waits(cloud) == []
    assert in_all_objects(cloud) == [2, 3]
    assert not any("want" in ack for _, ack in cloud.acks.sent)


def test_a_schema_that_comes_later_is_asked_for_and_brings_the_rows_once(clouds: Iterator[Cloud]) -> None:
    cloud, gateway = next(clouds), Gateway()
    first, second = gateway.samples(2), gateway.samples(3)
    cloud.run(first)
    cloud.run(second)
    cloud.run(first)  # the report was lost, the envelope is sent again
    assert rows(cloud) == {2: [], 3: []}
    assert [ack["want"] for _, ack in cloud.acks.sent] == [[gateway.pages[0].hex()]] * 3
    assert cloud.run(gateway.schema(2)) == []
    assert rows(cloud) == {2: volts(), 3: volts()}
    assert cloud.run(gateway.schema(2), gateway.schema(3), first) == []  # told again: nothing is done twice
    assert rows(cloud) == {2: volts(), 3: volts()}
    assert waits(cloud) == []
    assert in_all_objects(cloud) == [2, 3]
    assert cloud.rows("Rejected") == []


def test_an_envelope_that_needs_two_schemas_waits_for_both(clouds: Iterator[Cloud]) -> None:
    cloud, gateway = next(clouds), Gateway()
    cloud.run(gateway.samples(2, 0, 1))
    cloud.run(gateway.schema(2, 1))
    assert rows(cloud) == {2: []}
    cloud.run(gateway.schema(3, 0))
    assert rows(cloud) == {2: volts(0, 1)}
    assert waits(cloud) == []


def test_a_schema_told_by_another_handler_while_the_envelope_is_stored(
    clouds: Iterator[Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other finds no note, or no index row, or both: whoever is later expands, and never both."""
    for moment in ("note", "keep"):
        cloud, gateway = next(clouds), Gateway()
        other = _another(cloud)
        kept = type(cloud.ingest.tables).keep
        noted = waiting.Waiting.note

        def tell(cloud: Cloud = cloud, gateway: Gateway = gateway, other: Ingest = other) -> None:
            monkeypatch.undo()
            assert other.run([{"messageId": "other", "body": gateway.schema(2)}]) == []

        def keep(
            self: Any, arrival: Any, place: Place, kept: Any = kept, tell: Any = tell
        ) -> tuple[Kept, str]:
            tell()
            found: tuple[Kept, str] = kept(self, arrival, place)
            return found

        def note(self: Any, arrival: Any, place: Place, noted: Any = noted, tell: Any = tell) -> None:
            tell()
            noted(self, arrival, place)

        if moment == "note":
            monkeypatch.setattr(waiting.Waiting, "note", note)
        else:
            monkeypatch.setattr(type(cloud.ingest.tables), "keep", keep)
        assert cloud.run(gateway.samples(2)) == []
        assert rows(cloud) == {2: volts()}, moment
        assert [key for key in waits(cloud) if "/live/" in key] == []
        assert in_all_objects(cloud) == [2]


def test_a_handler_that_dies_behind_the_index_is_made_up_for(
    clouds: Iterator[Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, gateway = next(clouds), Gateway()
    with monkeypatch.context() as patched:
        patched.setattr(waiting.Waiting, "look_again", _die)
        assert cloud.run(gateway.samples(2)) == ["m0"]
    with monkeypatch.context() as patched:  # and the one that was told as well, before it read the notes
        patched.setattr(waiting.Waiting, "told", _die)
        assert _another(cloud).run([{"messageId": "m1", "body": gateway.schema(2)}]) == ["m1"]
    assert rows(cloud) == {2: []}
    assert cloud.run(gateway.samples(2)) == []  # the queue delivers it again
    assert rows(cloud) == {2: volts()}
    assert cloud.run(gateway.schema(2)) == []
    assert waits(cloud) == []
    assert in_all_objects(cloud) == [2]


def test_more_than_one_go_takes_come_with_the_report_again(
    clouds: Iterator[Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, gateway = next(clouds), Gateway()
    monkeypatch.setattr(waiting, "MAX_EXPANDED", 2)
    cloud.run(*(gateway.samples(seq) for seq in range(2, 5)))
    assert cloud.run(gateway.schema(2)) == ["m0"]
    assert sum(map(bool, rows(cloud).values())) == 2
    assert cloud.run(gateway.schema(2)) == []
    assert rows(cloud) == dict.fromkeys(range(2, 5), volts())


def test_what_no_schema_makes_sense_of_is_a_flaw_and_blocks_nothing(
    clouds: Iterator[Cloud], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, gateway = next(clouds), Gateway()
    cloud.run(gateway.samples(2))

    def decode(*_: object) -> None:
        raise Undecodable("$.body", "values that are no text")

    monkeypatch.setattr(Schemas, "decode", decode)
    assert cloud.run(gateway.schema(2)) == []
    (row,) = (r for r in cloud.rows("Envelopes") if "/live/" in r["stream_key"]["S"])
    assert "values that are no text" in row["rejected"]["S"]
    assert "waits" not in row
    assert [r["code"]["S"] for r in cloud.rows("Rejected")] == ["undecodable"]
    assert waits(cloud) == []


def _die(*_: object) -> None:
    raise RuntimeError("killed")


def _another(cloud: Cloud) -> Ingest:
    """A second handler on the same tables, with nothing in its memory."""
    ingest = cloud.ingest
    assert ingest.schemas is not None
    schemas = Schemas(ingest.schemas.client, ingest.schemas.table)
    reports = replace(ingest.reports, schemas=schemas)
    return replace(ingest, schemas=schemas, reports=reports, pool=ThreadPoolExecutor(1))


def _columns(series: list[Series], t_ms: int) -> Columns:
    return Columns(tuple(series), [t_ms], [[230.1]] * len(series), [None] * len(series))
