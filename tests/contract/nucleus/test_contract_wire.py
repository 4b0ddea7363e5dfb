"""The nucleus contract on the wire: connect, flags, error bodies, stream ids, what is malformed."""

from __future__ import annotations

import base64

import pytest

from tests.contract.nucleus import wire
from tests.contract.nucleus.conftest import Target
from tests.contract.nucleus.wire import Message


def publish_body(topic: str, payload: bytes = b"x") -> dict[str, object]:
    message = base64.b64encode(payload).decode()
    return {"topic": topic, "publishMessage": {"binaryMessage": {"message": message}}}


def test_connect_is_acknowledged(target: Target) -> None:
    with target.wire() as connection:
        connection.connect(target.token)
        ack = connection.receive()
    assert (ack.kind, ack.flags, ack.stream) == (wire.CONNECT_ACK, wire.ACCEPTED, 0)


def test_a_bad_token_is_refused_classic_says_so_lite_just_closes(target: Target) -> None:
    with target.wire() as connection:
        connection.connect("not-a-token")
        if not target.lite:
            ack = connection.receive()
            assert (ack.kind, ack.flags) == (wire.CONNECT_ACK, 0)
        assert connection.ended()


def test_nothing_is_served_before_connect(target: Target, name: str) -> None:
    with target.wire() as connection:
        connection.call(1, "PublishToTopic", publish_body(f"contract/{name}"))
        assert connection.ends_with_protocol_errors_at_most()


def test_a_unary_response_ends_its_stream_only_in_classic(target: Target, name: str) -> None:
    with target.joined() as connection:
        for stream in (1, 2, 3):
            connection.call(stream, "PublishToTopic", publish_body(f"contract/{name}"))
            answer = connection.receive()
            assert (answer.kind, answer.stream) == (wire.MESSAGE, stream)
            assert answer.model == "aws.greengrass#PublishToTopicResponse"
            assert answer.headers[":content-type"] == "application/json"
            assert answer.flags == (0 if target.lite else wire.TERMINATE)
            assert answer.body == {}


def test_a_subscription_answers_first_and_events_follow_on_its_stream(target: Target, name: str) -> None:
    topic = f"contract/{name}"
    with target.joined() as connection:
        connection.call(1, "SubscribeToTopic", {"topic": topic})
        connection.call(2, "PublishToTopic", publish_body(topic, b"hello"))
        first, *rest = [connection.receive() for _ in range(3)]
        assert (first.stream, first.flags) == (1, 0)
        assert first.model == "aws.greengrass#SubscribeToTopicResponse"
        event = next(message for message in rest if message.stream == 1)
        assert event.model == "aws.greengrass#SubscriptionResponseMessage"
        assert event.flags == 0
        assert base64.b64decode(event.body["binaryMessage"]["message"]) == b"hello"


def test_the_client_ends_a_subscription(target: Target, name: str) -> None:
    topic = f"contract/{name}"
    with target.joined() as connection:
        connection.call(1, "SubscribeToTopic", {"topic": topic})
        connection.receive()
        connection.message(wire.MESSAGE, 1, flags=wire.TERMINATE)
        connection.call(2, "PublishToTopic", publish_body(topic))
        while (answer := connection.receive()).stream != 2:
            assert answer.flags & wire.TERMINATE, "only the end of the stream may follow its close"
        connection.call(3, "PublishToTopic", publish_body(topic))
        assert connection.receive().stream == 3


def error_of(target: Target, operation: str, body: object) -> Message:
    with target.joined() as connection:
        connection.call(1, operation, body)
        answer = connection.receive()
    assert (answer.kind, answer.stream) == (wire.ERROR, 1)
    assert answer.flags == wire.TERMINATE
    return answer


def test_error_bodies(target: Target) -> None:
    answer = error_of(target, "PublishToTopic", publish_body("forbidden/topic"))
    assert answer.model == "aws.greengrass#UnauthorizedError"
    assert answer.body["_errorCode"] == "UnauthorizedError"
    assert answer.body["_message"]
    if target.lite:
        assert set(answer.body) == {"_message", "_errorCode"}
    else:
        assert set(answer.body) == {"_service", "_message", "_errorCode", "message"}


def test_an_unknown_operation(target: Target) -> None:
    answer = error_of(target, "FlyToTheMoon", {})
    assert answer.model == ("aws.greengrass#ServiceError" if target.lite else None)


def test_a_modelled_operation_that_nobody_provides(target: Target) -> None:
    answer = error_of(target, "GetThingShadow", {"thingName": target.thing, "shadowName": ""})
    assert answer.model == "aws.greengrass#ServiceError"


def test_component_metrics_are_not_for_us(target: Target) -> None:
    answer = error_of(target, "PutComponentMetric", {"metrics": []})
    assert answer.model in {"aws.greengrass#UnauthorizedError", "aws.greengrass#ServiceError"}


@pytest.mark.parametrize(
    "operation", ["SubscribeToComponentUpdates", "SubscribeToValidateConfigurationUpdates"]
)
def test_operations_that_only_classic_provides(target: Target, operation: str) -> None:
    with target.joined() as connection:
        connection.call(1, operation, {})
        answer = connection.receive()
    if target.lite:
        assert answer.model == "aws.greengrass#ServiceError"
    else:
        assert answer.model == f"aws.greengrass#{operation}Response"


def test_classic_closes_on_a_gap_in_stream_ids(target: Target, name: str) -> None:
    if target.lite:
        pytest.skip("PROFILE: only classic checks that stream ids are sequential")
    with target.joined() as connection:
        connection.call(2, "PublishToTopic", publish_body(f"contract/{name}"))
        assert connection.receive().kind == wire.PROTOCOL_ERROR
        assert connection.ended()


def test_malformed_bytes_end_that_connection_and_no_other(target: Target, name: str) -> None:
    with target.joined() as healthy:
        whole = wire.frame({":message-type": 0, ":message-flags": 0, ":stream-id": 1}, b"{}")
        for spoilt in (
            whole[:-1] + bytes((whole[-1] ^ 1,)),
            b"\0" * 64,
            b"\xff" * 64,
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            with target.joined() as broken:
                broken.send(spoilt)
                assert broken.ends_with_protocol_errors_at_most()
        healthy.call(1, "PublishToTopic", publish_body(f"contract/{name}"))
        assert healthy.receive().model == "aws.greengrass#PublishToTopicResponse"


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        ({"list": list(range(192))}, True),
        ({"list": list(range(193))}, False),
        ({f"k{i}": 1 for i in range(101)}, True),
        ({f"k{i}": 1 for i in range(102)}, False),
    ],
)
def test_json_limits_of_lite(target: Target, name: str, body: object, accepted: bool) -> None:
    with target.joined() as connection:
        message = {"jsonMessage": {"message": body}}
        connection.call(1, "PublishToTopic", {"topic": f"contract/{name}", "publishMessage": message})
        if accepted or not target.lite:
            assert connection.receive().model == "aws.greengrass#PublishToTopicResponse"
        else:
            assert connection.ended()
