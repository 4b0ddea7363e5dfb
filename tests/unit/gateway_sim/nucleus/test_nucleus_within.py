"""The time limit holds in a task that is being cancelled, on every Python we run on."""

from __future__ import annotations

import asyncio

import pytest

from gateway_sim.nucleus.within import within


async def value() -> int:
    return 7


async def test_the_result_and_the_limit() -> None:
    assert await within(30, value(), "value") == 7
    with pytest.raises(TimeoutError, match=r"sleep took longer than 0\.01 s"):
        await within(0.01, asyncio.sleep(60), "sleep")


async def test_a_limit_in_the_clean_up_of_a_cancelled_task_is_still_a_limit() -> None:
    seen: list[str] = []

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            try:
                await within(0.01, asyncio.sleep(60), "clean-up")
            except TimeoutError:
                seen.append("timeout")

    task = asyncio.create_task(cleans_up())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["timeout"]


async def test_cancelling_it_cancels_the_work() -> None:
    started = asyncio.Event()
    ended: list[bool] = []

    async def work() -> None:
        try:
            started.set()
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    task = asyncio.create_task(within(60, work(), "work"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
