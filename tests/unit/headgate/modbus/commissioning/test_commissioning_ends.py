"""A search that is interrupted ends, also where the library below has lost the interruption."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from headgate.clock import ManualClock
from headgate.modbus.commissioning.asker import Asker, Timing
from headgate.modbus.transports import Tcp


async def test_a_cancellation_that_was_lost_ends_the_next_transaction() -> None:
    asker = Asker(Tcp("h", 502), Timing(), ManualClock())
    asked: list[int] = []

    def transaction(number: int) -> Callable[[], Awaitable[int]]:
        async def carry() -> int:
            asked.append(number)
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                return number  # as wait_for does where the reply is there already
            return number

        return carry

    async def search() -> None:
        for number in range(100):
            await asker._tried(transaction(number))

    task = asyncio.create_task(search())
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked == [0]
