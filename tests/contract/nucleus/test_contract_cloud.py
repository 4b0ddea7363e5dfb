"""The nucleus contract for AWS IoT Core: both directions, limits, policies, and the broker out of reach."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import pytest

from tests.contract.nucleus.adapters.api import Closed, Refused, Session
from tests.contract.nucleus.conftest import Target, patiently
from tests.contract.nucleus.observer import Observer

LITE_LIMIT_BYTES = 7_202
LITE_DOWNLINK_BYTES = 5_000
LITE_IN_FLIGHT = 10
ATTEMPTS = 2000


@pytest.fixture(autouse=True)
def link(target: Target) -> None:
    """An earlier test may have taken the link away: wait until it carries messages both ways."""
    topic = "contract/tree/link"
    with target.joined() as wire:
        calls = itertools.count(1)

        def subscribe() -> None:
            wire.asked(next(calls), "SubscribeToIoTCore", {"topicName": topic, "qos": "1"})

        def publish() -> None:
            wire.asked(next(calls), "PublishToIoTCore", {"topicName": topic, "qos": "1", "payload": ""})

        patiently(subscribe)
        patiently(publish)
        wire.receive()


def test_up(session: Session, observer: Observer, name: str) -> None:
    topic = f"contract/tree/{name}"
    observer.subscribe(topic)
    sent = [b"%d" % number for number in range(50)]
    for payload in sent:
        patiently(functools.partial(session.publish_cloud, topic, payload))
    assert [observer.next() for _ in sent] == [(topic, payload) for payload in sent]


def test_down_shared_by_sessions_and_filters(
    connect: Callable[..., Session], observer: Observer, name: str
) -> None:
    first, second = connect(), connect()
    topic = f"contract/tree/{name}/x"
    exact, same, wild = (
        first.subscribe_cloud(topic),
        second.subscribe_cloud(topic),
        second.subscribe_cloud(f"contract/tree/{name}/+"),
    )
    observer.publish(topic, b"down")
    for heard in (exact, same, wild):
        event = heard.next()
        assert (event.topic, event.payload) == (topic, b"down")


def test_what_goes_up_comes_back_to_a_subscriber(session: Session, name: str) -> None:
    topic = f"contract/tree/{name}"
    heard = session.subscribe_cloud(topic)
    session.publish_cloud(topic, b"echo")
    assert heard.next().payload == b"echo"


def test_the_largest_payload_up(session: Session, target: Target, observer: Observer, name: str) -> None:
    topic = f"contract/tree/{name}"
    observer.subscribe(topic)
    largest = b"x" * (LITE_LIMIT_BYTES if target.lite else 100_000)
    session.publish_cloud(topic, largest)
    assert observer.next() == (topic, largest)


def test_above_the_largest_payload(connect: Callable[..., Session], target: Target, name: str) -> None:
    session = connect()
    if target.lite:
        with pytest.raises(Closed):
            session.publish_cloud(f"contract/tree/{name}", b"x" * (LITE_LIMIT_BYTES + 1))
    else:
        with pytest.raises(Refused):
            session.publish_cloud(f"contract/tree/{name}", b"x" * (128 * 1024 + 1))


def test_a_large_packet_down_never_arrives_at_lite(
    session: Session, target: Target, observer: Observer, name: str
) -> None:
    topic = f"contract/tree/{name}"
    heard = session.subscribe_cloud(topic)
    small, large = b"s" * (LITE_DOWNLINK_BYTES - 500), b"l" * (LITE_DOWNLINK_BYTES + 500)
    for payload in (small, large, b"fence"):
        observer.publish(topic, payload)
    arrived = [heard.next().payload]
    while arrived[-1] != b"fence":
        arrived.append(heard.next().payload)
    assert arrived == ([small, b"fence"] if target.lite else [small, large, b"fence"])


@pytest.mark.parametrize("topic", ["contract/any/level", "contract/tree/a/b", "contract/star-and-more/y/x"])
def test_a_cloud_topic_inside_the_policy(session: Session, topic: str) -> None:
    patiently(lambda: session.publish_cloud(topic, b"x"))


@pytest.mark.parametrize(
    "topic", ["contract/a/b/level", "contract/any/other", "elsewhere", "contract/treetop"]
)
def test_a_cloud_topic_outside_the_policy(session: Session, topic: str) -> None:
    with pytest.raises(Refused, match="UnauthorizedError"):
        session.publish_cloud(topic, b"x")


def test_a_tree_covers_its_own_root_only_in_classic(session: Session, target: Target) -> None:
    if target.lite:
        with pytest.raises(Refused, match="UnauthorizedError"):
            session.publish_cloud("contract/tree", b"x")
    else:
        session.publish_cloud("contract/tree", b"x")


def test_a_filter_wider_than_the_policy(session: Session) -> None:
    with pytest.raises(Refused, match="UnauthorizedError"):
        session.subscribe_cloud("contract/#")


def test_one_cannot_publish_on_a_cloud_filter(session: Session) -> None:
    with pytest.raises(Refused, match="InvalidArgumentsError"):
        session.publish_cloud("contract/tree/+", b"x")


def until_refused(session: Session, topic: str) -> Refused:
    """Lite notices the cut with the next packet or two; what was taken until then may be lost."""
    for _ in range(ATTEMPTS):
        try:
            session.publish_cloud(topic, b"before")
        except Refused as refusal:
            return refusal
    pytest.fail(f"accepted {ATTEMPTS} times with the broker away")


def test_with_the_broker_away_lite_fails_at_once(
    session: Session, target: Target, name: str, cut: Callable[[], None], heal: Callable[[], None]
) -> None:
    if not target.lite:
        pytest.skip("PROFILE: classic has a spooler")
    topic = f"contract/tree/{name}"
    kept = session.subscribe_cloud(topic)
    cut()
    assert until_refused(session, topic).shape == "ServiceError"
    with pytest.raises(Refused, match="ServiceError"):
        session.subscribe_cloud(f"{topic}/other")
    heal()
    while kept.waiting():
        kept.next()
    patiently(lambda: session.publish_cloud(topic, b"back"))
    assert kept.next(timeout_s=30).payload == b"back"


def test_with_the_broker_away_classic_spools_in_order(
    session: Session,
    target: Target,
    observer: Observer,
    name: str,
    cut: Callable[[], None],
    heal: Callable[[], None],
) -> None:
    if target.lite:
        pytest.skip("PROFILE: lite has no spooler")
    topic = f"contract/tree/{name}"
    observer.subscribe(topic)
    restored = session.subscribe_cloud(f"{topic}/down")
    cut()
    sent = [b"%d" % number for number in range(100)]
    for payload in sent:
        session.publish_cloud(topic, payload)
    heal()
    arrived: list[bytes] = []
    while not arrived or arrived[-1] != sent[-1]:
        arrived.append(observer.next()[1])
    assert list(dict.fromkeys(arrived)) == sent  # QoS 1: one in flight at the cut may come twice
    observer.publish(f"{topic}/down", b"restored")
    assert restored.next().payload == b"restored"


def test_lite_lets_ten_wait_for_their_acknowledgement(
    session: Session, target: Target, name: str, silence: Callable[[], None]
) -> None:
    if not target.lite:
        pytest.skip("PROFILE: classic has a spooler")
    topic = f"contract/tree/{name}"
    echo = session.subscribe_cloud(topic)
    patiently(lambda: session.publish_cloud(topic, b"first"))
    echo.next()
    silence()
    taken = 0
    with pytest.raises(Refused, match="ServiceError"):  # noqa: PT012 - how many it takes is what is asked
        while taken < ATTEMPTS:
            session.publish_cloud(topic, b"x")
            taken += 1
    assert taken <= LITE_IN_FLIGHT + 1  # one more where the link was silenced between packet and PUBACK
