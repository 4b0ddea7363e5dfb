"""What `headgate.bus.api.Bus` promises, over every implementation; `conftest.py` makes the buses."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import ExitStack

import pytest

from headgate.bus.rpc import OVERHEAD_BYTES
from headgate.errors import Reject, Retry
from tests.contract.bus.world import Message, World, collect, settled

_numbers = itertools.count(1)

pytestmark = pytest.mark.timeout(60)


def local(name: str = "t") -> str:
    return f"hg/v1/local/test/{next(_numbers)}/{name}"


def cloud(world: World, name: str = "t") -> str:
    return f"hg/v1/{world.thing}/test/{next(_numbers)}/{name}"


async def test_messages_arrive_in_order_with_topic_and_payload(world: World) -> None:
    async with world.bus() as bus:
        topic = local()
        with collect(bus.subscribe, topic) as got:
            sent = [Message(topic, b"%d" % n) for n in range(200)]
            for message in sent:
                await bus.publish(*message)
            assert await got.take(200) == sent


async def test_concurrent_publishers_each_keep_their_order(world: World) -> None:
    async with world.bus() as bus:
        topic = local()

        async def publish(name: int) -> None:
            for n in range(30):
                await bus.publish(topic, bytes((name, n)))

        with collect(bus.subscribe, topic) as got:
            async with asyncio.TaskGroup() as group:
                for name in range(6):
                    group.create_task(publish(name), name=f"publisher {name}")
            payloads = [message.payload for message in await got.take(180)]
        for name in range(6):
            assert [n for who, n in payloads if who == name] == list(range(30))


async def test_wildcards_and_own_messages(world: World) -> None:
    async with world.bus() as bus:
        base = local("x")
        with (
            collect(bus.subscribe, f"{base}/+/c") as plus,
            collect(bus.subscribe, f"{base}/#") as hash_,
            collect(bus.subscribe, f"{base}/a/c") as exact,
        ):
            for end in ("a/c", "b/c", "b/d", "a/c"):
                await bus.publish(f"{base}/{end}", end.encode())
            assert [m.payload for m in await plus.take(3)] == [b"a/c", b"b/c", b"a/c"]
            assert [m.payload for m in await hash_.take(4)] == [b"a/c", b"b/c", b"b/d", b"a/c"]
            assert await exact.take(2) == [Message(f"{base}/a/c", b"a/c")] * 2


async def test_two_buses_of_one_gateway_hear_each_other(world: World) -> None:
    async with world.pair() as (left, right):
        topic = local()
        with collect(right.subscribe, topic) as got:
            await settled(right)
            await left.publish(topic, b"over")
            assert await got.take(1) == [Message(topic, b"over")]


async def test_a_handler_gets_one_message_at_a_time(world: World) -> None:
    async with world.bus() as bus:
        topic, running, seen = local(), 0, 0
        done = asyncio.Event()

        async def handler(topic: str, payload: bytes) -> None:
            nonlocal running, seen
            assert running == 0
            running += 1
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1
            seen += 1
            if seen == 20:
                done.set()

        with bus.subscribe(topic, handler):
            for _ in range(20):
                await bus.publish(topic, b"")
            await done.wait()


async def test_a_slow_handler_blocks_nobody_else(world: World) -> None:
    async with world.bus() as bus:
        topic, free = local(), asyncio.Event()

        async def slow(topic: str, payload: bytes) -> None:
            await free.wait()

        with bus.subscribe(topic, slow), collect(bus.subscribe, topic) as got:
            for n in range(10):
                await bus.publish(topic, bytes((n,)))
            assert len(await got.take(10)) == 10
            free.set()


async def test_a_handler_that_rejects_loses_only_that_message(world: World) -> None:
    async with world.bus() as bus:
        topic, good = local(), asyncio.Event()

        async def handler(topic: str, payload: bytes) -> None:
            if payload == b"bad":
                raise Reject("not this one")
            good.set()

        with bus.subscribe(topic, handler):
            await bus.publish(topic, b"bad")
            await bus.publish(topic, b"good")
            await good.wait()


def test_any_other_error_of_a_handler_ends_the_bus(world: World) -> None:
    async def scenario() -> None:
        async with world.bus() as bus:
            topic = local()

            async def handler(topic: str, payload: bytes) -> None:
                raise ZeroDivisionError

            with bus.subscribe(topic, handler):
                await bus.publish(topic, b"")
                await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(scenario())
    assert raised.group_contains(ZeroDivisionError)


async def test_nothing_arrives_after_leaving(world: World) -> None:
    async with world.bus() as bus:
        topic = local()
        with collect(bus.subscribe, topic) as kept:
            with collect(bus.subscribe, topic) as left:
                await bus.publish(topic, b"1")
                await left.take(1)
            await bus.publish(topic, b"2")
            await kept.take(2)
        assert left.waiting == 0


async def test_a_handler_may_publish_request_and_subscribe(world: World) -> None:
    async with world.bus() as bus:
        stack = ExitStack()
        ask, answer, done = local("ask"), local("answer"), asyncio.Event()

        async def double(payload: bytes) -> bytes:
            return payload * 2

        async def note(topic: str, payload: bytes) -> None:
            assert payload == b"xx"
            done.set()

        async def handler(topic: str, payload: bytes) -> None:
            stack.enter_context(bus.subscribe(answer, note))
            await bus.publish(answer, await bus.request(ask, payload, timeout_s=30))

        start = local("start")
        with bus.serve(ask, double), bus.subscribe(start, handler):
            await bus.publish(start, b"x")
            await done.wait()
        stack.close()


@pytest.mark.parametrize("size", ["0", "1", "max"])
async def test_payloads_of_every_size_pass_whole(world: World, size: str) -> None:
    async with world.bus() as bus:
        topic = local()
        payload = bytes(range(256)) * (bus.max_local_bytes // 256 + 1)
        payload = payload[: {"0": 0, "1": 1, "max": bus.max_local_bytes}[size]]
        with collect(bus.subscribe, topic) as got:
            await bus.publish(topic, payload)
            assert await got.take(1) == [Message(topic, payload)]


async def test_too_large_is_rejected_and_the_bus_goes_on(world: World) -> None:
    async with world.bus() as bus:
        topic = local()
        too_much = bus.max_local_bytes + 1
        with pytest.raises(Reject, match=rf"'{topic}': {too_much} B is too large.* {bus.max_local_bytes} B"):
            await bus.publish(topic, bytes(too_much))
        too_much = bus.max_cloud_bytes + 1
        with pytest.raises(Reject, match=rf"{too_much} B is too large.* {bus.max_cloud_bytes} B"):
            await bus.publish_cloud(cloud(world), bytes(too_much))
        with pytest.raises(Reject, match="too large"):
            await bus.request(topic, bytes(bus.max_local_bytes - OVERHEAD_BYTES + 1), timeout_s=1)
        with collect(bus.subscribe, topic) as got:
            await bus.publish(topic, b"fits")
            await got.take(1)


@pytest.mark.parametrize("topic", ["", "a/#", "a/+", "x" * 257])
async def test_what_is_no_topic_is_rejected(world: World, topic: str) -> None:
    async with world.bus() as bus:
        for call in (
            bus.publish(topic, b""),
            bus.publish_cloud(topic, b""),
            bus.request(topic, b"", timeout_s=1),
        ):
            with pytest.raises(Reject):
                await call


@pytest.mark.parametrize("pattern", ["", "a/#/b", "a+", "x" * 257])
async def test_what_is_no_pattern_is_rejected(world: World, pattern: str) -> None:
    async def ignore(topic: str, payload: bytes) -> None:
        pass

    async with world.bus() as bus:
        for subscribe in (bus.subscribe, bus.subscribe_cloud):
            with pytest.raises(Reject), subscribe(pattern, ignore):
                pass


async def test_requests_are_answered_each_with_its_own_reply(world: World) -> None:
    async with world.pair() as (asks, serves):
        topic = local()

        async def reverse(payload: bytes) -> bytes:
            return payload[::-1]

        with serves.serve(topic, reverse):
            await settled(serves)
            async with asyncio.TaskGroup() as group:
                tasks = {
                    n: group.create_task(asks.request(topic, b"ab%d" % n, timeout_s=30), name=f"ask {n}")
                    for n in range(20)
                }
            assert [t.result() for t in tasks.values()] == [(b"ab%d" % n)[::-1] for n in range(20)]
            largest = bytes(asks.max_local_bytes - OVERHEAD_BYTES)
            assert await asks.request(topic, largest, timeout_s=30) == largest


async def test_a_servers_reject_and_retry_reach_the_caller(world: World) -> None:
    async with world.bus() as bus:
        topic = local()

        async def refuse(payload: bytes) -> bytes:
            if payload == b"large":
                return bytes(bus.max_local_bytes)
            raise Reject("never ✗") if payload == b"reject" else Retry("later")

        with bus.serve(topic, refuse):
            with pytest.raises(Reject, match="never ✗"):
                await bus.request(topic, b"reject", timeout_s=30)
            with pytest.raises(Retry, match="later"):
                await bus.request(topic, b"retry", timeout_s=30)
            with pytest.raises(Reject, match="too large"):
                await bus.request(topic, b"large", timeout_s=30)


async def test_nobody_answering_is_retry_and_garbage_does_not_stop_a_server(world: World) -> None:
    async with world.bus() as bus:
        topic = local()
        with pytest.raises(Retry, match=r"no answer within 0\.05 s"):
            await bus.request(topic, b"", timeout_s=0.05)

        async def echo(payload: bytes) -> bytes:
            return payload

        with bus.serve(topic, echo):
            await bus.publish(topic, b"no request at all")
            assert await bus.request(topic, b"x", timeout_s=30) == b"x"


async def test_the_cloud_up_and_down(world: World) -> None:
    async with world.bus() as bus:
        topic = cloud(world)
        with collect(bus.subscribe_cloud, f"{topic}/#") as got:
            for start in range(0, 20, 5):  # lite has ten unacknowledged at most, and says Retry beyond
                sent = [Message(f"{topic}/{n}", b"%d" % n) for n in range(start, start + 5)]
                for message in sent:
                    await bus.publish_cloud(*message)
                assert await got.take(5) == sent


async def test_local_and_cloud_topics_are_apart(world: World) -> None:
    async with world.bus() as bus:
        topic = cloud(world)
        with collect(bus.subscribe_cloud, topic) as up, collect(bus.subscribe, topic) as here:
            await bus.publish(topic, b"local")
            await bus.publish_cloud(topic, b"cloud")
            assert await up.take(1) == [Message(topic, b"cloud")]
            assert await here.take(1) == [Message(topic, b"local")]
        assert (up.waiting, here.waiting) == (0, 0)


async def test_a_configuration_comes_first_then_its_changes(world: World) -> None:
    async with world.bus() as bus:
        configs = bus.configs()
        first = await anext(configs)
        assert first["greeting"] == "hello"
        assert "accessControl" not in first
        await world.configure(bus, {"greeting": "goodbye"})
        async for config in configs:
            if config["greeting"] == "goodbye":
                break


async def test_a_closed_bus_says_retry(world: World) -> None:
    async def ignore(topic: str, payload: bytes) -> None:
        pass

    async with world.bus() as bus:
        pass
    for call in (
        bus.publish("a", b""),
        bus.publish_cloud("a", b""),
        bus.request("a", b"", timeout_s=1),
    ):
        with pytest.raises(Retry):
            await call
    with pytest.raises(Retry), bus.subscribe("a", ignore):
        pass
