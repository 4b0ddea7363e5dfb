"""The rule evaluator: what it selects, and that it refuses what it does not know."""

from __future__ import annotations

import base64

import pytest

from gateway_sim.cloud.rules import BadRule, Rule, matches
from gateway_sim.cloud.run import TEMPLATE
from gateway_sim.cloud.stack import read
from gateway_sim.cloud.template import Template

SHIPPED = read(Template(TEMPLATE)).rules[0][0]


@pytest.mark.parametrize("prefix", ["", "$aws/rules/hg_ingest_v1/"])
def test_the_shipped_rule_with_and_without_basic_ingest(prefix: str) -> None:
    assert SHIPPED.apply(f"{prefix}hg/v1/gw-1/up/live/json", b"\x00\xff", t_ms=7, client="gw-1#2") == {
        "body": base64.b64encode(b"\x00\xff").decode(),
        "thing": "gw-1",
        "stream": "live",
        "codec": "json",
        "client": "gw-1#2",
        "received_ms": 7,
    }


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/rules/other/hg/v1/gw-1/up/live/json",
        "hg/v1/gw-1/up/live",
        "hg/v1/gw-1/up/live/json/more",
        "hg/v1/gw-1/dn/live/json",
        "$aws/things/gw-1/shadow/get",
    ],
)
def test_the_shipped_rule_leaves_other_topics_alone(topic: str) -> None:
    assert SHIPPED.apply(topic, b"", t_ms=0) is None


def test_where_compares_and_unlike_types_do_not_apply() -> None:
    rule = Rule.parse(
        "r",
        "select topic(2) as t, clientid() as c, topic(9) as n from 'a/+' where topic(2) <> 'x' AND 3 >= 2.5",
    )
    assert rule.apply("a/y", b"", t_ms=0, client="me") == {"t": "y", "c": "me"}
    assert rule.apply("a/x", b"", t_ms=0) is None
    unlike = Rule.parse("r", "SELECT topic() AS t FROM '#' WHERE topic(1) < 5")
    assert unlike.apply("a", b"", t_ms=0) is None


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a//c", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
    ],
)
def test_topic_filters(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT * FROM 'a'", "SELECT * is not in the subset"),
        ("SELECT temperature AS t FROM 'a'", "the field 'temperature' of a payload is not in the subset"),
        ("SELECT encode(*, 'hex') AS b FROM 'a'", "encode(*, 'hex') is not in the subset"),
        ("SELECT topic(0) AS t FROM 'a'", "topic(0) is not in the subset"),
        ("SELECT aws_lambda(1) AS t FROM 'a'", "aws_lambda(1) is not in the subset"),
        ("SELECT topic() FROM 'a'", "AS is wanted where 'FROM' stands"),
        ("SELECT topic() AS t, topic() AS t FROM 'a'", "'t' is no fresh name"),
        ("SELECT topic() AS t FROM a", "FROM wants a topic filter in quotes"),
        ("SELECT topic() AS t FROM 'a/#/b'", "# is the last level"),
        ("SELECT topic() AS t FROM 'a/b+'", "+ and # stand for whole levels"),
        ("SELECT topic() AS t FROM 'a' WHERE topic() LIKE 'x'", "'LIKE' is no comparison in the subset"),
        ("SELECT topic() AS t FROM 'a' WHERE topic() = 'x' OR 1 = 1", "'OR' after the end"),
        ("SELECT topic() AS t", "the statement ends too early"),
        ("SELECT topic() AS t FROM 'a' WHERE 1 + 1 = 2", "'+ 1 = 2' is not understood"),
        ("SET @x = 1 SELECT topic() AS t FROM 'a'", "'@x = 1 SELECT topic' is not understood"),
        ("", "the statement ends too early"),
    ],
)
def test_refused_at_load(sql: str, what: str) -> None:
    with pytest.raises(BadRule) as refusal:
        Rule.parse("r", sql)
    assert str(refusal.value).startswith("rule r: ")
    assert what in str(refusal.value)
