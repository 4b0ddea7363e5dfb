"""Topics, the local router and the spooler of the simulated nucleus."""

from __future__ import annotations

import asyncio

import pytest

from gateway_sim.nucleus.cloud_link import packet_bytes
from gateway_sim.nucleus.errors import InvalidArgumentsError, ServiceError
from gateway_sim.nucleus.profiles import CLASSIC, LITE, Profile
from gateway_sim.nucleus.router import RECEIVE_ALL, RECEIVE_OTHERS, Router, SubscriptionCount
from gateway_sim.nucleus.spooler import Publication, Spooler
from gateway_sim.nucleus.topics import check_filter, check_topic, matches


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/b", "a/b", True), ("a/b", "a/c", False), ("a/+", "a/b", True), ("a/+", "a/b/c", False),
        ("a/+", "a", False), ("a/#", "a/b/c", True), ("a/#", "a", True), ("#", "a/b", True),
        ("+/+", "/a", True),
        ("+", "/a", False), ("#", "$aws/x", False), ("+/x", "$aws/x", False), ("$aws/#", "$aws/x", True),
        ("a/+/c", "a//c", True), ("a", "a/", False),
    ],
)  # fmt: skip
def test_matching(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


@pytest.mark.parametrize("topic", ["", "a/+", "#", "x" * 257, "a\0b"])
def test_not_to_publish_on(topic: str) -> None:
    with pytest.raises(InvalidArgumentsError):
        check_topic(topic, cloud=False)


@pytest.mark.parametrize("pattern", ["", "a/b+", "a/#/b", "a#"])
def test_not_to_subscribe_to(pattern: str) -> None:
    with pytest.raises(InvalidArgumentsError):
        check_filter(pattern, cloud=False)


def test_basic_ingest_levels_do_not_count() -> None:
    check_topic("$aws/rules/hg_ingest_v1/1/2/3/4/5/6/7/8", cloud=True)
    with pytest.raises(InvalidArgumentsError, match="more than 7 slashes"):
        check_topic("$aws/rules/hg_ingest_v1/1/2/3/4/5/6/7/8/9", cloud=True)
    with pytest.raises(InvalidArgumentsError, match="more than 7 slashes"):
        check_topic("1/2/3/4/5/6/7/8/9", cloud=True)


@pytest.mark.parametrize(
    ("profile", "pattern", "mode", "hears_itself"),
    [
        (CLASSIC, "t/x", None, True),
        (CLASSIC, "t/+", None, False),
        (CLASSIC, "t/+", RECEIVE_ALL, True),
        (CLASSIC, "t/x", RECEIVE_OTHERS, False),
        (LITE, "t/x", None, True),
        (LITE, "t/+", None, True),
        (LITE, "t/x", RECEIVE_OTHERS, True),
    ],
)
def test_echo(profile: Profile, pattern: str, mode: str | None, hears_itself: bool) -> None:
    router, heard = Router(profile), list[bytes]()
    end = router.subscribe("me", pattern, mode, heard.append)
    router.publish("me", "t/x", b"own")
    router.publish("other", "t/x", b"theirs")
    router.publish("other", "t/y/z", b"elsewhere")
    assert heard == ([b"own", b"theirs"] if hears_itself else [b"theirs"])
    end()
    assert router.publish("other", "t/x", b"late") == 0


def test_an_unknown_receive_mode_is_refused() -> None:
    with pytest.raises(InvalidArgumentsError, match="receiveMode"):
        Router(CLASSIC).subscribe("me", "t", "RECEIVE_NOTHING", lambda payload: None)


def test_subscriptions_are_counted() -> None:
    count = SubscriptionCount(2)
    count.take()
    count.take()
    with pytest.raises(ServiceError):
        count.take()
    count.give_back()
    count.take()


def publication(text: str) -> Publication:
    return Publication("t", text.encode(), 1, retain=False)


def test_the_spooler_drops_the_oldest_but_nothing_in_flight() -> None:
    async def scenario() -> None:
        spooler = Spooler(size_bytes=30)
        first, *others = [publication(f"{n:09}") for n in range(4)]
        spooler.put(first)
        assert await spooler.take() is first
        for one in others:
            spooler.put(one)
        assert (spooler.dropped, len(spooler)) == (1, 3)
        spooler.put_back()
        order = [await spooler.take() for _ in range(3)]
        assert order == [first, *others[1:]]
        for one in order:
            spooler.done(one)
        assert len(spooler) == 0

    asyncio.run(scenario())


def test_the_spooler_refuses_what_never_fits() -> None:
    with pytest.raises(ServiceError):
        Spooler(size_bytes=5).put(publication("123456789"))


@pytest.mark.parametrize(("size", "expected"), [(0, 2 + 2 + 1 + 2), (120, 127), (124, 132), (4991, 4999)])
def test_packet_size(size: int, expected: int) -> None:
    assert packet_bytes("t", b"x" * size, 1) == expected
