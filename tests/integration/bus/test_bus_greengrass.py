"""GreengrassBus against the scripted peer: the environment, configurations, what ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headgate.bus.greengrass import Environment, GreengrassBus
from headgate.errors import Fatal
from headgate.ipc.errors import TokenRefused, Unauthorized
from headgate.ipc.limits import CLASSIC, LITE
from tests.support.ipc_peer import (
    CONNECT_ACK,
    Peer,
    Request,
    answer_empty,
    error,
    event,
    frame,
    response,
    running_peer,
)

VARIABLES = {
    "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": "/x/gg-ipc.socket",
    "SVCUID": "secret",
    "AWS_IOT_THING_NAME": "gateway-1",
}


def environment(peer: Peer) -> Environment:
    return Environment(peer.socket, peer.token, "gateway-1")


def test_the_components_environment() -> None:
    read = Environment.read(VARIABLES)
    assert (read.socket, read.token, read.thing) == ("/x/gg-ipc.socket", "secret", "gateway-1")
    assert "secret" not in f"{read} {read!r}"
    with pytest.raises(Fatal, match="SVCUID, AWS_IOT_THING_NAME not set"):
        Environment.read({**VARIABLES, "SVCUID": "", "AWS_IOT_THING_NAME": ""})


async def test_limits_come_from_the_sockets_name_or_are_given() -> None:
    read = Environment.read(VARIABLES)
    assert GreengrassBus(read).max_local_bytes == LITE.local_bytes
    assert GreengrassBus(read, profile="classic").max_cloud_bytes == CLASSIC.cloud_bytes


async def test_configs_are_read_again_after_events_and_after_a_reconnect(tmp_path: Path) -> None:
    value = {"n": 1, "accessControl": {"secret": {}}}

    def script(peer: Peer, request: Request) -> bytes:
        if request.operation == "GetConfiguration":
            return response(request.operation, request.stream, {"componentName": "me", "value": dict(value)})
        return answer_empty(peer, request)

    async with running_peer(tmp_path, script) as peer, GreengrassBus(environment(peer)) as bus:
        configs = bus.configs()
        assert await anext(configs) == {"n": 1}
        stream = next(r.stream for r in peer.requests if r.operation == "SubscribeToConfigurationUpdate")
        change = event("ConfigurationUpdateEvents", stream, {"configurationUpdateEvent": {"keyPath": ["n"]}})
        peer.send(change)  # nothing changed: not seen
        value["n"] = 2
        peer.send(change)
        assert await anext(configs) == {"n": 2}
        value["n"] = 3
        peer.cut()
        assert await anext(configs) == {"n": 3}
        assert peer.connects == 2


async def test_configs_of_a_component_without_configuration_are_empty(tmp_path: Path) -> None:
    def script(peer: Peer, request: Request) -> bytes:
        if request.operation == "GetConfiguration":
            return error("ResourceNotFoundError", request.stream, {"_message": "none"})
        return answer_empty(peer, request)

    async with running_peer(tmp_path, script) as peer, GreengrassBus(environment(peer)) as bus:
        assert await anext(bus.configs()) == {}


async def test_configs_end_when_the_bus_closes(tmp_path: Path) -> None:
    def script(peer: Peer, request: Request) -> bytes:
        return response(request.operation, request.stream, {"value": {}})

    seen: list[object] = []
    async with running_peer(tmp_path, script) as peer:
        async with GreengrassBus(environment(peer)) as bus:
            first = asyncio.Event()

            async def follow() -> None:
                async for config in bus.configs():
                    seen.append(config)
                    first.set()

            following = asyncio.create_task(follow(), name="follow")
            await first.wait()
        await following
    assert seen == [{}]


async def test_a_refused_token_ends_the_bus_before_it_opens(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer:
        peer.on_connect = frame(CONNECT_ACK, 0, 0)
        with pytest.raises(ExceptionGroup) as raised:
            async with GreengrassBus(environment(peer)):
                pass
        assert raised.group_contains(TokenRefused)


async def test_a_nucleus_that_knows_this_process_no_more_ends_the_open_bus(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer:

        async def be_orphaned() -> None:
            async with GreengrassBus(environment(peer)):
                peer.on_connect = frame(CONNECT_ACK, 0, 0)
                peer.cut()
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as raised:
            await be_orphaned()
        assert raised.group_contains(TokenRefused)


async def test_a_refused_subscription_ends_the_bus(tmp_path: Path) -> None:
    def script(peer: Peer, request: Request) -> bytes:
        return error("UnauthorizedError", request.stream, {"_message": "no"})

    async def ignore(topic: str, payload: bytes) -> None:
        pass

    async with running_peer(tmp_path, script) as peer:

        async def listen() -> None:
            async with GreengrassBus(environment(peer)) as bus:
                with bus.subscribe_cloud("t", ignore):
                    await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as raised:
            await listen()
        assert raised.group_contains(Unauthorized, match="SubscribeToIoTCore 't' is not allowed")


async def test_the_bodys_own_error_stays_itself(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer:
        with pytest.raises(ZeroDivisionError):
            async with GreengrassBus(environment(peer)):
                raise ZeroDivisionError
