"""Topics and patterns as MQTT defines them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.bus.topics import check_pattern, check_topic, matches
from headgate.errors import Reject

LEVEL = st.text("ab$", max_size=3)
TOPIC = st.lists(LEVEL, min_size=1, max_size=5).map("/".join).filter(bool)


@pytest.mark.parametrize(
    ("pattern", "topic", "yes"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+", "a/b/c", False),
        ("+/b", "a/b", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/+/#", "a/b", True),
        ("a/+/#", "a", False),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
        ("/", "/", True),
        ("+/+", "/a", True),
        ("+", "/a", False),
        ("A", "a", False),
    ],
)
def test_matching(pattern: str, topic: str, yes: bool) -> None:
    assert matches(pattern, topic) is yes


@given(TOPIC, st.data())
def test_any_levels_may_become_wildcards(topic: str, data: st.DataObject) -> None:
    levels = topic.split("/")
    keep_first = topic.startswith("$")
    pattern = [
        "+" if not (keep_first and at == 0) and data.draw(st.booleans()) else level
        for at, level in enumerate(levels)
    ]
    assert matches("/".join(pattern), topic)
    cut = data.draw(st.integers(1, len(levels)))
    assert matches("/".join([*pattern[:cut], "#"]), topic)


@pytest.mark.parametrize(
    ("topic", "says"),
    [
        ("", "an empty topic"),
        ("a/+", "wildcard"),
        ("a\0b", "NUL"),
        ("é" * 129, "258 B, the limit is 256"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_what_is_no_topic(topic: str, says: str) -> None:
    with pytest.raises(Reject, match=says):
        check_topic(topic)


@pytest.mark.parametrize("pattern", ["", "a+/b", "a/#/b", "a/b#", "a\0", "x" * 257])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(Reject):
        check_pattern(pattern)


def test_cloud_topics_have_seven_slashes_beside_basic_ingest() -> None:
    deep = "1/2/3/4/5/6/7/8"
    check_topic(deep, cloud=True)
    check_topic(f"$aws/rules/rule/{deep}", cloud=True)
    check_topic(f"{deep}/9")
    for topic in (f"{deep}/9", f"$aws/rules/rule/{deep}/9"):
        with pytest.raises(Reject, match="8 slashes"):
            check_topic(topic, cloud=True)
    with pytest.raises(Reject, match="8 slashes"):
        check_pattern(f"{deep}/#", cloud=True)
