"""A group whose turn does not come is marked stale, once, on time; one that is read is not."""

from __future__ import annotations

from typing import Any

from headgate.modbus.client import NoReply
from headgate.model import Quality
from tests.support.modbus_bus import BusWorld, bus_device


def qualities(world: BusWorld, unit: int) -> list[tuple[int, int]]:
    """(boottime, quality) of all frames of a device's tag that have no value."""
    return [(f.boot_ms, f.quality[0]) for f in world.of(unit) if f.values[0] is None]


def stale(unit: int, stale_s: float, **more: Any) -> dict[str, Any]:
    made = bus_device(unit, **more)
    made["groups"][0]["stale_s"] = stale_s
    return made


async def test_a_group_behind_a_line_of_time_outs_turns_stale_on_time_and_is_good_again() -> None:
    """Twenty devices are silent for 3 s each in turn, before their breakers open: the last waits a minute."""
    silent = [bus_device(unit, timeout_s=3, retries=0) for unit in range(2, 22)]
    world = BusWorld(stale(1, 5, interval_s=1), *silent)
    async with world.running():
        await world.clock.advance(3_000)
        assert world.good(1)
        for unit in range(2, 22):
            world.bus.faults[unit] = NoReply("no reply")
        await world.clock.advance(60_000)
        marks = [at for at, quality in qualities(world, 1) if quality == Quality.STALE]
        assert marks
        for at in marks:
            last = max(time for time in world.good(1) if time <= at)
            assert at == last + 5_000
        assert world.health()["stale"] == sum("not read for" in said for said in world.said)
        assert sum("d1/g: not read for 5 s" in said for said in world.said) == len(marks)
        world.bus.faults.clear()
        await world.clock.advance(120_000)
        assert world.good(1)[-1] > max(marks)


async def test_a_group_that_is_read_or_marked_otherwise_is_not_stale() -> None:
    world = BusWorld(stale(1, 5, interval_s=2), stale(2, 5, interval_s=2, timeout_s=0.1, retries=0))
    async with world.running():
        world.bus.faults[2] = NoReply("no reply")
        await world.clock.advance(300_000)
        assert qualities(world, 1) == []
        assert {quality for _, quality in qualities(world, 2)} == {Quality.BAD_COMM}
        assert world.health()["stale"] == 0
