"""Heartbeats and presence in the table Gateways, on DynamoDB's semantics (moto in process), and shown."""

from __future__ import annotations

import argparse
import base64
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from moto import mock_aws

from headgate_cloud.cli import replies
from headgate_cloud.cli.commands import gateways as command
from headgate_cloud.cli.errors import Complaint
from headgate_cloud.cli.gateways import SILENT_AFTER_MS, GatewayTable, gateway_row
from headgate_cloud.cli.output import Output
from headgate_cloud.health import HealthTable
from headgate_cloud.intake import Arrival, read
from headgate_cloud.presence import Presence
from headgate_cloud.reports import Reports
from tests.unit.headgate_cloud.ingest_examples import EPOCH, message, report

NOW_MS = 1_763_685_600_000
BEAT = {
    "type": "health",
    "t": NOW_MS,
    "versions": {"headgate": "0.1.0", "python": "3.11.7", "nucleus": "classic"},
    "config": "ab" * 32,
    "interval_s": 300,
    "backlog": {"envelopes": 3, "bytes": 12_000, "oldest_s": 4},
    "cost": {"month_usd": 0.0123, "step": 0},
    "bridges": {"modbus": {"alive": True, "good": 5, "bad": 2}, "ble": {"alive": True, "good": 1, "bad": 0}},
}


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        made = boto3.client(
            "dynamodb", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        made.create_table(
            TableName="Gateways",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "thing", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "thing", "AttributeType": "S"}],
        )
        yield made


def item(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get_item(TableName="Gateways", Key={"thing": {"S": "gw-1"}}).get(
        "Item", {}
    )
    return found


def arrival(seq: int, received_ms: int, epoch: str = EPOCH, **fields: object) -> Arrival:
    body = report(seq, stream="health", epoch=epoch, report={**BEAT, "seq": seq, **fields})
    found = read(message(body, stream="health", received_ms=received_ms), NOW_MS)
    assert isinstance(found, Arrival)
    assert found.flaw is None
    return found


def reports(client: Any, said: list[Mapping[str, object]]) -> Reports:
    return Reports(client, "Files", "Replies", said.append, health=HealthTable(client, "Gateways"))


def test_the_newest_heartbeat_wins_in_any_order_with_repeats(client: Any) -> None:
    other = "00000000000000aa"
    beats = [arrival(1, 100), arrival(2, 400), arrival(1, 900, other)]
    for order in itertools.permutations([*beats[:2], arrival(1, 500)]):
        client.delete_item(TableName="Gateways", Key={"thing": {"S": "gw-1"}})
        for each in order:
            reports(client, []).take(each)
        assert json.loads(item(client)["health"]["S"])["seq"] == 2
    reports(client, []).take(beats[2])
    assert item(client)["health_epoch"]["S"] == other
    reports(client, []).take(beats[1])
    assert item(client)["health_epoch"]["S"] == other


def test_a_malformed_heartbeat_is_said_and_changes_nothing(client: Any) -> None:
    said: list[Mapping[str, object]] = []
    reports(client, said).take(arrival(1, 100, t="now"))
    assert item(client) == {}
    assert [entry["event"] for entry in said] == ["malformed report"]


def lifecycle(event: str, t_ms: int, session: str, client_id: str = "gw-1") -> str:
    said = {"clientId": client_id, "timestamp": t_ms, "eventType": event, "sessionIdentifier": session}
    body = base64.b64encode(json.dumps(said).encode()).decode()
    return json.dumps({"body": body, "event": event, "client": client_id, "received_ms": t_ms})


def take(client: Any, *events: str) -> list[Mapping[str, object]]:
    said: list[Mapping[str, object]] = []
    records: list[Any] = [{"messageId": str(i), "body": event} for i, event in enumerate(events)]
    assert Presence(HealthTable(client, "Gateways"), said.append).run(records) == []
    return said


def test_presence_is_that_of_the_newest_session_in_any_order(client: Any) -> None:
    events = [
        lifecycle("connected", 1_000, "a"),
        lifecycle("connected", 2_000, "b"),
        lifecycle("disconnected", 2_010, "a"),  # the session that the second one replaced
    ]
    for order in itertools.permutations(events):
        client.put_item(TableName="Gateways", Item={"thing": {"S": "gw-1"}})
        take(client, *order)
        found = item(client)
        if order.index(events[2]) > order.index(events[1]):
            assert (found["connected"]["BOOL"], found["connected_session"]["S"]) == (True, "b")
    client.put_item(TableName="Gateways", Item={"thing": {"S": "gw-1"}})
    take(client, events[0], lifecycle("disconnected", 3_000, "a"), events[0])
    assert item(client)["connected"]["BOOL"] is False


def test_other_clients_and_further_connections_are_no_gateways(client: Any) -> None:
    said = take(
        client,
        lifecycle("connected", 1, "a", "headgate-cli-7"),
        lifecycle("connected", 1, "a", "gw-1#2"),
        lifecycle("subscribed", 1, "a"),
        "{}",
    )
    assert client.scan(TableName="Gateways")["Items"] == []
    assert [entry["event"] for entry in said] == ["malformed presence", "malformed presence"]


def test_what_fails_comes_again(client: Any) -> None:
    said: list[Mapping[str, object]] = []
    presence = Presence(HealthTable(client, "Nowhere"), said.append)
    assert presence.run([{"messageId": "m", "body": lifecycle("connected", 1, "a")}]) == ["m"]


def stored(thing: str, **fields: Any) -> dict[str, Any]:
    return {"thing": {"S": thing}, **fields}


def healthy(t_ms: int, **changes: object) -> dict[str, Any]:
    return {"health": {"S": json.dumps({**BEAT, **changes})}, "health_ms": {"N": str(t_ms)}}


def test_states() -> None:
    fresh = healthy(NOW_MS - 60_000)
    gone = {"connected": {"BOOL": False}, "connected_ms": {"N": str(NOW_MS - 1_000)}}
    assert gateway_row(stored("a", **fresh)).state(NOW_MS) == "online"
    assert gateway_row(stored("a", **fresh, **gone)).state(NOW_MS) == "offline"
    assert gateway_row(stored("a", **healthy(NOW_MS), **gone)).state(NOW_MS) == "online"
    assert gateway_row(stored("a", **healthy(NOW_MS - SILENT_AFTER_MS - 1))).state(NOW_MS) == "silent"
    rare = healthy(NOW_MS - SILENT_AFTER_MS - 1, interval_s=3_600)
    assert gateway_row(stored("a", **rare)).state(NOW_MS) == "online"
    assert gateway_row(stored("a", **healthy(NOW_MS, bridges=[1], interval_s="x"))).worst_bridge() == ""


def test_the_worst_bridge_is_a_dead_one() -> None:
    assert gateway_row(stored("a", **healthy(NOW_MS))).worst_bridge() == "modbus: 2 of 7 devices silent"
    bridges = {**BEAT["bridges"], "ble": {"alive": False}}  # type: ignore[dict-item]  # a mapping, above
    row = gateway_row(stored("a", **healthy(NOW_MS, bridges=bridges)))
    assert row.worst_bridge() == "ble: no answer"


class OneTable:
    """The cloud that the command line sees."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, service: str) -> Any:
        assert service == "dynamodb"
        return self._client

    def table(self, logical: str) -> str:
        return logical


def test_the_command_lists_the_troubled_first_and_shows_one(
    client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "chosen", lambda given: OneTable(client))
    monkeypatch.setattr(command, "now_ms", lambda: NOW_MS)
    for thing, t_ms in (("gw-a", NOW_MS - 30_000), ("gw-b", NOW_MS - 7_200_000)):
        client.put_item(TableName="Gateways", Item=stored(thing, **healthy(t_ms)))
    given = argparse.Namespace(json=False, thing=[], name="gw-a")
    assert command.run(given) == 0
    text = capsys.readouterr().out
    assert text.index("gw-b") < text.index("gw-a")
    for word in ("silent", "online", "0.0123 USD", "0.1.0", "classic", "abababababab", "1 online  1 silent"):
        assert word in text
    given.json = True
    assert command.run(given) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["thing"], line["state"]) for line in lines] == [("gw-b", "silent"), ("gw-a", "online")]
    given.json = False
    assert command.show(given) == 0
    assert "backlog.envelopes" in capsys.readouterr().out
    given.name = "gw-z"
    with pytest.raises(Complaint, match="gw-z has not been heard"):
        command.show(given)
    assert GatewayTable(OneTable(client)).one("gw-z") is None  # type: ignore[arg-type]  # as much as it needs


def test_what_was_used_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"day": "2026-01-01", "way": "up", "kind": "live", "messages": 5, "bytes": 20_000, "units": 6}
    reply = {"status": "ok", "code": "ok", "detail": "", "file_id": None}
    usage = [{**row, "usd": 1.8e-06}, {**row, "kind": "ack", "usd": None, "again": True}]
    replies.show(Output(as_json=False), "gw-1", {**reply, "result": {"usage": usage}}, NOW_MS)
    text = capsys.readouterr().out
    assert all(word in text for word in ("2026-01-01", "live", "0.000002", "ack again", "19.5 KiB"))
