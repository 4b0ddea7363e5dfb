"""The simulated nucleus in hostile and lasting use: fuzzed frames, slow readers, old tokens, deployments."""

from __future__ import annotations

import base64
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.nucleus import wire
from tests.contract.nucleus.wire import Ended, Wire
from tests.support.certificates import Authority
from tests.support.component import Build, allow
from tests.support.processes import NucleusProcess, free_port, until

ME = "test.External"
ACCESS = {
    **allow("ipc.pubsub", ["PublishToTopic", "SubscribeToTopic"], ["*"]),
    **allow("Cli", ["CreateLocalDeployment", "RestartComponent"], ["*"]),
}
FUZZED_FRAMES = int(os.environ.get("HEADGATE_FUZZ_FRAMES", "5000"))
SEED = int(os.environ.get("HEADGATE_SEED", "1"))


class Nowhere:
    """A broker that is not there."""

    def __init__(self) -> None:
        self.port = free_port()


class Gateway(NucleusProcess):
    """A nucleus that a test talks to as a component."""

    def join(self) -> Wire:
        given = self.external(ME)
        connection = Wire(given["socket"])
        connection.connect(given["svcuid"])
        assert connection.receive().flags == wire.ACCEPTED
        return connection

    def rss_bytes(self) -> int:
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)


@pytest.fixture(params=["classic", "lite"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    authority, build = Authority(tmp_path), Build(tmp_path / "build")
    identity = authority.issue("gw-1")
    update = {"configurationUpdate": {"merge": {"accessControl": ACCESS}}}
    deployment = build.deployment({ME: update})
    options = ("--build", str(build.path), "--external", ME, "--deployment", str(deployment))
    one = Gateway(tmp_path / "g", Nowhere(), authority.ca, identity, request.param, *options)
    one.start()
    yield one
    one.stop()


def publication(topic: str, payload: bytes) -> dict[str, Any]:
    return {
        "topic": topic,
        "publishMessage": {"binaryMessage": {"message": base64.b64encode(payload).decode()}},
    }


OPERATIONS = [
    "PublishToTopic", "SubscribeToTopic", "PublishToIoTCore", "SubscribeToIoTCore", "GetConfiguration",
    "UpdateConfiguration", "SubscribeToConfigurationUpdate", "UpdateState", "ValidateAuthorizationToken",
    "CreateLocalDeployment", "RestartComponent", "PauseComponent", "GetThingShadow", "Nonsense", "",
]  # fmt: skip
FIELDS = [
    "topic", "publishMessage", "topicName", "qos", "payload", "componentName", "keyPath", "timestamp",
    "valueToMerge", "state", "token", "rootComponentVersionsToAdd", "rootComponentsToRemove", "receiveMode",
    "componentToConfiguration", "recipeDirectoryPath",
]  # fmt: skip
VALUES = [
    '"a/b"', '"1"', "5", "-1e400", "1e300", "true", "null", "[]", "{}", '["a"]', "[1]", '{"a": 1}',
    '"\\ud800"', '"\\u0000"', "5.5",
    '{"binaryMessage": {"message": "!"}}', '{"binaryMessage": {"message": "eA=="}}',
    '{"jsonMessage": {"message": {"a": [1, "x"]}}}', '{"x": {"MERGE": {}, "RESET": [1]}}', '"#"', '"+/+"',
]  # fmt: skip


def a_body(rng: random.Random) -> bytes:
    """An object of known fields with values that may not be theirs."""
    fields = [f'"{field}": {rng.choice(VALUES)}' for field in rng.sample(FIELDS, rng.randrange(6))]
    return ("{" + ", ".join(fields) + "}").encode()


def a_frame(rng: random.Random) -> bytes:
    """A frame that is damaged, or whole and nonsense."""
    headers: dict[str, int | str] = {
        ":message-type": rng.randrange(-1, 9),
        ":message-flags": rng.randrange(4),
        ":stream-id": rng.choice([0, 1, 2, 3, -1, 2**31 - 1]),
        "operation": "aws.greengrass#" + rng.choice(OPERATIONS),
    }
    for name in rng.sample(sorted(headers), rng.randrange(3)):
        del headers[name]
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    bodies = [b"", b"[]", b"null", b"[" * 2000, nested, rng.randbytes(30), *(a_body(rng) for _ in range(6))]
    data = bytearray(wire.frame(headers, rng.choice(bodies)))
    if rng.random() < 0.5:
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data))]) if rng.random() < 0.1 else bytes(data)


def fuzz(gateway: Gateway, count: int) -> int:
    """Send so many; returns how many connections it took."""
    rng = random.Random(SEED)
    given = gateway.external(ME)
    connections = sent = 0
    while sent < count:
        connections += 1
        with Wire(given["socket"]) as connection:
            if rng.random() < 0.9:
                connection.connect(given["svcuid"])
            for _ in range(rng.randrange(1, 20)):
                sent += 1
                try:
                    connection.send(a_frame(rng))
                except Ended:
                    break
            connection.finish()
    return connections


def works(gateway: Gateway) -> bool:
    with gateway.join() as connection:
        connection.call(1, "SubscribeToTopic", {"topic": "check"})
        connection.call(2, "PublishToTopic", publication("check", b"ok"))
        return {connection.receive().stream for _ in range(3)} == {1, 2}


def test_fuzzed_frames(gateway: Gateway) -> None:
    assert fuzz(gateway, FUZZED_FRAMES) > 1
    assert works(gateway)
    assert "Traceback" not in gateway.log()
    assert "closing the connection of" in gateway.log()


@pytest.mark.slow("ipc")
@pytest.mark.timeout(600)
def test_a_hundred_thousand_fuzzed_frames(gateway: Gateway) -> None:
    fuzz(gateway, 5_000)
    before = gateway.rss_bytes()
    fuzz(gateway, int(os.environ.get("HEADGATE_FUZZ_FRAMES", "100000")))
    assert works(gateway)
    assert "Traceback" not in gateway.log()
    assert gateway.rss_bytes() - before < 8 * 1024 * 1024


@pytest.mark.slow("ipc")
@pytest.mark.timeout(600)
def test_ten_thousand_calls_leave_its_memory_flat(gateway: Gateway) -> None:
    with gateway.join() as connection:
        calls = iter(range(1, 100_000))

        def call(count: int) -> None:
            for _ in range(count):
                stream = next(calls)
                connection.call(stream, "PublishToTopic", publication("nobody/hears", b"x" * 1000))
                assert connection.receive().stream == stream

        call(2_000)
        before = gateway.rss_bytes()
        call(10_000)
        assert gateway.rss_bytes() - before < 1024 * 1024


def test_who_does_not_read_is_disconnected(gateway: Gateway) -> None:
    with gateway.join() as deaf, gateway.join() as talker:
        deaf.call(1, "SubscribeToTopic", {"topic": "flood"})
        assert deaf.receive().stream == 1
        before = gateway.rss_bytes()
        for number in range(1, 6001):
            talker.call(number, "PublishToTopic", publication("flood", b"x" * 7000))
            assert talker.receive().stream == number
            if number % 100 == 0 and "does not read" in gateway.log():
                break
        else:
            pytest.fail("42 MB for a reader that does not read, and it is still connected")
        assert gateway.rss_bytes() - before < 24 * 1024 * 1024
    assert works(gateway)


def test_a_local_deployment_adds_updates_and_removes(gateway: Gateway, tmp_path: Path) -> None:
    build = Build(tmp_path / "other")
    build.component("test.New", {"run": "sleep 600"})
    request = {
        "recipeDirectoryPath": str(build.path / "recipes"),
        "artifactsDirectoryPath": str(build.path / "artifacts"),
        "rootComponentVersionsToAdd": {"test.New": "1.0.0"},
        "componentToConfiguration": {"test.New": {"MERGE": {"x": "y"}}},
    }
    with gateway.join() as connection:
        calls = iter(range(1, 100))

        def deploy(body: dict[str, Any], status: str) -> dict[str, Any]:
            answer = connection.asked(next(calls), "CreateLocalDeployment", body)
            number = answer.body["deploymentId"]
            until(
                lambda: (
                    (outcome := gateway.status()["deployment"])["id"] == number
                    and outcome["status"] == status
                ),
                f"the deployment is {status}",
            )
            outcome: dict[str, Any] = gateway.status()["deployment"]
            return outcome

        deploy(request, "SUCCEEDED")
        until(lambda: gateway.status()["components"]["test.New"]["state"] == "RUNNING", "it runs")
        answer = connection.asked(next(calls), "GetConfiguration", {"componentName": "test.New"})
        assert answer.body["value"] == {"x": "y"}
        failed = deploy({"rootComponentVersionsToAdd": {"test.None": "1.0.0"}}, "FAILED")
        assert "no recipe for test.None-1.0.0" in failed["detail"]
        first = gateway.status()["components"]["test.New"]["pid"]
        connection.asked(next(calls), "RestartComponent", {"componentName": "test.New"})
        until(lambda: gateway.status()["components"]["test.New"]["pid"] not in (first, None), "it restarts")
        deploy({"rootComponentsToRemove": ["test.New"]}, "SUCCEEDED")
        until(lambda: list(gateway.status()["components"]) == [ME], "only the external one is left")


def test_the_token_of_an_ended_component_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    build = Build(tmp_path / "other")
    build.component("test.Token", {"run": 'echo "$SVCUID" > token.new; mv token.new token; sleep 600'})
    with gateway.join() as connection:
        body = {
            "recipeDirectoryPath": str(build.path / "recipes"),
            "rootComponentVersionsToAdd": {"test.Token": "1.0.0"},
        }
        connection.asked(1, "CreateLocalDeployment", body)
        file = gateway.root / "work" / "test.Token" / "token"
        until(file.exists, "the component wrote its token")
        token = file.read_text().strip()
        path = gateway.external(ME)["socket"]
        with Wire(path) as theirs:
            theirs.connect(token)
            assert theirs.receive().flags == wire.ACCEPTED
            connection.asked(2, "RestartComponent", {"componentName": "test.Token"})
            assert theirs.ended()
        with Wire(path) as orphan:
            orphan.connect(token)
            with pytest.raises(Ended):
                refusal(orphan.receive)


def refusal(receive: Callable[[], wire.Message]) -> None:
    """Classic says no before it closes."""
    assert receive().flags == 0
    receive()


def test_lite_has_fifty_connections_and_a_hundred_subscriptions(gateway: Gateway) -> None:
    if "gg-ipc" not in gateway.external(ME)["socket"]:
        pytest.skip("classic has no such limits")
    with gateway.join() as connection:
        for number in range(1, 101):
            connection.asked(number, "SubscribeToTopic", {"topic": f"t/{number}"})
        connection.call(101, "SubscribeToTopic", {"topic": "one/more"})
        assert connection.receive().model == "aws.greengrass#ServiceError"
        connection.message(wire.MESSAGE, 5, flags=wire.TERMINATE)
        connection.asked(102, "SubscribeToTopic", {"topic": "one/more"})
        others = [gateway.join() for _ in range(49)]
        with socket.socket(socket.AF_UNIX) as extra:
            extra.settimeout(10)
            extra.connect(gateway.external(ME)["socket"])
            assert extra.recv(1) == b""
        for other in others:
            other.__exit__()
