"""The scan's owner: what it does when the scan falls silent, is refused, or loses what it stands on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from headgate.ble.adapters import AdapterConfig
from headgate.ble.decoders.quantity import Advert
from headgate.ble.ladder import REFUSED, SILENT, Ladder, Step
from headgate.ble.pausing import NO_HELP_MS, PROBE_EVERY, PROOFS, Pausing
from headgate.ble.radio import Busy, NoPassiveScan
from headgate.ble.scanner import Scanner
from headgate.clock import ManualClock
from tests.support.ble_doubles import Bench

ADDRESS = "AA:BB:CC:DD:EE:FF"


class World:
    def __init__(self, config: AdapterConfig) -> None:
        self.clock = ManualClock()
        self.bench = Bench(self.clock)
        self.heard: list[Advert] = []
        self.notices: list[str] = []
        parts = (config, self.bench, self.bench, self.clock, self.notices.append, random.Random(1))
        self.scanner = Scanner(*parts)

    async def sends(self, seconds: int) -> None:
        """A device that sends every second for so long."""
        for _ in range(seconds):
            await self.clock.advance(1_000)
            self.bench.send(Advert(ADDRESS, self.clock.boot_ms()))


@asynccontextmanager
async def scanning(**config: object) -> AsyncIterator[World]:
    world = World(AdapterConfig(**config))  # type: ignore[arg-type]  # what a test says of it
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(world.bench.watch(world.scanner.look)),
            group.create_task(world.scanner.run({ADDRESS}, world.heard.append, lambda: 30_000)),
        ]
        await world.clock.advance(0)
        yield world
        for task in tasks:
            task.cancel()
    assert not world.bench.scanning


async def test_a_scan_that_hears_is_left_alone() -> None:
    async with scanning() as world:
        await world.sends(3_600)
        assert world.bench.log == ["start"]
        assert len(world.heard) == 3_600
    assert world.bench.log == ["start", "stop"]
    assert world.notices == []


async def test_silence_climbs_the_ladder_until_something_is_heard() -> None:
    async with scanning(restart_service=True) as world:
        world.bench.deaf, world.bench.cures = True, "restart"
        await world.sends(29)
        assert world.bench.log == ["start"]
        await world.sends(2)
        assert world.bench.log == ["start", "stop", "start"]
        await world.sends(31)
        assert world.bench.log[3:] == ["stop", "off", "on", "start"]
        await world.sends(28)
        assert world.heard == []
        await world.sends(10)
        assert world.bench.log[7:] == ["stop", "restart", "start"]
        assert world.heard
        await world.sends(60)
        assert world.notices[-1] == "hci0: hears again"
        assert world.scanner.steps == {Step.REBUILD: 1, Step.POWER_CYCLE: 1, Step.RESTART: 1}


async def test_a_restart_is_asked_for_in_words_unless_it_was_allowed() -> None:
    async with scanning(power=False) as world:
        world.bench.deaf = True
        await world.sends(200)
        assert not {"off", "on", "restart"} & set(world.bench.log)
        assert any("systemctl restart bluetooth" in notice for notice in world.notices)


async def test_where_nobody_is_heard_for_hours_the_remedies_become_rare() -> None:
    async with scanning(restart_service=True) as world:
        world.bench.deaf = True
        await world.sends(4 * 3_600)
        assert world.bench.log.count("restart") <= 12
        assert world.bench.log.count("off") <= 12
        assert world.bench.log.count("start") < 60


async def test_a_scan_that_is_in_progress_elsewhere_backs_off_then_switches_the_adapter_off_and_on() -> None:
    async with scanning() as world:
        world.bench.becomes(powered=False)
        world.bench.refusals = [Busy("hci0: in progress") for _ in range(99)]
        world.bench.cures = "on"
        world.bench.log.clear()
        world.bench.becomes(powered=True)
        await world.sends(15)
        assert world.bench.log == ["start", "start", "start", "off", "on", "start"]
        assert world.heard


@pytest.mark.parametrize("loss", ["service", "present", "powered"])
async def test_what_was_lost_and_came_back_is_scanned_with_at_once(loss: str) -> None:
    async with scanning() as world:
        await world.sends(2)
        world.bench.becomes(**{loss: False})
        await world.clock.advance(1_000)
        world.bench.becomes(**{loss: True})
        await world.sends(3)
        assert world.bench.log == ["start", "start"]
        assert len(world.heard) >= 4


async def test_an_adapter_without_power_is_switched_on() -> None:
    async with scanning() as world:
        world.bench.becomes(powered=False)
        await world.sends(5)
        assert world.bench.log == ["start", "on", "start"]
    async with scanning(power=False) as world:
        world.bench.becomes(powered=False)
        await world.sends(500)
        assert world.bench.log == ["start"]
        assert world.notices[-1] == "hci0: it is switched off"


async def test_a_discovery_that_bluez_ended_is_begun_again_after_a_grace() -> None:
    async with scanning() as world:
        world.bench.becomes(discovering=False)
        await world.sends(4)
        assert world.bench.log == ["start"]
        await world.sends(3)
        assert world.bench.log == ["start", "stop", "start"]


async def test_a_pause_ends_the_scan_and_the_scan_comes_back() -> None:
    async with scanning() as world:
        async with world.scanner.paused(), world.scanner.paused():
            assert not world.bench.scanning
            await world.clock.advance(120_000)
            assert world.bench.log == ["start", "stop"]
        await world.sends(2)
        assert world.bench.log == ["start", "stop", "start"]
        assert world.scanner.silences == 0


async def test_pauses_put_off_the_watchdog_by_no_more_than_they_last() -> None:
    async with scanning() as world:
        world.bench.deaf = True
        for _ in range(7):
            await world.sends(4)
            async with world.scanner.paused():
                await world.clock.advance(1_000)
        await world.sends(3)
        assert world.scanner.silences == 1


async def test_a_passive_scan_falls_back_to_an_active_one() -> None:
    async with scanning(scan="passive") as world:
        assert world.bench.log == ["passive"]
        world.bench.deaf = True
        await world.sends(32)
        assert world.bench.log == ["passive", "stop", "start"]
    world = World(AdapterConfig(scan="passive"))
    world.bench.refusals = [NoPassiveScan("no monitors")]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.scanner.run((), world.heard.append, lambda: 30_000))
        await world.clock.advance(1_000)
        task.cancel()
    assert world.bench.log == ["passive", "start", "stop"]


def climbed(rungs: tuple[Step, ...], times: int, every_ms: int) -> list[Step]:
    ladder = Ladder(rungs)
    return [ladder.climb(number * every_ms) for number in range(times)]


def test_ladders() -> None:
    assert climbed(SILENT, 3, 30_000) == [Step.REBUILD, Step.POWER_CYCLE, Step.RESTART]
    assert climbed(SILENT, 60, 30_000).count(Step.RESTART) == 3  # in 30 minutes
    assert climbed(REFUSED, 3, 1_000)[-1] is Step.POWER_CYCLE
    ladder = Ladder(SILENT)
    steps: Callable[[], list[Step]] = lambda: [ladder.climb(0) for _ in range(3)]  # noqa: E731
    steps()
    ladder.well()
    assert steps() == [Step.REBUILD, Step.POWER_CYCLE, Step.REBUILD]  # a restart in no case so soon


def test_the_scan_rests_where_that_is_seen_to_help() -> None:
    auto = Pausing("auto")
    assert [auto.wanted("a", attempt, 0) for attempt in (1, 2, 3)] == [False, True, True]
    auto.ended("a", 2, 0, paused=True, connected=False)
    assert not auto.wanted("a", 3, 1)
    assert auto.wanted("b", 2, 1)
    assert auto.wanted("a", 2, NO_HELP_MS)
    for _ in range(PROOFS):
        assert not auto.wanted("c", 1, 2)
        auto.ended("b", 2, 1, paused=True, connected=True)
    tried = [auto.wanted("c", 1, 2) for _ in range(PROBE_EVERY)]
    assert tried == [True] * (PROBE_EVERY - 1) + [False]
    auto.ended("c", 1, 2, paused=False, connected=True)
    assert not auto.wanted("c", 1, 2)
    assert Pausing("always").wanted("a", 1, 0)
    assert not Pausing("never").wanted("a", 2, 0)
