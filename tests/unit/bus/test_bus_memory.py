"""What only MemoryBus has: a cloud to cut and to watch, full queues, pending requests that run out."""

from __future__ import annotations

import asyncio

import pytest

from headgate.bus.delivery import Counters, QueueLimits
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.bus.rpc import Kind, Rpc, encode_reply
from headgate.errors import Reject, Retry
from headgate.inbox import Overflow


async def test_a_cloud_that_is_away_is_retry_and_nothing_comes_down() -> None:
    cloud = MemoryCloud()
    seen: list[bytes] = []

    async def note(topic: str, payload: bytes) -> None:
        seen.append(payload)

    async with MemoryBus(cloud=cloud) as bus, MemoryBus(cloud=cloud) as other:
        with bus.subscribe_cloud("t", note):
            await other.publish_cloud("t", b"1")
            bus.cloud_online = False
            await other.publish_cloud("t", b"2")
            with pytest.raises(Retry, match="publish_cloud to 't': the cloud is away"):
                await bus.publish_cloud("t", b"3")
            bus.cloud_online = True
            await bus.publish_cloud("t", b"4")
            await asyncio.sleep(0)
    assert seen == [b"1", b"4"]


async def test_a_cloud_can_be_watched_and_spoken_for() -> None:
    cloud = MemoryCloud()
    up: list[tuple[str, bytes]] = []
    down: list[tuple[str, bytes]] = []

    async def note(topic: str, payload: bytes) -> None:
        down.append((topic, payload))

    with cloud.attached("up/#", lambda *message: up.append(message)):
        async with MemoryBus(cloud=cloud) as bus:
            with bus.subscribe_cloud("down", note):
                await bus.publish_cloud("up/1", b"x")
                cloud.route("down", b"y")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
    assert (up, down) == ([("up/1", b"x")], [("down", b"y")])


@pytest.mark.parametrize(
    ("policy", "kept"),
    [(Overflow.DROP_OLDEST, [b"0", b"3", b"4"]), (Overflow.DROP_NEWEST, [b"0", b"1", b"2"])],
)
async def test_a_full_queue_drops_by_its_policy_and_counts(
    policy: Overflow, kept: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    free = asyncio.Event()
    seen: list[bytes] = []

    async def slow(topic: str, payload: bytes) -> None:
        seen.append(payload)
        await free.wait()

    async with MemoryBus(queue=QueueLimits(2, 1000, policy)) as bus:
        with bus.subscribe("t", slow):
            for n in range(5):
                await bus.publish("t", b"%d" % n)
            assert bus.counters() == [Counters("t", received=5, dropped=2, failed=0, waiting=2)]
            free.set()
            while len(seen) < 3:
                await asyncio.sleep(0)
    assert seen == kept
    assert [record.message for record in caplog.records] == [
        "subscription to 't' falls behind: its queue is full and drops messages"
    ]


async def test_pending_requests_are_bounded_and_late_replies_counted() -> None:
    async with MemoryBus() as bus:
        rpc = Rpc(bus, max_pending=2)
        waiting = [asyncio.create_task(rpc.request("t", b"", 60), name=f"ask {n}") for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Retry, match="2 requests are pending already"):
            await rpc.request("t", b"", 60)
        await bus.publish(rpc._reply_topic, encode_reply(0, Kind.OK, b""))
        await asyncio.sleep(0)
        assert rpc.late_replies == 1
        rpc.close()
        for task in waiting:
            with pytest.raises(Retry, match="the bus closed before an answer came"):
                await task


async def test_a_failed_message_is_counted() -> None:
    async def refuse(topic: str, payload: bytes) -> None:
        raise Reject("no")

    async with MemoryBus() as bus:
        with bus.subscribe("t", refuse):
            await bus.publish("t", b"")
            await asyncio.sleep(0)
            assert bus.counters()[0].failed == 1


async def test_configs_differ_from_each_other_and_end_with_the_bus() -> None:
    seen: list[object] = []
    async with MemoryBus(config={"n": 1}) as bus:
        configs = bus.configs()
        seen.append(await anext(configs))
        bus.set_config({"n": 1})
        bus.set_config({"n": 2})
        seen.append(await anext(configs))
    seen.extend([config async for config in configs])
    assert seen == [{"n": 1}, {"n": 2}]
