"""The whole hub over the in-memory bus, between a scripted bridge and a scripted cloud."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.errors import Fatal
from headgate.model import ClockState, Frame, Series
from headgate.roles.hub import HubTuning, run
from headgate.roles.hub_pipeline import PipelineTuning
from headgate.uplink.pacing import UplinkTuning
from tests.support import envelope_reader as reader
from tests.support.hub_world import ScriptedBridge, ScriptedCloud

TABLE = [Series(f"meter-a/tag_{i:03}", "V", "f64", 1) for i in range(120)]
FAST = HubTuning(
    commit_ms=20,
    seal_ms=40,
    announce_ms=200,
    status_ms=50,
    fetch_retry_ms=50,
    pipeline=PipelineTuning(idle_ms=300, blocks_every_ms=100),
    uplink=UplinkTuning(resend_after_ms=100, retry_first_ms=20, retry_max_ms=100),
)


class World:
    def __init__(self, root: Path, config: dict[str, Any] | None = None) -> None:
        self.cloud_bus = MemoryCloud()
        self.config = config or {"schema": 1, "stateRoot": str(root)}
        self.bus = MemoryBus(cloud=self.cloud_bus, config=self.config)
        self.clock = SystemClock()
        self.cloud = ScriptedCloud("gw", self.cloud_bus)
        self.bridge = ScriptedBridge(self.bus, self.clock, "modbus", TABLE)

    @asynccontextmanager
    async def hub(self, tuning: HubTuning = FAST) -> AsyncIterator[None]:
        stop, up = asyncio.Event(), asyncio.Event()

        async def announced(topic: str, payload: bytes) -> None:
            up.set()

        async with asyncio.TaskGroup() as group:
            with self.bus.subscribe("hg/v1/local/hub", announced):
                group.create_task(run(self.bus, self.clock, stop, thing="gw", tuning=tuning))
                await up.wait()
            yield
            stop.set()

    def frames(self, count: int, series: int = len(TABLE)) -> list[Frame]:
        now_ms = self.clock.boot_ms()
        return [
            Frame(now_ms - count + i, tuple(range(series)), tuple((i + j) / 10 for j in range(series)))
            for i in range(count)
        ]

    def arrived(self) -> Counter[tuple[str, int, Any]]:
        return Counter(
            (s.series, s.t_ms, s.value)
            for body in self.cloud.envelopes.values()
            for s in reader.samples(body)
        )


@asynccontextmanager
async def a_world(root: Path, config: dict[str, Any] | None = None) -> AsyncIterator[World]:
    world = World(root, config)
    async with world.bus:
        with world.cloud.attached(), world.bridge.attached():
            yield world


async def test_what_a_bridge_sends_reaches_the_cloud_once(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        frames = world.frames(40)
        await world.bridge.send(frames)
        await world.bridge.until_acked()
        await world.cloud.until(lambda: world.arrived().total() >= 40 * len(TABLE))
        values = Counter((name, value) for name, _, value in world.arrived().elements())
        assert values == Counter((TABLE[i].name, v) for f in frames for i, v in enumerate(f.values))
    assert not list(tmp_path.glob("**/*.tmp"))


async def test_each_batch_is_committed_at_once_where_that_is_configured(tmp_path: Path) -> None:
    config = {"schema": 1, "stateRoot": str(tmp_path), "commitMs": 0}
    async with a_world(tmp_path, config) as world, world.hub(replace(FAST, commit_ms=600_000)):
        for _ in range(3):
            await world.bridge.send(world.frames(1))
            await world.bridge.until_acked()


async def test_windows_close_when_the_bridge_falls_silent(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        await world.bridge.send(world.frames(10))

        def windows() -> list[reader.ReadWindow]:
            return [w for body in world.cloud.envelopes.values() for w in reader.windows(body)]

        await world.cloud.until(lambda: sum(w.n for w in windows()) >= 10 * len(TABLE))
        assert sum(w.n for w in windows()) == 10 * len(TABLE)
        assert all(w.start_ms % 10_000 == 0 for w in windows())


async def test_gaps_are_refused_and_duplicates_acknowledged_again(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        for _ in range(3):
            world.bridge.batch(world.frames(1))
        await world.bridge.publish(2)
        await world.bridge.until_acked(3)
        assert world.bridge.rewinds > 0
        await world.bridge.publish(1)
        await world.cloud.until(lambda: world.arrived().total() >= 3 * len(TABLE))
        await asyncio.sleep(0.1)
        assert world.arrived().total() == 3 * len(TABLE)


async def test_a_dictionary_that_cannot_be_had_holds_only_its_bridge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path) as world:
        other = ScriptedBridge(world.bus, world.clock, "ble", TABLE[:2])
        world.bridge.serves = False
        with other.attached():
            async with world.hub():
                await world.bridge.send(world.frames(1))
                await other.send([Frame(world.clock.boot_ms(), (0, 1), (1.0, 2.0))])
                await other.until_acked()
                assert world.bridge.acked == 0
                world.bridge.serves = True
                await world.bridge.until_acked()
    assert "dictionary" in caplog.text


async def test_malformed_batches_and_acknowledgements_are_told_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path) as world, world.hub():
        await world.bus.publish("hg/v1/local/batch/modbus", b"HGB\x01 nonsense")
        await world.bus.publish("hg/v1/local/batch/other", b"")
        world.cloud_bus.route("hg/v1/gw/dn/ack", b'{"v": 2}')
        world.cloud_bus.route("hg/v1/gw/dn/ack", b"[[[")
        await world.bridge.send(world.frames(1))
        await world.bridge.until_acked()
        await world.cloud.until(lambda: world.arrived().total() == len(TABLE))
    assert "batch of bridge modbus refused" in caplog.text
    assert "acknowledgement" in caplog.text


async def test_what_was_not_acknowledged_is_sent_again_after_a_restart(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.bus.cloud_online = False
        async with world.hub():
            frames = world.frames(5)
            await world.bridge.send(frames)
            await world.bridge.until_acked()
        assert not world.cloud.envelopes
        world.bus.cloud_online = True
        async with world.hub():
            await world.cloud.until(lambda: world.arrived().total() >= 5 * len(TABLE))
            await world.bridge.publish(1)
            await asyncio.sleep(0.1)
        assert world.arrived().total() == 5 * len(TABLE)
        epochs = {epoch for _, epoch, _ in world.cloud.envelopes}
        assert len(epochs) == 1


async def test_lost_envelopes_are_sent_again_bit_identical(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.cloud.answers = False
        async with world.hub():
            await world.bridge.send(world.frames(30))
            await world.cloud.until(lambda: world.cloud.received > len(world.cloud.envelopes) > 0)
            world.cloud.answers = True
            await world.cloud.until(lambda: world.arrived().total() >= 30 * len(TABLE))


async def test_unsynced_samples_are_marked_and_in_no_window(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        await world.bridge.send(world.frames(2), clock=ClockState.UNSYNCED)
        await world.cloud.until(lambda: world.arrived().total() >= 2 * len(TABLE))
        await asyncio.sleep(0.5)
        assert {reader.load(body)["clock"] for body in world.cloud.envelopes.values()} == {"unsynced"}
        assert not [w for body in world.cloud.envelopes.values() for w in reader.windows(body)]


async def test_a_second_hub_is_told_who_holds_the_state_root(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        await world.bridge.send(world.frames(1))
        await world.bridge.until_acked()
        with pytest.raises(Fatal, match=r"in use by another hub \(pid \d+\)"):
            await run(
                world.bus, world.clock, asyncio.Event(), thing="gw", tuning=replace(FAST, takeover_ms=0)
            )


async def test_a_hub_waits_for_a_former_one_that_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_world(tmp_path) as world:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            async with world.hub():
                group.create_task(run(world.bus, world.clock, stop, thing="gw", tuning=FAST))
                await world.bridge.send(world.frames(1))
                await world.bridge.until_acked()
                assert "waiting for it to end" in caplog.text
            await world.bridge.send(world.frames(1))
            await world.bridge.until_acked()
            await world.cloud.until(lambda: world.arrived().total() >= 2 * len(TABLE))
            stop.set()
        epochs = {epoch for _, epoch, _ in world.cloud.envelopes}
        assert len(epochs) == 2


async def test_a_hub_that_waits_can_be_stopped(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run(world.bus, world.clock, stop, thing="gw", tuning=FAST))
            await asyncio.sleep(0)
            stop.set()


def a_site(path: Path, length_s: object = 2) -> dict[str, str]:
    text = f"schema: 1\nwindows: {{length_s: {length_s}}}\n".encode()
    path.write_bytes(text)
    return {"uri": path.as_uri(), "sha256": hashlib.sha256(text).hexdigest()}


async def test_a_site_document_is_accepted_announced_and_kept(tmp_path: Path) -> None:
    root, site = tmp_path / "state", a_site(tmp_path / "site.yaml")
    announced: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def hear(topic: str, payload: bytes) -> None:
        announced.put_nowait(json.loads(payload))

    async def until_announced(digest: str) -> None:
        async with asyncio.timeout(10):
            while (await announced.get())["config"] != digest:
                pass

    config = {"schema": "1", "stateRoot": str(root), "site": site}
    async with a_world(root, config) as world:
        with world.bus.subscribe("hg/v1/local/hub", hear):
            async with world.hub():
                await until_announced(site["sha256"])
                assert (root / "config/current").read_text().strip() == site["sha256"]
            (tmp_path / "site.yaml").unlink()
            async with world.hub():
                await until_announced(site["sha256"])


async def test_a_faulty_configuration_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root, good = tmp_path / "state", a_site(tmp_path / "site.yaml")
    config = {"schema": 1, "stateRoot": str(root), "site": good}
    async with a_world(root, config) as world, world.hub():
        async with asyncio.timeout(10):
            while "accepted from" not in caplog.text:
                await asyncio.sleep(0.01)
            bad = a_site(tmp_path / "bad.yaml", "often")
            world.bus.set_config(config | {"site": bad})
            while "windows.length_s" not in caplog.text:
                await asyncio.sleep(0.01)
            world.bus.set_config(config | {"sight": good})
            while "sight: unknown key" not in caplog.text:
                await asyncio.sleep(0.01)
            world.bus.set_config(config | {"site": good | {"sha256": "0" * 64}})
            while "site.sha256 wants" not in caplog.text:
                await asyncio.sleep(0.01)
        await world.bridge.send(world.frames(1))
        await world.bridge.until_acked()
    assert (root / "config/current").read_text().strip() == good["sha256"]
    assert "stays in force: " + good["sha256"] in caplog.text
