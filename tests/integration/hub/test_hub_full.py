"""A hub without room below its cap: bridges keep what they have, and it is taken once there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate.store.config import MIN_MAX_BYTES
from tests.integration.hub.test_hub_role import World


async def test_batches_are_refused_while_nothing_fits_and_taken_later(tmp_path: Path) -> None:
    site = {"schema": 1, "store": {"max_bytes": MIN_MAX_BYTES}}
    world = World(tmp_path, {"schema": 1, "stateRoot": str(tmp_path), "inline": site})
    async with world.bus:
        with world.bridge.attached(), world.cloud.attached():
            async with world.hub():
                async with asyncio.timeout(30):
                    while not (tmp_path / "config" / "current").exists():
                        await asyncio.sleep(0.01)
            foreign = tmp_path / "spool" / "foreign"
            with foreign.open("wb") as file:
                file.truncate(MIN_MAX_BYTES)
            async with world.hub():
                await world.bridge.send(world.frames(5))
                async with asyncio.timeout(30):
                    while not world.bridge.rewinds:
                        await asyncio.sleep(0.01)
                assert world.bridge.acked == 0
                foreign.unlink()
                await world.bridge.until_acked()
