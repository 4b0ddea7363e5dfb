"""The hand-over on a manual clock: packing, a bus that is away, overflow told to the hub, announcements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headgate.batch import LIMIT_BYTES
from headgate.bridge.handover import Handover, Options
from headgate.bridge.outgoing import Limits
from headgate.bus.memory import MemoryBus
from headgate.clock import ManualClock
from headgate.errors import Retry
from headgate.model import Frame, Series
from tests.support.hub_double import HubDouble

TABLE = [Series(f"a/{i}") for i in range(100)]


class FlakyBus(MemoryBus):
    """A bus that is away when told."""

    away = False

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.away:
            raise Retry("the bus is away")
        await super().publish(topic, payload)


@asynccontextmanager
async def handing_over(
    bus: MemoryBus, clock: ManualClock, limits: Limits | None = None
) -> AsyncIterator[Handover]:
    handover = Handover("modbus", bus, clock, lambda: TABLE, Options(limits=limits or Limits()))
    async with asyncio.TaskGroup() as group:
        with handover.attached():
            tasks = [group.create_task(handover.send()), group.create_task(handover.flush_regularly())]
            yield handover
            for task in tasks:
                task.cancel()


def frame(t_ms: int) -> Frame:
    return Frame(t_ms, range(100), [t_ms * 1.1] * 100)


async def test_frames_leave_after_the_flush_interval_and_are_acknowledged() -> None:
    clock = ManualClock()
    async with MemoryBus() as bus, handing_over(bus, clock) as handover:
        hub = HubDouble(bus)
        with hub.attached():
            handover.take(frame(1))
            await clock.advance(499, turns=20)
            assert not hub.batches
            await clock.advance(1, turns=20)
            assert [list(batch.frames[0].values) for batch in hub.batches] == [[1.1] * 100]
            assert await handover.drained(clock.boot_ms())


async def test_full_batches_leave_at_once_and_fit_the_bus() -> None:
    clock = ManualClock()
    sizes: list[int] = []

    async def measure(topic: str, payload: bytes) -> None:
        sizes.append(len(payload))

    async with MemoryBus() as bus, handing_over(bus, clock) as handover:
        hub = HubDouble(bus)
        with hub.attached(), bus.subscribe("hg/v1/local/batch/modbus", measure):
            for t_ms in range(100):
                handover.take(frame(t_ms))
                await clock.advance(0, turns=20)
            assert max(sizes) <= LIMIT_BYTES
            assert sorted(sizes)[len(sizes) // 2] > 0.7 * LIMIT_BYTES
            assert sum(len(batch.frames) for batch in hub.batches) > 85
            await clock.advance(500, turns=20)
            assert [f.boot_ms for batch in hub.batches for f in batch.frames] == list(range(100))


async def test_a_bus_that_was_away_gets_everything_in_order() -> None:
    clock = ManualClock()
    async with FlakyBus() as bus, handing_over(bus, clock) as handover:
        hub = HubDouble(bus)
        with hub.attached():
            for t_ms in range(30):
                bus.away = 5 <= t_ms < 20
                handover.take(frame(t_ms))
                await clock.advance(500, turns=20)
            await clock.advance(10_000, turns=20)
        assert [f.boot_ms for batch in hub.batches for f in batch.frames] == list(range(30))


async def test_what_overflowed_is_told_to_the_hub() -> None:
    clock = ManualClock()
    async with FlakyBus() as bus, handing_over(bus, clock, Limits(kept_bytes=5_000)) as handover:
        hub = HubDouble(bus)
        bus.away = True
        with hub.attached():
            for t_ms in range(20):
                handover.take(frame(t_ms))
                await clock.advance(500, turns=20)
            bus.away = False
            await clock.advance(10_000, turns=20)
            handover.take(frame(20))
            await clock.advance(10_000, turns=20)
        arrived = sum(len(f.series) for batch in hub.batches for f in batch.frames)
        dropped = sum(batch.dropped for batch in hub.batches)
        assert arrived + dropped == 21 * 100
        assert dropped > 0
        assert hub.batches[0].seq > 1


async def test_a_new_hub_gets_what_the_old_one_did_not_acknowledge() -> None:
    clock = ManualClock()
    async with MemoryBus() as bus, handing_over(bus, clock) as handover:
        silent, hub = HubDouble(bus, silent=True), HubDouble(bus)
        with silent.attached():
            handover.take(frame(1))
            await clock.advance(500, turns=20)
        with hub.attached():
            handover.hub_is_up()
            await clock.advance(1, turns=20)
        assert [batch.seq for batch in hub.batches] == [batch.seq for batch in silent.batches] == [1]
        assert not len(handover.outgoing)
