"""Session and client on a socket, against the scripted peer: reconnect, refusal, typed results."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from headgate.errors import Fatal, Reject, Retry
from headgate.ipc.client import (
    Client,
    CloudMessage,
    Configuration,
    ConfigurationChange,
    Restart,
    TopicMessage,
)
from headgate.ipc.connection import Connection
from headgate.ipc.errors import NotFound, StaleUpdate, TokenRefused, Unauthorized
from headgate.ipc.limits import LITE
from headgate.ipc.session import Session
from headgate.ipc.transport import open_transport
from tests.support.ipc_peer import (
    CONNECT_ACK,
    MESSAGE,
    Peer,
    Request,
    answer_empty,
    error,
    event,
    frame,
    response,
    running_peer,
)


@asynccontextmanager
async def session_with(peer: Peer, naps: list[float] | None = None) -> AsyncIterator[Session]:
    """A session that runs, with sleeps noted instead of slept."""

    async def nap(delay_s: float) -> None:
        if naps is not None:
            naps.append(delay_s)
        await asyncio.sleep(0)

    session = Session(lambda: Connection.open(peer.socket, peer.token), sleep=nap, draw=lambda: 0.0)
    running = asyncio.create_task(session.run(), name="session")
    try:
        yield session
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_thousand_calls_on_streams_without_gaps(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer, session_with(peer) as session:
        await session.connected()
        client = Client(session, LITE)
        for _ in range(100):
            async with asyncio.TaskGroup() as group:
                for n in range(10):
                    group.create_task(client.publish_to_topic("t", b"%d" % n), name=f"publish {n}")
        assert peer.stream_ids == list(range(1, 1001))
        assert sorted(peer.closed_streams) == list(range(1, 1001))
        sent = [request.body["publishMessage"]["binaryMessage"]["message"] for request in peer.requests]
        assert sent == [b64encode(b"%d" % n).decode() for n in range(10)] * 100
        assert session._live is not None
        assert session._live.open_streams == 0


async def test_away_means_retry_and_subscriptions_come_back_in_order_before_calls(tmp_path: Path) -> None:
    naps: list[float] = []
    async with running_peer(tmp_path) as peer, session_with(peer, naps) as session:
        client = Client(session, LITE)
        with pytest.raises(Retry, match="PublishToTopic 't': no connection to the nucleus"):
            await client.publish_to_topic("t", b"")
        got: list[TopicMessage] = []
        with (
            client.subscribe_to_topic("a/#", got.append),
            client.subscribe_to_iot_core("b", lambda _: None),
            client.subscribe_to_topic("c", got.append),
        ):
            await session.connected()
            lost = session._live
            assert lost is not None
            peer.cut()
            await lost.wait_closed()
            with pytest.raises(Retry, match=r"closed the connection|no connection"):
                await client.publish_to_topic("t", b"")
            while True:
                with suppress(Retry):
                    await client.publish_to_topic("t", b"after")
                    break
                await session.connected()
            again = [r for r in peer.requests if r.connection == 2]
            assert [(r.stream, r.operation) for r in again] == [
                (1, "SubscribeToTopic"),
                (2, "SubscribeToIoTCore"),
                (3, "SubscribeToTopic"),
                (4, "PublishToTopic"),
            ]
            assert [r.body.get("topic") or r.body["topicName"] for r in again] == ["a/#", "b", "c", "t"]
            body = {"binaryMessage": {"message": "aGk=", "context": {"topic": "c"}}}
            peer.send(event("SubscriptionResponseMessage", 3, body))
            while not got:
                await asyncio.sleep(0)
            assert got == [TopicMessage("c", b"hi")]
        await peer.until(lambda: len(peer.closed_streams) == 4)
        assert naps == [0.125]


async def test_a_call_waits_until_subscriptions_made_before_it_are_answered(tmp_path: Path) -> None:
    def script(peer: Peer, request: Request) -> bytes:
        return b"" if request.operation == "SubscribeToTopic" else answer_empty(peer, request)

    async with running_peer(tmp_path, script) as peer, session_with(peer) as session:
        await session.connected()
        client = Client(session, LITE)
        with client.subscribe_to_topic("t", lambda _: None):
            publish = asyncio.create_task(client.publish_to_topic("t", b""), name="publish")
            await peer.until(lambda: len(peer.requests) == 1)
            peer.send(response("SubscribeToTopic", 1, {}))
            await publish
            assert [r.operation for r in peer.requests] == ["SubscribeToTopic", "PublishToTopic"]


async def test_a_subscription_that_fails_or_ends_for_now_is_tried_again(tmp_path: Path) -> None:
    """Lite without its broker answers ServiceError; a stream may also be ended by the nucleus."""

    def script(peer: Peer, request: Request) -> bytes:
        if len(peer.requests) <= 3:
            return error("ServiceError", request.stream, {"_message": "offline"})
        return answer_empty(peer, request)

    naps: list[float] = []
    async with running_peer(tmp_path, script) as peer, session_with(peer, naps) as session:
        with Client(session, LITE).subscribe_to_iot_core("t", lambda _: None):
            await peer.until(lambda: len(peer.requests) == 4)
            assert naps == [0.125, 0.25, 0.5]
            await session.connected()
            peer.send(frame(MESSAGE, 2, 4))
            await peer.until(lambda: len(peer.requests) == 5)
            assert naps[3:] == [0.125]
        assert peer.connects == 1


@pytest.mark.parametrize(
    ("answer", "connects"),
    [(frame(CONNECT_ACK, 0, 0), 1), (b"", 3)],
    ids=["classic says so", "lite just closes"],
)
async def test_an_orphan_whose_token_is_refused_ends(tmp_path: Path, answer: bytes, connects: int) -> None:
    async with running_peer(tmp_path) as peer:
        peer.on_connect = answer

        async def nap(delay_s: float) -> None:
            await asyncio.sleep(0)

        session = Session(lambda: Connection.open(peer.socket, "orphan"), sleep=nap)
        with pytest.raises(TokenRefused, match="SVCUID") as raised:
            await session.run()
        assert isinstance(raised.value, Fatal)
        assert "orphan" not in str(raised.value)
        assert peer.connects == connects


async def test_a_subscription_that_is_not_allowed_ends_the_session(tmp_path: Path) -> None:
    def script(peer: Peer, request: Request) -> bytes:
        return error("UnauthorizedError", request.stream, {"message": "no policy"})

    async with running_peer(tmp_path, script) as peer:
        session = Session(lambda: Connection.open(peer.socket, "token"))
        with (
            Client(session, LITE).subscribe_to_topic("t", lambda _: None),
            pytest.raises(Unauthorized, match=r"SubscribeToTopic 't' .*aws\.greengrass\.ipc\.pubsub"),
        ):
            await session.run()


async def test_no_nucleus_is_tried_with_growing_waits(tmp_path: Path) -> None:
    naps: list[float] = []

    async def nap(delay_s: float) -> None:
        naps.append(delay_s)
        if len(naps) == 8:
            raise Fatal("enough")

    session = Session(lambda: Connection.open(str(tmp_path / "none"), "token"), sleep=nap, draw=lambda: 0.0)
    with pytest.raises(Fatal, match="enough"):
        await session.run()
    assert naps == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


async def test_a_socket_path_that_cannot_be_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="at most 107 B"):
        await open_transport(f"{tmp_path}/{'x' * 108}", lambda: Connection("token"))


async def test_too_large_is_rejected_before_anything_is_sent(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer, session_with(peer) as session:
        await session.connected()
        client = Client(session, LITE)
        with pytest.raises(Reject, match="PublishToTopic to 't': 7303 B is too large, the limit is 7302 B"):
            await client.publish_to_topic("t", bytes(7303))
        with pytest.raises(Reject, match="PublishToIoTCore to 't': 7203 B is too large, the limit is 7202 B"):
            await client.publish_to_iot_core("t", bytes(7203))
        assert peer.requests == []
        await client.publish_to_topic("t", bytes(7302))
        await client.publish_to_iot_core("t", bytes(7202))


ANSWERS: dict[str, object] = {
    "GetConfiguration": {"componentName": "c", "value": {"b": 1.0}},
    "CreateLocalDeployment": {"deploymentId": "d1"},
    "RestartComponent": {"restartStatus": "FAILED", "message": "busy"},
    "ValidateAuthorizationToken": {"isValid": True},
}


async def test_typed_operations(tmp_path: Path) -> None:
    def script(peer: Peer, request: Request) -> bytes:
        if request.body.get("token") == "bad":
            return error("InvalidTokenError", request.stream, {"message": "bad"})
        if request.body.get("keyPath") == ["none"]:
            return error("ResourceNotFoundError", request.stream, {"_message": "Key not found"}, flags=0)
        if request.body.get("timestamp") == 1.5:
            return error("FailedUpdateConditionCheckError", request.stream, {"message": "older"})
        return response(request.operation, request.stream, ANSWERS.get(request.operation, {}))

    async with running_peer(tmp_path, script) as peer, session_with(peer) as session:
        await session.connected()
        client = Client(session, LITE)
        assert await client.get_configuration(["a", "b"]) == Configuration("c", {"b": 1.0})
        with pytest.raises(NotFound, match=r"GetConfiguration 'none': not found.*Key not found"):
            await client.get_configuration(["none"])
        await client.update_configuration(["a"], {"x": 1}, utc_s=2.5)
        assert peer.requests[-1].body == {"keyPath": ["a"], "timestamp": 2.5, "valueToMerge": {"x": 1}}
        with pytest.raises(StaleUpdate):
            await client.update_configuration(["a"], {"x": 1}, utc_s=1.5)
        await client.update_state("RUNNING")
        assert await client.validate_authorization_token("good")
        assert not await client.validate_authorization_token("bad")
        assert await client.create_local_deployment(add={"c": "1.0.0"}, remove=["d"]) == "d1"
        assert peer.requests[-1].body == {
            "rootComponentVersionsToAdd": {"c": "1.0.0"},
            "rootComponentsToRemove": ["d"],
        }
        assert await client.restart_component("c") == Restart(ok=False, message="busy")
        await client.publish_to_iot_core("t", b"\x00\xff", qos=0)
        assert peer.requests[-1].body == {"topicName": "t", "qos": "0", "payload": "AP8="}


async def test_events_are_typed_and_unreadable_ones_are_counted(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer, session_with(peer) as session:
        await session.connected()
        client = Client(session, LITE)
        got: list[object] = []
        with (
            client.subscribe_to_topic("t/#", got.append),
            client.subscribe_to_iot_core("c", got.append),
            client.subscribe_to_configuration_update(got.append),
        ):
            await session.connected()
            bodies: list[tuple[int, object]] = [
                (1, {"binaryMessage": {"message": "AA==", "context": {"topic": "t/1"}}}),
                (1, {"jsonMessage": {"message": {"é": [1]}, "context": {"topic": "t/2"}}}),
                (1, {"binaryMessage": {"message": "AA=="}}),
                (1, {}),
                (1, []),
                (1, {"binaryMessage": {"message": "A"}}),
                (2, {"message": {"topicName": "c", "payload": "aGk="}}),
                (2, {"message": None}),
                (3, {"configurationUpdateEvent": {"componentName": "me", "keyPath": ["a", "b"]}}),
            ]
            for stream, body in bodies:
                peer.send(event("Any", stream, body))
            while len(got) < 5:
                await asyncio.sleep(0)
        assert got == [
            TopicMessage("t/1", b"\0"),
            TopicMessage("t/2", '{"é":[1]}'.encode(), is_json=True),
            TopicMessage("t/#", b"\0"),
            CloudMessage("c", b"hi"),
            ConfigurationChange("me", ("a", "b")),
        ]
        assert client.malformed_events == 4


async def test_messages_can_be_iterated(tmp_path: Path) -> None:
    async with running_peer(tmp_path) as peer, session_with(peer) as session:
        await session.connected()
        with Client(session, LITE).topic_messages("t") as messages:
            await session.connected()
            for n in range(3):
                body = {
                    "binaryMessage": {"message": b64encode(b"%d" % n).decode(), "context": {"topic": "t"}}
                }
                peer.send(event("SubscriptionResponseMessage", 1, body))
            assert [(await anext(messages)).payload for _ in range(3)] == [b"0", b"1", b"2"]
