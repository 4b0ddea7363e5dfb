"""Gateways that went back to an older copy of their state: noticed in any order, and nothing is dropped."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from moto import mock_aws

from tests.unit.headgate_cloud.ingest_examples import message, report
from tests.unit.headgate_cloud.test_ingest_tables import Cloud

OLD, NEW, OTHER = "11f0c2aa90b3d4e5", "22f0c2aa90b3d4e5", "33f0c2aa90b3d4e5"
ACK_SCHEMA = json.loads((Path(__file__).parents[3] / "schemas/ack.v1.json").read_text())


@pytest.fixture(scope="module")
def clouds() -> Iterator[Iterator[Cloud]]:
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        yield (Cloud(client, f"t{n}-") for n in itertools.count())


def old(seq: int) -> str:
    return message(report(seq, epoch=OLD))


def after(seq: int, epoch: str = NEW, before: str = OLD) -> str:
    return message(report(1, epoch=epoch, prev={"epoch": before, "seq": seq}))


def forked(cloud: Cloud) -> dict[str, str]:
    rows = {row["stream_key"]["S"]: row for row in cloud.rows("Streams")}
    return {key.split("/")[-1]: row["forked"]["S"] for key, row in rows.items() if "forked" in row}


def reported(cloud: Cloud) -> list[dict[str, Any]]:
    return [dict(entry) for entry in cloud.said if entry["event"] == "forked"]


def test_an_epoch_that_follows_is_no_fork_in_any_order(clouds: Iterator[Cloud]) -> None:
    for order in itertools.permutations([old(1), old(2), after(2), after(1, OTHER, NEW)]):
        cloud = next(clouds)
        for each in order:
            assert cloud.run(each) == []
        assert forked(cloud) == {}
        assert reported(cloud) == []
        assert not any("forked" in ack for _, ack in cloud.acks.sent)


def test_an_epoch_that_names_an_older_seq_is_a_fork_in_any_order(clouds: Iterator[Cloud]) -> None:
    for order in itertools.permutations([old(1), old(3), old(2), after(1)]):
        cloud = next(clouds)
        for each in order:
            assert cloud.run(each) == []
        cloud.run(message(report(2, epoch=NEW)))
        assert list(forked(cloud)) == [NEW]
        assert f"from epoch {OLD} at seq 1" in forked(cloud)[NEW]
        (said,) = reported(cloud)
        assert said["Forks"] == 1
        assert said["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Headgate"
        assert cloud.acks.sent[-1][1]["forked"] == forked(cloud)[NEW]
        jsonschema.validate(cloud.acks.sent[-1][1], ACK_SCHEMA)
        assert len(cloud.rows("Envelopes")) == 5
        assert cloud.rows("Rejected") == []


def test_two_epochs_that_follow_the_same_are_a_fork(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    assert cloud.run(old(1), after(1)) == []
    assert cloud.run(after(1, OTHER)) == []
    assert cloud.run(after(1, OTHER)) == []
    assert forked(cloud) == {OTHER: f"epoch {NEW} goes on from epoch {OLD} too"}
    assert len(reported(cloud)) == 1
    assert ["forked" in ack for _, ack in cloud.acks.sent] == [False, False, True, True]


def test_an_epoch_taken_up_again_is_a_fork_and_both_contents_stay(clouds: Iterator[Cloud]) -> None:
    cloud = next(clouds)
    assert cloud.run(old(1), old(2)) == []
    other = report(2, epoch=OLD, report={"type": "other"})
    assert cloud.run(message(other)) == []
    assert forked(cloud) == {OLD: "seq 2 came with another content than the one held"}
    assert [row["body"]["B"] for row in cloud.rows("Rejected")] == [other]
    assert cloud.acks.sent[-1][1]["up_to"] == 2
    assert "forked" in cloud.acks.sent[-1][1]
