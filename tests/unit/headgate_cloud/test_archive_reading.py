"""Envelopes read back from the archive: through the index, both codecs, each sample and window once."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from decimal import Decimal

import boto3
import pytest
from moto import mock_aws

from headgate_cloud.forms import Column, Envelope, Header, WindowRow
from headgate_cloud.merged import Merged, as_json
from headgate_cloud.reading import Reader
from headgate_cloud.schemas import Schemas
from tests.unit.headgate_cloud.ingest_examples import EPOCH, message
from tests.unit.headgate_cloud.test_archive_waiting import VOLTS, Gateway
from tests.unit.headgate_cloud.test_ingest_tables import Cloud

HEAD = Header("windows", "live", EPOCH, 7, None, "synced")
RECEIVED_MS = 1_763_685_600_000
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def clouds() -> Iterator[Iterator[Cloud]]:
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        yield (Cloud(client, f"r{n}-") for n in itertools.count())


def reader(cloud: Cloud) -> Reader:
    return Reader(cloud.archive, cloud.ingest.tables, Schemas(cloud.client, cloud.prefix + "Streams"))


def json_samples(seq: int, **changes: object) -> str:
    column = {"u": "A", "k": "f64", "d": 1, "r": 1, "t": 0, "last": 2.1, "v": [20, 1]}
    found = {"v": 1, "kind": "samples", "stream": "backlog", "epoch": EPOCH, "seq": seq, "clock": "synced"}
    body = {**found, "times": [[5_000, 100]], "columns": {"meter-0/current": column}}
    return message(json.dumps(body).encode(), stream="backlog", **changes)


def window(start_ms: int, n: int, correction: int = 0) -> WindowRow:
    return WindowRow("m/t", start_ms, 10_000, "V", 1, 1, n, 1.0, 2.0, 1.5, 0.1, 1.0, 2.0, 10_000, correction)


def test_both_codecs_are_read_once_whatever_lies_in_the_archive(clouds: Iterator[Cloud]) -> None:
    cloud, gateway = next(clouds), Gateway()
    cloud.run(gateway.samples(2))  # unexpanded at first: its object stays beside the one that the index names
    cloud.run(json_samples(2), gateway.schema(2))
    cloud.run(json_samples(3, received_ms=RECEIVED_MS + DAY_MS))  # the same samples under another key
    cloud.run(gateway.samples(3, received_ms=RECEIVED_MS + 3 * DAY_MS))
    found = reader(cloud)
    with Merged(0, 1 << 62) as merged:
        for envelope in found.envelopes("gw-1", RECEIVED_MS, RECEIVED_MS + DAY_MS):
            merged.add(envelope)
        assert [(s.series, s.t_ms, s.value, s.unit) for s in merged.samples()] == [
            ("meter-0/current", 5_000, "2.0", "A"),
            ("meter-0/current", 5_100, "2.1", "A"),
            (VOLTS[0].name, 2_000, "230.1", "V"),
        ]
    assert found.counts == {"read": 4}  # the report of the schema too
    days = found.envelopes("gw-1", RECEIVED_MS + 3 * DAY_MS, RECEIVED_MS + 3 * DAY_MS)
    assert [envelope.header.seq for envelope in days] == [3]
    assert list(found.envelopes("gw", RECEIVED_MS, RECEIVED_MS + DAY_MS)) == []


def test_what_cannot_be_read_is_counted(clouds: Iterator[Cloud]) -> None:
    cloud, gateway = next(clouds), Gateway()
    cloud.run(gateway.samples(2))
    cloud.run(json_samples(2))
    (key,) = (row["object"]["S"] for row in cloud.rows("Envelopes") if "/backlog/" in row["stream_key"]["S"])
    cloud.archive.client.put_object(Bucket=cloud.archive.bucket, Key=key, Body=b"no gzip")
    found = reader(cloud)
    assert list(found.envelopes("gw-1", RECEIVED_MS, RECEIVED_MS)) == []
    assert found.counts == {"unknown": 1, "damaged": 1}


def test_of_a_window_the_highest_revision_holds_and_then_the_most_samples() -> None:
    rows = [window(0, 5), window(0, 9), window(0, 7), window(10_000, 9), window(10_000, 3, correction=2)]
    envelopes = [Envelope(HEAD, windows=(row,)) for row in rows]
    for seed in range(10):
        random.Random(seed).shuffle(envelopes)
        with Merged(0, 20_000) as merged:
            for envelope in envelopes:
                merged.add(envelope)
            assert [(w["start_ms"], w["n"], w["correction"]) for w in merged.windows()] == [
                (0, 9, 0),
                (10_000, 3, 2),
            ]
    with Merged(10_000, 20_000, lambda series: series == "m/u") as merged:
        merged.add(envelopes[0])
        assert list(merged.windows()) == []


def test_samples_of_the_time_and_series_that_are_wanted() -> None:
    column = Column("m/t", "V", "i64", None, 1, (1, 2, 3, 2), (5, 6, None, 6), (0, 0, 3, 0), 6)
    with Merged(2, 4, lambda series: series.startswith("m/")) as merged:
        merged.add(Envelope(HEAD, columns=(column,)))
        merged.add(Envelope(HEAD, columns=(column,)))
        assert [(s.t_ms, s.value, s.quality) for s in merged.samples()] == [(2, "6", 0), (3, "null", 3)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**64 - 1, "18446744073709551615"),
        (Decimal("12345678901234567.8"), "12345678901234567.8"),
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        ("ä\n", '"ä\\n"'),
        (True, "true"),
        (None, "null"),
        (0.1, "0.1"),
    ],
)
def test_values_are_exact(value: object, text: str) -> None:
    assert as_json(value) == text  # type: ignore[arg-type]  # of any kind
