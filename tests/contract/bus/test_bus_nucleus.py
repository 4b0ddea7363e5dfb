"""What only a bus on a nucleus has to show: restarts, lost clouds, refusals by name, streams and memory."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from headgate.bus.api import Bus
from headgate.bus.greengrass import Environment, GreengrassBus
from headgate.errors import Reject, Retry
from headgate.ipc.errors import TokenRefused, Unauthorized
from tests.contract.bus.world import Collector, Message, collect
from tests.support.bus_nucleus import NucleusWorld, gateway


async def test_subscriptions_outlive_a_nucleus_that_knows_this_process(nucleus_world: NucleusWorld) -> None:
    async with nucleus_world.bus() as bus:
        with collect(bus.subscribe, "a/#") as got:
            assert isinstance(bus, GreengrassBus)
            await bus.publish("a/1", b"before")
            await asyncio.to_thread(cut, bus)
            while True:
                with suppress(Retry):
                    await bus.publish("a/2", b"after")
                    break
                await bus.connected()
            assert await got.take(2) == [Message("a/1", b"before"), Message("a/2", b"after")]


def cut(bus: GreengrassBus) -> None:
    """End the connection from below, as a nucleus would."""
    live = bus._session._live
    assert live is not None
    assert live._transport is not None
    live._transport.get_extra_info("socket").shutdown(2)


async def test_an_orphan_of_a_restarted_nucleus_ends(nucleus_world: NucleusWorld) -> None:
    async def be_orphaned() -> None:
        async with nucleus_world.bus():
            await asyncio.to_thread(nucleus_world.nucleus.kill)
            await asyncio.to_thread(nucleus_world.nucleus.start)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        await be_orphaned()
    assert raised.group_contains(TokenRefused, match="SVCUID")


async def test_a_lost_cloud_comes_back_to_its_subscriptions(nucleus_world: NucleusWorld) -> None:
    """Lite has no spooler: while the broker is away, it refuses publish and subscribe with ServiceError."""
    lite = nucleus_world.nucleus.external("headgate.Left")["profile"] == "lite"
    async with nucleus_world.bus() as bus:
        with collect(bus.subscribe_cloud, "before") as before:
            await bus.publish_cloud("before", b"1")
            await before.take(1)
            await asyncio.to_thread(nucleus_world.broker.stop)
            await asyncio.to_thread(nucleus_world.until_cloud, False)
            with collect(bus.subscribe_cloud, "during") as during:
                if lite:
                    with pytest.raises(Retry, match="PublishToIoTCore 'during' failed for now"):
                        await bus.publish_cloud("during", b"2")
                else:
                    await bus.publish_cloud("during", b"2")
                await bus.publish("local", b"goes on")
                await asyncio.to_thread(nucleus_world.broker.start)
                await asyncio.to_thread(nucleus_world.until_cloud, True)
                for topic, got in (("before", before), ("during", during)):
                    await arrives(bus, topic, got)


async def arrives(bus: Bus, topic: str, got: Collector) -> None:
    """Publish until a message comes back."""
    while True:
        with suppress(Retry):
            await bus.publish_cloud(topic, b"3")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while await got.take(1) != [Message(topic, b"3")]:
                    pass
                return


async def test_a_wrong_token_is_refused(nucleus_world: NucleusWorld) -> None:
    right = nucleus_world.environment()
    with pytest.raises(ExceptionGroup) as raised:
        async with GreengrassBus(Environment(right.socket, "wrong", right.thing)):
            pass
    assert raised.group_contains(TokenRefused)


@pytest.mark.parametrize("profile", ["classic", "lite"])
async def test_what_is_not_allowed_is_named(tmp_path: Path, profile: str) -> None:
    with gateway(tmp_path, profile, ["ok/*", "hg/v1/local/*"]) as world:

        async def listen() -> None:
            async with world.bus() as bus:
                with collect(bus.subscribe_cloud, "no/x"):
                    await asyncio.Event().wait()

        async with world.bus() as bus:
            await bus.publish("ok/x", b"")
            with pytest.raises(Unauthorized, match=r"PublishToTopic 'no/x' .*aws\.greengrass#PublishToTopic"):
                await bus.publish("no/x", b"")
            with pytest.raises(Unauthorized, match=r"PublishToIoTCore 'no/x' .*ipc\.mqttproxy"):
                await bus.publish_cloud("no/x", b"")
            await bus.publish("ok/x", b"")
        with pytest.raises(ExceptionGroup) as raised:
            await listen()
        assert raised.group_contains(Reject, match="SubscribeToIoTCore 'no/x' is not allowed")


async def measure(world: NucleusWorld, calls: int) -> tuple[int, int, int]:
    """RSS of this process and of the nucleus after so many calls, and the streams left open."""
    assert world.nucleus.process is not None
    nucleus = psutil.Process(world.nucleus.process.pid)
    async with world.bus() as bus:
        assert isinstance(bus, GreengrassBus)
        for _ in range(calls // 8):
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(bus.publish("t", bytes(100)), name="publish")
        live = bus._session._live
        assert live is not None
        return psutil.Process().memory_info().rss, nucleus.memory_info().rss, live.open_streams


async def test_1000_calls_leave_no_stream_open(nucleus_world: NucleusWorld) -> None:
    assert (await measure(nucleus_world, 1000))[2] == 0


@pytest.mark.slow("ipc")
@pytest.mark.timeout(300)
async def test_rss_is_flat_over_10k_calls(nucleus_world: NucleusWorld) -> None:
    mine, nucleus, _ = await measure(nucleus_world, 2_000)
    mine_later, nucleus_later, _ = await measure(nucleus_world, 10_000)
    # a leak of 100 B a call would be 1,000 kB
    assert mine_later - mine < 700 * 1024
    assert nucleus_later - nucleus < 700 * 1024
