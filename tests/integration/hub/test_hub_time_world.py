"""Random histories of a machine whose clock is wrong, set, lost and set again, against a naive model."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.model import ClockState
from tests.support.time_world import DAY_MS, HOUR_MS, World

STEPS = 150


def drive(world: World, steps: int) -> None:
    draw = world.random
    for _ in range(steps):
        what = draw.random()
        if what < 0.55:
            for bridge in world.bridges:
                for _ in range(draw.randrange(0, 6)):
                    world.sample(bridge)
                    world.advance(draw.randrange(50, 600))
                if draw.random() < 0.8:
                    world.pack(bridge)
                if draw.random() < 0.7 and bridge.batches:
                    world.hand_over(bridge)
        elif what < 0.75:
            world.seal()
        elif what < 0.81:
            world.advance(draw.choice([5_000, 60_000, 1_200_000, 7 * HOUR_MS]))  # suspended
        elif what < 0.83:
            world.advance(draw.randrange(DAY_MS, 3 * DAY_MS))
        elif what < 0.87:
            world.set_clock(world.true_ms, ClockState.SYNCED)
        elif what < 0.89 and world.clock is ClockState.SYNCED:
            world.set_clock(world.reading().utc_ms, ClockState.HOLDOVER)
        elif what < 0.91 and world.clock is ClockState.SYNCED:
            wrong_ms = draw.choice([-7_000, -1_500, 1_500, 20_000, -2 * HOUR_MS, 2 * HOUR_MS])
            world.set_clock(world.true_ms + wrong_ms, ClockState.SYNCED)
        elif what < 0.95:
            world.crash_hub()
        elif what < 0.97:
            world.restart_bridge()
        elif what < 0.99:
            world.reboot(draw.choice([0, world.true_ms - 2 * DAY_MS]), ClockState.UNSYNCED)
        else:
            world.reboot(world.true_ms - 3_000, ClockState.HOLDOVER)
    world.finish()


@pytest.mark.parametrize("given", range(8))
def test_samples_get_the_time_that_can_be_known(tmp_path: Path, given: int) -> None:
    world = World(tmp_path, given)
    drive(world, STEPS)
    world.check()


@pytest.mark.slow("time")
@pytest.mark.timeout(1_200)
def test_samples_get_the_time_that_can_be_known_however_it_goes(tmp_path: Path, seed: int) -> None:
    for run in range(200):
        world = World(tmp_path / str(run), seed + run)
        print("seed", seed + run)
        drive(world, 3 * STEPS)
        world.check()
        world.store.close()
