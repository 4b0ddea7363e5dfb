"""Tombstones: marked once, never over an envelope, and streams go on over them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from tests.unit.headgate_cloud.ingest_examples import EPOCH, message, report
from tests.unit.headgate_cloud.test_ingest_tables import Cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        yield Cloud(client, "s-")


def tombstone(seq: int, first: int, last: int, **changes: object) -> str:
    fields = {"type": "shed", "stream": "live", "epoch": EPOCH, "first": first, "last": last}
    body = report(seq, stream="reports", report={**fields, "samples": 9, "why": "byte cap", **changes})
    return message(body, stream="reports")


def test_a_stream_goes_on_over_what_was_shed(cloud: Cloud) -> None:
    cloud.run(message(report(1)), message(report(2)), message(report(6)))
    assert cloud.acks.sent[-1][1]["up_to"] == 2
    assert cloud.run(tombstone(1, 2, 5)) == []
    rows = {
        int(row["seq"]["N"]): row for row in cloud.rows("Envelopes") if "/live/" in row["stream_key"]["S"]
    }
    assert [seq for seq, row in sorted(rows.items()) if "shed" in row] == [3, 4, 5]
    assert rows[2]["digest"]["S"] == hashlib.sha256(report(2)).hexdigest()
    (stream,) = [row for row in cloud.rows("Streams") if "/live/" in row["stream_key"]["S"]]
    assert stream["up_to"]["N"] == "6"
    assert cloud.run(tombstone(1, 2, 5), message(report(7))) == []
    assert {ack["stream"]: ack["up_to"] for _, ack in cloud.acks.sent[-2:]} == {"reports": 1, "live": 7}


def test_an_envelope_that_comes_after_all_takes_the_mark_s_place(cloud: Cloud) -> None:
    cloud.run(tombstone(1, 1, 3))
    assert cloud.run(message(report(2))) == []
    rows = {
        int(row["seq"]["N"]): row for row in cloud.rows("Envelopes") if "/live/" in row["stream_key"]["S"]
    }
    assert "shed" not in rows[2]
    assert rows[2]["digest"]["S"] == hashlib.sha256(report(2)).hexdigest()
    assert cloud.rows("Rejected") == []


def test_a_malformed_tombstone_is_told_and_blocks_nothing(cloud: Cloud) -> None:
    assert cloud.run(tombstone(1, 5, 4), tombstone(2, 1, 2_000), tombstone(3, 1, 1, stream="other")) == []
    assert [entry["event"] for entry in cloud.said].count("malformed report") == 3
    assert cloud.acks.sent[-1][1]["up_to"] == 3
