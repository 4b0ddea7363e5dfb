"""A sleep that can be ended early, and a cancellation that still is one."""

from __future__ import annotations

import asyncio

import pytest

from headgate.clock import ManualClock
from headgate.sleeper import Sleeper


async def test_it_returns_in_time_or_when_woken() -> None:
    clock = ManualClock()
    sleeper = Sleeper(clock)
    woke: list[int] = []

    async def sleep() -> None:
        for due_ms in (100, 500, 600):
            await sleeper.until(due_ms)
            woke.append(clock.boot_ms())

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep())
        await clock.advance(150)
        sleeper.wake()
        sleeper.wake()
        await clock.advance(10)
        await clock.advance(1000)
    assert woke == [100, 150, 600]


async def test_waking_nobody_is_forgotten() -> None:
    clock = ManualClock()
    sleeper = Sleeper(clock)
    sleeper.wake()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sleeper.until(100))
        await clock.advance(50)
        assert not task.done()
        await clock.advance(50)


async def test_a_cancellation_beside_a_wake_still_cancels() -> None:
    clock = ManualClock()
    sleeper = Sleeper(clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sleeper.until(100))
        await clock.advance(10)
        sleeper.wake()
        task.cancel()
    assert task.cancelled()


async def test_a_plain_cancellation_cancels() -> None:
    sleeper = Sleeper(ManualClock())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await sleeper.until(100)
