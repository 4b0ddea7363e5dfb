"""The watch: who counts as silent, and that each change is told once (moto in process for the tables)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from moto import mock_aws

from gateway_sim.cloud.run import TEMPLATE
from gateway_sim.cloud.stack import read
from gateway_sim.cloud.template import Template
from headgate_cloud.gateways import Gateway, Gateways
from headgate_cloud.silent import Watch, silence

T0 = 1_763_685_600_000
AFTER_S = 900


class World:
    """The table Gateways as the template makes it, a topic that keeps its notices, and a clock."""

    def __init__(self, client: Any) -> None:
        self.now_ms, self.notices, self.said = T0, list[dict[str, str]](), list[Mapping[str, Any]]()
        self.gateways = Gateways(client, "headgate-Gateways")

    def publish(self, **notice: str) -> None:
        self.notices.append(notice)

    def look(self, later_s: int = 0) -> list[str]:
        self.now_ms += later_s * 1000
        self.notices.clear()
        Watch(self.gateways, self, "arn", AFTER_S, lambda: self.now_ms, self.said.append).run()
        return [notice["Message"] for notice in self.notices]


@pytest.fixture
def world() -> Iterator[World]:
    with mock_aws():
        keys = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        clients = [boto3.client(name, **keys) for name in ("dynamodb", "sqs", "s3", "sns")]
        read(Template(TEMPLATE)).deploy(*clients)
        yield World(clients[0])


def test_silence_is_told_once_and_so_is_its_end(world: World) -> None:
    world.gateways.seen("gw-1", T0)
    world.gateways.seen("gw-2", T0)
    assert world.look(AFTER_S) == []
    world.gateways.seen("gw-2", world.now_ms)
    assert world.look(1) == ["Silent for more than 900 s:\n  gw-1, last heard 901 s ago"]
    assert world.said[-1]["SilentGateways"] == 1
    assert world.said[-1]["silent"] == ["gw-1"]
    assert world.look(1) == []
    assert world.said[-1]["SilentGateways"] == 1  # the metric lasts as long as the silence
    world.gateways.seen("gw-1", world.now_ms)
    assert world.look(1) == ["Heard again: gw-1"]
    assert world.look(1) == []
    assert world.said[-1]["SilentGateways"] == 0


def test_a_muted_gateway_may_be_silent(world: World) -> None:
    world.gateways.seen("gw-1", T0)
    world.gateways.mute("gw-2", muted=True)  # one that never came
    assert len(world.look(AFTER_S + 1)) == 1
    world.gateways.mute("gw-1", muted=True)
    assert world.look() == []
    assert (world.said[-1]["watched"], world.said[-1]["SilentGateways"]) == (0, 0)
    world.gateways.mute("gw-1", muted=False)
    assert len(world.look()) == 1


def test_last_seen_never_goes_back(world: World) -> None:
    world.gateways.seen("gw-1", T0)
    world.gateways.seen("gw-1", T0 - 1)
    assert world.gateways.last_seen_ms("gw-1") == T0
    assert world.gateways.last_seen_ms("gw-2") == 0


def test_of_many_the_first_are_named() -> None:
    many = [Gateway(f"gw-{n}", 0, muted=False, told=False) for n in range(150)]
    found = silence(many, 10**9, 60)
    assert (found.watched, len(found.fell), found.returned) == (150, 150, ())
