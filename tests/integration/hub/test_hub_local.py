"""Local topics and the aftermath of alarms, through the whole hub over the in-memory bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.bridge.calls import serve_calls
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.driver import Reply, Request
from headgate.errors import Retry
from headgate.model import Frame, Series
from headgate.roles.hub import HubTuning, run
from headgate.roles.hub_alarms import AlarmsTuning
from headgate.roles.hub_pipeline import PipelineTuning
from headgate_cloud.decoder import decode
from tests.support.hub_world import ScriptedBridge, ScriptedCloud

TABLE = [Series("meter-a/x", "V", "f64", 1), Series("meter-a/y", "W"), Series("meter-b/z", "A")]
TUNING = HubTuning(
    commit_ms=20,
    seal_ms=40,
    announce_ms=200,
    pipeline=PipelineTuning(
        idle_ms=300, alarms=AlarmsTuning(settle_ms=0, context_wait_ms=100, capture_retry_ms=50)
    ),
)


class World:
    def __init__(self, root: Path, **site: Any) -> None:
        self.cloud_bus = MemoryCloud()
        inline = {"schema": 1, **site}
        config = {"schema": 1, "stateRoot": str(root), "inline": inline}
        self.bus = MemoryBus(cloud=self.cloud_bus, config=config)
        self.clock = SystemClock()
        self.cloud = ScriptedCloud("gw", self.cloud_bus)
        self.bridge = ScriptedBridge(self.bus, self.clock, "modbus", TABLE)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._changed = asyncio.Event()

    async def on_local(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic.removeprefix("hg/v1/local/"), json.loads(payload)))
        self._changed.set()

    async def until_heard(self, topic: str, count: int = 1) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while len(found := [message for where, message in self.heard if where == topic]) < count:
                self._changed.clear()
                await self._changed.wait()
        return found

    async def send(self, *values: float, series: tuple[int, ...] = (0, 1)) -> int:
        t_ms = self.clock.boot_ms()
        await self.bridge.send([Frame(t_ms, series, values)])
        return t_ms + self.clock.utc_ms() - self.clock.boot_ms()

    def alarms(self) -> list[bytes]:
        return [body for (stream, _, _), body in self.cloud.envelopes.items() if stream == "alarms"]


@asynccontextmanager
async def a_hub(root: Path, **site: Any) -> AsyncIterator[World]:
    world = World(root, **site)
    stop, up = asyncio.Event(), asyncio.Event()

    async def announced(topic: str, payload: bytes) -> None:
        if json.loads(payload)["config"]:
            up.set()

    async with world.bus:
        with (
            world.cloud.attached(),
            world.bridge.attached(),
            world.bus.subscribe("hg/v1/local/live/+", world.on_local),
            world.bus.subscribe("hg/v1/local/windows/+", world.on_local),
            world.bus.subscribe("hg/v1/local/alarms", world.on_local),
        ):
            async with asyncio.TaskGroup() as group:
                with world.bus.subscribe("hg/v1/local/hub", announced):
                    group.create_task(run(world.bus, world.clock, stop, thing="gw", tuning=TUNING))
                    await up.wait()
                yield world
                stop.set()


async def test_values_windows_and_events_reach_other_components(tmp_path: Path) -> None:
    site = {
        "windows": {"length_s": 1},
        "alarms": {"rules": [{"name": "hot", "series": "meter-a/x", "above": 10}]},
        "local": {"live": {"series": "meter-a/*", "interval_s": 0.1}, "windows": {"series": "*/z"},
                  "alarms": True},
    }  # fmt: skip
    async with a_hub(tmp_path, **site) as world:
        await world.send(1.5, 2.5)
        (first,) = await world.until_heard("live/meter-a")
        assert {tag: each["value"] for tag, each in first["values"].items()} == {"x": 1.5, "y": 2.5}
        await world.send(11.0, series=(0,))
        await world.send(4.0, series=(2,))
        _, second = await world.until_heard("live/meter-a", 2)
        assert {tag: each["value"] for tag, each in second["values"].items()} == {"x": 11.0}
        (event,) = await world.until_heard("alarms")
        assert (event["alarm"], event["state"], event["value"]) == ("hot", "raised", 11.0)
        (window,) = await world.until_heard("windows/meter-b")
        assert window["rows"]["z"]["mean"] == 4.0
    assert {topic for topic, _ in world.heard} == {"live/meter-a", "windows/meter-b", "alarms"}


async def test_nobody_hears_what_the_site_does_not_show(tmp_path: Path) -> None:
    async with a_hub(tmp_path, windows={"length_s": 1}) as world:
        await world.send(1.5, 2.5)
        await world.bridge.until_acked()
        await world.cloud.until(lambda: any(b'"windows"' in b for b in world.cloud.envelopes.values()))
    assert world.heard == []


async def test_the_samples_around_an_event_follow_it(tmp_path: Path) -> None:
    context = {"before_s": 60, "after_s": 0.2, "series": ["meter-a/y", "meter-b/*"]}
    rules = [{"name": "hot", "series": "meter-a/x", "above": 10, "context": context}]
    async with a_hub(tmp_path, alarms={"rules": rules}) as world:
        await world.send(1.0, 2.0)
        await world.send(3.0, series=(2,))
        await world.send(11.0, 5.0)
        await world.cloud.until(lambda: any(b'"context"' in body for body in world.alarms()))
    event, around = (decode(body) for body in world.alarms())
    assert event.report is not None
    assert around.context is not None
    assert (around.context.alarm, around.context.series) == ("hot", "meter-a/x")
    assert around.context.t_ms == event.report["t"]
    assert {c.series: [s.value for s in c.samples()] for c in around.columns} == {
        "meter-a/x": [1.0, 11.0],
        "meter-a/y": [2.0, 5.0],
        "meter-b/z": [3.0],
    }


class Courier:
    """Is busy at first."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def call(self, request: Request) -> Reply:
        self.asked.append((request.op, dict(request.args)))
        if len(self.asked) == 1:
            raise Retry("a file is still written")
        return Reply(request.id, "ok", "ok", result={"files": ["f" * 32]})


async def test_files_of_an_event_are_named_once_the_courier_has_announced_them(tmp_path: Path) -> None:
    capture = {"source": "vibration", "newest": 2}
    rules = [{"name": "hot", "series": "meter-a/x", "above": 10, "capture": capture}]
    courier = Courier()
    async with a_hub(tmp_path, alarms={"rules": rules}) as world:
        with serve_calls(world.bus, "files", courier, world.clock):
            await world.send(11.0, 5.0)
            await world.cloud.until(lambda: len(world.alarms()) == 2)
    _, files = (decode(body).report for body in world.alarms())
    assert files is not None
    assert (files["type"], files["source"], files["files"]) == ("alarm_files", "vibration", ["f" * 32])
    assert courier.asked == [("capture", {**capture, "wait": True})] * 2
