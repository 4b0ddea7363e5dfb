"""The nucleus contract for local topics: order, limits, echo, JSON, and what policies cover."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.nucleus.adapters.api import Closed, Refused, Session
from tests.contract.nucleus.conftest import Target

LITE_LIMIT_BYTES = 7_302


def test_messages_arrive_whole_and_in_order(session: Session, name: str) -> None:
    topic = f"contract/{name}"
    heard = session.subscribe(topic)
    sent = [bytes((n % 256,)) * n for n in range(0, 300, 3)]
    for payload in sent:
        session.publish(topic, payload)
    events = [heard.next() for _ in sent]
    assert [event.payload for event in events] == sent
    assert {event.topic for event in events} == {topic}


def test_json_messages(session: Session, target: Target, name: str) -> None:
    topic = f"contract/{name}"
    heard = session.subscribe(topic)
    session.publish_json(topic, {"int": 3, "float": 1.5, "text": "t", "flag": True})
    message = heard.next().payload
    assert message == {"int": 3, "float": 1.5, "text": "t", "flag": True}
    assert type(message["int"]) is (int if target.lite else float)


def test_other_sessions_hear_it_and_a_closed_subscription_does_not(
    connect: Callable[..., Session], name: str
) -> None:
    first, second = connect(), connect()
    topic = f"contract/{name}"
    left, stayed = second.subscribe(topic), second.subscribe(topic)
    first.publish(topic, b"1")
    assert (left.next().payload, stayed.next().payload) == (b"1", b"1")
    left.close()
    first.publish(topic, b"2")
    assert stayed.next().payload == b"2"
    assert left.waiting() == 0


@pytest.mark.parametrize("pattern", ["contract/{name}/+", "contract/{name}/#"])
def test_own_messages_on_a_wildcard(session: Session, target: Target, name: str, pattern: str) -> None:
    wild = session.subscribe(pattern.format(name=name))
    fence = session.subscribe(f"contract/{name}-fence")
    session.publish(f"contract/{name}/x", b"own")
    session.publish(f"contract/{name}-fence", b"fence")
    assert fence.next().payload == b"fence"
    if target.lite:
        assert wild.next().payload == b"own"
    else:
        assert wild.waiting() == 0


def test_receive_mode_is_classics(session: Session, target: Target, name: str) -> None:
    topic = f"contract/{name}"
    others = session.subscribe(topic, "RECEIVE_MESSAGES_FROM_OTHERS")
    wild = session.subscribe(f"contract/{name}/#", "RECEIVE_ALL_MESSAGES")
    fence = session.subscribe(f"contract/{name}-fence")
    session.publish(topic, b"own")
    session.publish(f"contract/{name}/x", b"own")
    session.publish(f"contract/{name}-fence", b"")
    fence.next()
    assert wild.next().payload == b"own"
    assert others.waiting() == (1 if target.lite else 0)


def test_the_largest_payload(connect: Callable[..., Session], target: Target, name: str) -> None:
    topic = f"contract/{name}"
    session = connect()
    heard = session.subscribe(topic)
    largest = b"x" * (LITE_LIMIT_BYTES if target.lite else 200_000)
    session.publish(topic, largest)
    assert heard.next().payload == largest


def test_lite_drops_the_connection_above_its_limit(
    connect: Callable[..., Session], target: Target, name: str
) -> None:
    session = connect()
    above = b"x" * (LITE_LIMIT_BYTES + 1)
    if not target.lite:
        session.publish(f"contract/{name}", above)
        return
    with pytest.raises(Closed):
        session.publish(f"contract/{name}", above)
    again = connect()
    again.publish(f"contract/{name}", b"x")


@pytest.mark.parametrize(
    "topic", ["forbidden/topic", "contract", "literal/x/star", "literal/x/plus", "publish-only/topic/x"]
)
def test_a_topic_outside_the_policy(session: Session, target: Target, topic: str) -> None:
    with pytest.raises(Refused) as refusal:
        session.publish(topic, b"x")
    assert refusal.value.shape == "UnauthorizedError"
    assert (refusal.value.message is None) == target.lite


@pytest.mark.parametrize("topic", ["contract/a/b/c", "literal/*/star", "publish-only/topic"])
def test_a_topic_inside_the_policy(session: Session, topic: str) -> None:
    session.publish(topic, b"x")


def test_a_policy_is_for_its_operations(session: Session) -> None:
    with pytest.raises(Refused, match="UnauthorizedError"):
        session.subscribe("publish-only/topic")


def test_plus_is_literal_in_a_pubsub_policy(session: Session) -> None:
    session.subscribe("literal/+/plus")
    with pytest.raises(Refused, match="UnauthorizedError"):
        session.subscribe("literal/x/plus")


@pytest.mark.parametrize("topic", ["contract/+/x", "contract/#"])
def test_one_cannot_publish_on_a_wildcard(session: Session, topic: str) -> None:
    with pytest.raises(Refused, match="InvalidArgumentsError"):
        session.publish(topic, b"x")


@pytest.mark.parametrize("pattern", ["contract/a+/x", "contract/#/x", "contract/a#"])
def test_a_wildcard_is_a_whole_level(session: Session, pattern: str) -> None:
    with pytest.raises(Refused, match="InvalidArgumentsError"):
        session.subscribe(pattern)


def test_a_refused_call_leaves_the_session_usable(session: Session, name: str) -> None:
    for _ in range(5):
        with pytest.raises(Refused):
            session.publish("forbidden/topic", b"x")
    heard = session.subscribe(f"contract/{name}")
    session.publish(f"contract/{name}", b"still here")
    assert heard.next().payload == b"still here"
