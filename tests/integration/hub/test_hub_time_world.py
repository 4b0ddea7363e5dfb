"""Random histories of a machine whose clock is wrong, set, lost and set again, against a naive model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.model import ClockState
from tests.support.time_world import DAY_MS, HOUR_MS, World

STEPS = 150


def work(world: World) -> None:
    draw = world.random
    for bridge in world.bridges:
        for _ in range(draw.randrange(0, 6)):
            world.sample(bridge)
            world.advance(draw.randrange(50, 600))
        if draw.random() < 0.8:
            world.pack(bridge)
        if draw.random() < 0.7 and bridge.batches:
            world.hand_over(bridge)


def suspend(world: World) -> None:
    world.advance(world.random.choice([5_000, 60_000, 1_200_000, 7 * HOUR_MS]))


def let_days_pass(world: World) -> None:
    world.advance(world.random.randrange(DAY_MS, 3 * DAY_MS))


def synchronise(world: World) -> None:
    world.set_clock(world.true_ms, ClockState.SYNCED)


def lose_sync(world: World) -> None:
    if world.clock is ClockState.SYNCED:
        world.set_clock(world.reading().utc_ms, ClockState.HOLDOVER)


def set_wrong(world: World) -> None:
    if world.clock is ClockState.SYNCED:
        wrong_ms = world.random.choice([-7_000, -1_500, 1_500, 20_000, -2 * HOUR_MS, 2 * HOUR_MS])
        world.set_clock(world.true_ms + wrong_ms, ClockState.SYNCED)


def reboot_without_clock(world: World) -> None:
    world.reboot(world.random.choice([0, world.true_ms - 2 * DAY_MS]), ClockState.UNSYNCED)


def reboot_with_clock(world: World) -> None:
    world.reboot(world.true_ms - 3_000, ClockState.HOLDOVER)


WHAT: list[tuple[Callable[[World], None], int]] = [
    (work, 55),
    (World.seal, 20),
    (suspend, 6),
    (let_days_pass, 2),
    (synchronise, 4),
    (lose_sync, 2),
    (set_wrong, 2),
    (World.crash_hub, 4),
    (World.restart_bridge, 2),
    (reboot_without_clock, 2),
    (reboot_with_clock, 1),
]


def drive(world: World, steps: int) -> None:
    actions, weights = zip(*WHAT, strict=True)
    for action in world.random.choices(actions, weights, k=steps):
        action(world)
    world.finish()


@pytest.mark.parametrize("given", range(8))
def test_samples_get_the_time_that_can_be_known(tmp_path: Path, given: int) -> None:
    world = World(tmp_path, given)
    drive(world, STEPS)
    world.check()


@pytest.mark.slow("time")
@pytest.mark.timeout(1_200)
def test_samples_get_the_time_that_can_be_known_however_it_goes(tmp_path: Path, seed: int) -> None:
    for run in range(60):
        world = World(tmp_path / str(run), seed + run)
        print("seed", seed + run)
        drive(world, 3 * STEPS)
        world.check()
        world.store.close()
