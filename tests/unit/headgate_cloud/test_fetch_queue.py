"""The queue of fetches on real DynamoDB semantics (moto in process): order, limits, tries, ends, rules."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gateway_sim.cloud.run import TEMPLATE
from gateway_sim.cloud.stack import read
from gateway_sim.cloud.template import Template
from headgate_cloud.fetch import MAX_TRIES, START_MS, Fetching, Limits, pause_ms
from headgate_cloud.fetchrules import Announced, BadRules, FetchRule, priority_of, rules
from headgate_cloud.fetchtable import WAITING, FetchTable, rank
from headgate_cloud.filetables import FileTables
from headgate_cloud.gateways import Gateways

T0 = 1_763_685_600_000
SILENT_MS = 900_000


class World:
    """Fetches, Files and Gateways as the template makes them, and a clock."""

    def __init__(self, client: Any) -> None:
        self.client, self.now_ms, self.asked = client, T0, list[tuple[str, str]]()
        self.said: list[Mapping[str, object]] = []
        self.fetches = FetchTable(client, "headgate-Fetches")
        self.gateways = Gateways(client, "headgate-Gateways")

    def publish(self, *, topic: str, qos: int, payload: bytes) -> None:
        request = json.loads(payload)
        assert (request["op"], request["args"]["wait"]) == ("fetch", False)
        assert request["deadline_ms"] > self.now_ms
        self.asked.append((topic.split("/")[2], request["args"]["file_id"]))

    def step(self, *, overall: int = 2, per_gateway: int = 1) -> list[tuple[str, str]]:
        """One run; who was asked for what, in it."""
        self.asked.clear()
        files = FileTables(self.client, "headgate-Files", "")
        limits = Limits(overall, per_gateway, SILENT_MS)
        Fetching(
            self.fetches, files, self.gateways, self, limits, lambda: self.now_ms, self.said.append
        ).run()
        return list(self.asked)

    def file(self, thing: str, file_id: str, state: str = "announced") -> None:
        item = {"thing": {"S": thing}, "file_id": {"S": file_id}, "size": {"N": "1"}, "state": {"S": state}}
        self.client.put_item(TableName="headgate-Files", Item=item)

    def want(self, thing: str, file_id: str, priority: int = 5) -> None:
        self.file(thing, file_id)
        self.gateways.seen(thing, self.now_ms)
        self.fetches.want(thing, file_id, priority, by="operator", now_ms=self.now_ms)

    def states(self, thing: str) -> dict[str, tuple[str, int]]:
        return {fetch.file_id: (fetch.state, fetch.tries) for fetch in self.fetches.all(thing)}


@pytest.fixture
def world() -> Iterator[World]:
    with mock_aws():
        keys = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        clients = [boto3.client(name, **keys) for name in ("dynamodb", "sqs", "s3", "sns")]
        read(Template(TEMPLATE)).deploy(*clients)
        yield World(clients[0])


def test_slots_are_filled_in_the_order_of_priority_and_age(world: World) -> None:
    for n, priority in enumerate((1, 5, 9, 5, 0)):
        world.now_ms += 1
        world.want(f"gw-{n}", f"{n}", priority)
    assert world.step() == [("gw-2", "2"), ("gw-1", "1")]
    assert world.step() == []  # both slots are taken
    world.file("gw-2", "2", "complete")
    assert world.step() == [("gw-3", "3")]
    assert world.states("gw-2") == {"2": ("done", 1)}
    world.file("gw-1", "1", "complete")
    world.file("gw-3", "3", "complete")
    assert world.step() == [("gw-0", "0"), ("gw-4", "4")]


def test_a_gateway_has_its_own_limit_and_a_silent_one_holds_up_nobody(world: World) -> None:
    world.want("off", "a", 9)
    world.now_ms += SILENT_MS + 1
    for file_id in ("b", "c", "d"):
        world.want("on", file_id)
    world.want("other", "e", 0)
    assert world.step(overall=3) == [("on", "b"), ("other", "e")]
    world.gateways.seen("off", world.now_ms)
    assert world.step(overall=3) == [("off", "a")]
    assert world.states("off") == {"a": ("started", 1)}
    world.now_ms += SILENT_MS + 1
    world.gateways.seen("on", world.now_ms)
    world.file("other", "e", "complete")
    assert world.step(overall=1) == [("on", "c")]  # b was not heard of; it waits out a pause
    assert world.states("off") == {"a": (WAITING, 0)}  # silence is not counted as a try


def test_no_answer_is_tried_ever_more_rarely_and_then_given_up(world: World) -> None:
    world.want("gw", "a")
    tries = itertools.count(1)
    while world.states("gw")["a"][0] != "failed":
        world.gateways.seen("gw", world.now_ms)
        assert world.step() == [("gw", "a")]
        n = next(tries)
        world.now_ms += START_MS
        world.gateways.seen("gw", world.now_ms)
        assert world.step() == []
        world.now_ms += pause_ms(n)
    assert world.states("gw") == {"a": ("failed", MAX_TRIES)}
    assert list(world.fetches.queue(WAITING)) == []
    assert world.fetches.renew("gw", "a", 3, by="operator", now_ms=world.now_ms)
    world.gateways.seen("gw", world.now_ms)
    assert world.step() == [("gw", "a")]
    assert not world.fetches.renew("gw", "a", 9, by="operator", now_ms=world.now_ms)  # it runs


def test_an_upload_under_way_keeps_its_slot(world: World) -> None:
    world.want("gw", "a")
    world.step()
    world.file("gw", "a", "uploading")
    world.now_ms += 10 * START_MS
    world.gateways.seen("gw", world.now_ms)
    assert world.step() == []
    assert world.states("gw") == {"a": ("started", 1)}


def test_what_is_cancelled_or_unknown_is_not_asked_for(world: World) -> None:
    world.want("gw", "a", 9)
    world.gateways.seen("gw", world.now_ms)
    world.fetches.want("gw", "nowhere", 5, by="operator", now_ms=world.now_ms)
    assert world.fetches.end("gw", "a", "cancelled", "", world.now_ms)
    assert not world.fetches.end("gw", "a", "cancelled", "", world.now_ms)
    assert world.step() == []
    assert world.states("gw") == {"a": ("cancelled", 0), "nowhere": ("failed", 0)}
    assert not world.fetches.want("gw", "a", 9, by="rule", now_ms=world.now_ms)  # a rule does not insist


def test_a_request_that_cannot_be_published_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError("no")

    world.want("gw", "a")
    world.want("gw-2", "b")
    monkeypatch.setattr(world, "publish", refuse)
    world.step()
    assert [entry["error"] for entry in world.said if entry["event"] == "failed to ask"] == [
        "OSError: no"
    ] * 2
    assert world.states("gw") == {"a": ("started", 1)}


def test_rules_choose_by_source_path_size_and_age() -> None:
    given = rules(
        '[{"source": "logs", "max_bytes": 10, "priority": 2}, {"source": "capture*", "priority": 9}]'
    )
    assert given[1] == FetchRule(source="capture*", priority=9)

    def priority(source: str, size: int) -> int | None:
        return priority_of(Announced(source, "a/b", size, 60), given)

    assert [priority("logs", 10), priority("logs", 11), priority("captures", 99)] == [2, None, 9]
    (recent,) = rules('[{"path": "*.csv", "max_age_s": 5}]')
    assert [recent.covers(Announced("x", "a/b.csv", 1, age_s)) for age_s in (5, 6)] == [True, False]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not JSON"),
        ("{}", "a JSON list"),
        ("[1]", r"FetchRules\[0\] is an object"),
        ('[{"size": 1}]', r"FetchRules\[0\].size is none of"),
        ('[{"max_bytes": "1"}]', r"FetchRules\[0\].max_bytes is '1', not of type int"),
        ('[{"priority": 10}]', r"FetchRules\[0\].priority is 10, not 0 to 9"),
    ],
)
def test_bad_rules_are_named(text: str, what: str) -> None:
    with pytest.raises(BadRules, match=what):
        rules(text)


def test_no_such_priority() -> None:
    with pytest.raises(ValueError, match="10 is no priority"):
        rank(10, 0)
