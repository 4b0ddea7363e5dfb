"""What a dead unit costs the others on its line, counted on a manual clock."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.errors import HeadgateError
from headgate.modbus.breaker import COST_MAX, MAX_MS, Breaker
from headgate.modbus.channel import QUIET_MS
from headgate.modbus.client import ExceptionReply, NoReply, WrongReply
from tests.support.modbus_bus import RTU, TCP, BusWorld, bus_device

HOUR_MS = 3_600_000
LINES: dict[str, dict[str, Any]] = {"tcp": TCP, "rtu": RTU}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("timeout_s", "retries"), [(0.05, 0), (0.1, 3), (0.5, 1), (1, 1), (1, 3), (3, 0), (3, 1)]
)
async def test_a_unit_off_for_an_hour_costs_less_than_a_hundredth(
    line: str, timeout_s: float, retries: int
) -> None:
    world = BusWorld(
        bus_device(1, LINES[line], timeout_s=timeout_s, retries=retries),
        bus_device(2, LINES[line], interval_s=10),
    )
    world.bus.faults[1] = NoReply("no reply")
    async with world.running():
        await world.clock.advance(HOUR_MS)
        quiet_ms = QUIET_MS * len(world.bus.times(1)) if line == "rtu" else 0
        assert world.bus.busy_ms[1] + quiet_ms < HOUR_MS / 100
        del world.bus.faults[1]
        longest_ms = max(MAX_MS, COST_MAX * (round(timeout_s * 1000) + QUIET_MS))
        await world.clock.advance(longest_ms + 1_000)
        assert world.good(1, HOUR_MS), "found again after one back-off"


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    "fault",
    [NoReply("no reply"), WrongReply("garbage"), ExceptionReply(11)],
    ids=["dead", "garbage", "absent"],
)
@pytest.mark.parametrize("timeout_s", [0.1, 1])
async def test_the_others_keep_their_polls(line: str, fault: HeadgateError, timeout_s: float) -> None:
    others: list[dict[str, Any]] = [bus_device(unit, LINES[line], interval_s=0.5) for unit in (2, 3, 4)]
    world = BusWorld(bus_device(1, LINES[line], timeout_s=timeout_s, interval_s=0.5), *others)
    async with world.running():
        await world.clock.advance(10_000)
        world.bus.faults[1] = fault
        await world.clock.advance(1_000 + round(2_000 * (timeout_s + QUIET_MS / 1000)))
        opened_ms = world.clock.boot_ms()
        for unit in (2, 3, 4):
            lost_ms = 2 * (round(timeout_s * 1000) + QUIET_MS)  # tries, and the quiet behind each
            expected = (opened_ms - 10_000 - lost_ms) // 500 - 1
            assert len(world.good(unit, 10_000)) >= expected
        for window_ms in (60_000, 600_000):
            since_ms = world.clock.boot_ms()
            await world.clock.advance(window_ms)
            for unit in (2, 3, 4):
                assert len(world.good(unit, since_ms)) >= 0.95 * window_ms / 500


async def test_every_series_of_a_silent_unit_is_marked() -> None:
    groups = [
        {
            "name": name,
            "interval_s": 1,
            "tags": [{"name": name, "table": "holding", "address": at, "type": "uint16"}],
        }
        for name, at in (("a", 1), ("b", 2), ("c", 3))
    ]
    world = BusWorld(bus_device(1, RTU, groups=groups))
    async with world.running():
        await world.clock.advance(5_000)
        world.bus.faults[1] = NoReply("no reply")
        await world.clock.advance(5_000)
        for name in "abc":
            assert world.of(1, name)[-1].values[0] is None, (
                "a value that looks good though its unit is silent"
            )


def test_the_first_probe_follows_soon_and_later_ones_by_their_cost() -> None:
    breaker = Breaker()
    now_ms = 0
    waits = []
    breaker.failed(now_ms, cost_ms=1_000, tries=2)
    for _ in range(8):
        waits.append(breaker.retry_at_ms - now_ms)
        now_ms = breaker.retry_at_ms
        breaker.failed(now_ms, cost_ms=1_000)
    assert waits == [1_000, 20_000, 40_000, 80_000, 160_000, 200_000, 200_000, 200_000]


def test_a_cheap_probe_is_made_every_half_minute() -> None:
    breaker = Breaker()
    breaker.failed(0, cost_ms=50, tries=1)
    assert not breaker.open
    for _ in range(10):
        breaker.failed(0, cost_ms=50)
    assert breaker.retry_at_ms == MAX_MS
    breaker.succeeded()
    breaker.failed(0, cost_ms=50, tries=2)
    assert breaker.retry_at_ms == 1_000
