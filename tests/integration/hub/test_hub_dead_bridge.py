"""A hub whose bridge dies, comes back, is stopped: what the cloud gets, and what it is told of devices."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headgate.model import Frame, Quality
from tests.support import envelope_reader as reader
from tests.support.asked_hub import SITE, TABLE, TUNING, World, a_world

IMPATIENT = replace(TUNING, announce_ms=30, silence_ms=300)


@asynccontextmanager
async def a_hub(root: Path, **site: Any) -> AsyncIterator[World]:
    async with a_world(root, **site) as world:
        world.tuning = IMPATIENT
        async with world.hub():
            yield world


async def send(world: World) -> None:
    await world.bridge.send([Frame(world.clock.boot_ms(), range(len(TABLE)), [1.0] * len(TABLE))])
    await world.bridge.until_acked()


def marks(world: World) -> Counter[str]:
    samples = [s for body in world.cloud.envelopes.values() for s in reader.samples(body)]
    return Counter(s.series for s in samples if s.quality == Quality.BAD_COMM and s.value is None)


def has_died(world: World, times: int) -> bool:
    """Whether every series was marked so often."""
    found = marks(world)
    return all(found[series.name] == times for series in TABLE)


async def device(world: World, request_id: str) -> tuple[str, bool]:
    reply = await world.ask(request_id, "list", args={"what": "devices"})
    (found,) = [row for row in reply["result"]["devices"] if row["device"] == "meter-a"]
    return found["state"], found["last_ms"] is not None


async def test_a_dead_bridges_devices_are_silent_until_it_is_back(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as world:
        for n in (1, 2):
            world.bridge.dead = False
            await send(world)
            assert await device(world, f"ok-{n}") == ("ok", True)
            world.bridge.dead = True
            await world.cloud.until(partial(has_died, world, n))
            assert await device(world, f"dead-{n}") == ("silent", True)
        assert marks(world) == Counter({series.name: 2 for series in TABLE})


async def test_a_bridge_that_answers_is_not_marked(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as world:
        await send(world)
        await asyncio.sleep(1)
        assert not marks(world)
        assert await device(world, "r-1") == ("ok", True)


async def test_a_hub_that_starts_again_marks_a_bridge_that_died_meanwhile(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        world.tuning = IMPATIENT
        async with world.hub():
            await send(world)
            world.bridge.dead = True
        for _ in range(3):
            async with world.hub():
                await world.cloud.until(partial(has_died, world, 1))
                await asyncio.sleep(0.5)
        assert marks(world) == Counter({series.name: 1 for series in TABLE})


async def test_of_a_stopped_bridge_nothing_is_marked_and_nothing_known(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as world:
        await send(world)
        world.bridge.dead = True
        await world.bridge.say_alive(stopping=True)
        states = []
        for n in range(100):
            states.append(await device(world, f"r-{n}"))
            if states[-1] == ("unknown", False):
                break
            await asyncio.sleep(0.05)
        assert states[0] == ("ok", True)
        assert states[-1] == ("unknown", False)
        assert not marks(world)


async def test_devices_that_the_site_document_gave_up_are_not_marked(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as world:
        await send(world)
        site = json.loads(json.dumps(SITE).replace("meter-a", "meter-b"))
        world.bus.set_config({"schema": 1, "stateRoot": str(tmp_path), "inline": site})
        for n in range(100):
            reply = await world.ask(f"r-{n}", "list", args={"what": "devices"})
            if "meter-b" in [row["device"] for row in reply["result"]["devices"]]:
                break
            await asyncio.sleep(0.05)
        await send(world)  # what was under way
        world.bridge.dead = True
        await asyncio.sleep(1)
        assert not marks(world)
