from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.bus.memory import MemoryBus
from headgate.bus.split import SplitBus
from headgate.clock import ManualClock
from headgate.errors import Reject, Retry
from headgate.local.config import LocalConfig, parse_mapping
from headgate.model import AlarmEvent, Batch, ClockState, Frame, Quality, Series, dictionary_hash
from headgate.roles import hub_local
from headgate.roles.all_in_one import PUBLIC
from headgate.roles.hub_local import LocalTopics
from headgate.roles.hub_pipeline import Arrived

TABLE = (Series("meter-a/x", "V"), Series("meter-a/y", "V"), Series("meter-b/z", kind="u64"))
KEY = dictionary_hash(TABLE)
UTC_MS = 1_763_685_600_000
LIVE = parse_mapping({"live": {"series": ["meter-a/*", "meter-b/*"]}, "alarms": True})


class ABus(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.fault: Exception | None = None

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.heard.append((topic, json.loads(payload)))


class World:
    def __init__(self, config: LocalConfig = LIVE) -> None:
        self.bus = ABus()
        self.clock = ManualClock()
        self.topics = LocalTopics(self.bus, self.clock, {KEY: TABLE}.get)
        self.topics.configured(config)

    def commit(self, t_ms: int, series: tuple[int, ...], *values: Any, **frame: Any) -> None:
        frames = [Frame(t_ms, series, values, **frame)]
        batch = Batch("modbus", 1, 1, 1, KEY, "", UTC_MS, ClockState.SYNCED, 0, frames)
        self.topics.committed(Arrived(batches=[(batch, b"")]))

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await self.clock.advance(100)
                await asyncio.sleep(0)

    def values(self) -> list[dict[str, Any]]:
        return [
            {f"{message['device']}/{tag}": each["value"] for tag, each in message["values"].items()}
            for _, message in self.bus.heard
        ]


@asynccontextmanager
async def a_world(config: LocalConfig = LIVE) -> AsyncIterator[World]:
    world = World(config)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.topics.run())
        yield world
        running.cancel()


async def test_only_the_newest_of_an_interval_is_published() -> None:
    async with a_world() as world:
        world.commit(1, (0, 1), 1.0, 2.0)
        await world.until(lambda: len(world.bus.heard) == 1)
        for i in range(2, 9):
            world.commit(i, (0, 1), float(i), None, quality=(0, Quality.BAD_COMM))
        world.commit(4, (0, 1), 0.0, 0.0)  # older, and late
        world.commit(20, (2,), -1)  # does not fit
        await world.until(lambda: len(world.bus.heard) == 3)
    assert world.values()[1:] == [{"meter-a/x": 8.0, "meter-a/y": None}, {"meter-b/z": None}]
    found = world.bus.heard[1][1]["values"]
    assert (found["y"]["quality"], found["x"]["t"]) == ("bad_comm", UTC_MS + 8)
    assert world.bus.heard[2][1]["values"]["z"]["quality"] == "bad_value"


async def test_everything_known_comes_again_after_a_minute() -> None:
    async with a_world() as world:
        world.commit(1, (0, 1), 1.0, 2.0)
        await world.until(lambda: len(world.bus.heard) == 1)
        for i in range(80):
            world.commit(2 + i, (2,), i)
            seen = len(world.bus.heard)
            await world.until(lambda seen=seen: len(world.bus.heard) > seen)  # type: ignore[misc]  # bound now
    again = [found for found in world.values()[1:] if "meter-a/x" in found]
    assert again == [{"meter-a/x": 1.0, "meter-a/y": 2.0}]


@pytest.mark.parametrize("fault", [Retry("away"), Reject("not authorised")])
async def test_a_bus_that_takes_nothing_costs_messages_and_no_more(fault: Exception) -> None:
    async with a_world() as world:
        world.bus.fault = fault
        world.commit(1, (0,), 1.0)
        await world.until(lambda: world.topics.counters.failed == 1)
        world.bus.fault = None
        world.commit(2, (0,), 2.0)
        await world.until(lambda: world.topics.counters.published == 1)
    assert world.values() == [{"meter-a/x": 2.0}]
    assert world.topics.status() == "local published 1, dropped 0, failed 1"


async def test_the_queue_is_bounded_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_local, "MAX_WAITING", 3)
    events = [AlarmEvent("hot", TABLE[0], "raised", "info", "above", 1, i, 2.0) for i in range(5)]
    async with a_world() as world:
        world.topics.told([], events)
        world.topics.sealed()
        await world.until(lambda: len(world.bus.heard) == 3)
    assert [message["t"] for _, message in world.bus.heard] == [2, 3, 4]
    assert world.topics.counters.dropped == 2


async def test_series_that_are_not_asked_for_are_not_shown() -> None:
    async with a_world(parse_mapping({"live": {"series": "*/y"}})) as world:
        world.topics.told([], [AlarmEvent("hot", TABLE[0], "raised", "info", "above", 1, 1, 2.0)])
        world.commit(1, (0, 1), 1.0, 2.0)
        await world.until(lambda: bool(world.bus.heard))
    assert world.values() == [{"meter-a/y": 2.0}]


async def test_one_process_publishes_these_through_the_nucleus() -> None:
    inside, outside = ABus(), ABus()
    split = SplitBus(inside, outside, public=PUBLIC)
    for topic in ("live/meter-a", "windows/meter-a", "alarms", "hub", "ack/modbus"):
        await split.publish(f"hg/v1/local/{topic}", b"{}")
    assert [topic.removeprefix("hg/v1/local/") for topic, _ in outside.heard] == [
        "live/meter-a", "windows/meter-a", "alarms",
    ]  # fmt: skip
    assert len(inside.heard) == 2
