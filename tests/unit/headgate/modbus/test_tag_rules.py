"""Deadbands, writes and staleness in the site document: what they mean, and each fault with its way out."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from headgate.errors import Reject
from headgate.modbus.config import Group, parse_mapping
from headgate.modbus.rules import RegisterRule

REGISTER = {"name": "x", "table": "holding", "address": 1, "type": "int16"}


def group(tag: dict[str, Any], **more: Any) -> Group:
    made = {"name": "g", "interval_s": 1, "tags": [REGISTER | tag]} | more
    device = {"name": "d", "transport": {"kind": "tcp", "host": "h"}, "groups": [made]}
    return parse_mapping({"devices": [device]}).devices[0].groups[0]


def fault(tag: dict[str, Any], **more: Any) -> str:
    with pytest.raises(Reject) as caught:
        group(tag, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("deadband", "amount", "percent"),
    [
        (0.5, Fraction(1, 2), False),
        ("1%", Fraction(1), True),
        ("0.1 %", Fraction(1, 10), True),
        (0, 0, False),
    ],
)
def test_a_deadband_is_a_number_or_a_percentage(deadband: object, amount: Fraction, percent: bool) -> None:
    (tag,) = group({"deadband": deadband}).tags
    assert tag.deadband is not None
    assert (tag.deadband.amount, tag.deadband.percent, tag.deadband.heartbeat_ms) == (amount, percent, 60_000)
    assert group({}).tags[0].deadband is None


def test_writes_are_off_unless_allowed() -> None:
    assert group({}).tags[0].write is None
    assert group({"write": {}}).tags[0].write is None
    assert group({"write": {"min": 1, "max": 2}}).tags[0].write is None
    assert group({"write": {"allow": True}}).tags[0].write == RegisterRule()
    rule = {"allow": True, "min": 5, "max": 30, "out_of_range": "clamp", "verify": False, "multiple": True}
    assert group({"write": rule}).tags[0].write == RegisterRule(5, 30, True, False, True)


def test_a_group_is_stale_after_three_intervals_and_no_sooner_than_a_minute() -> None:
    assert group({}).stale_ms == 60_000
    assert group({}, interval_s=40).stale_ms == 120_000
    assert group({}, stale_s=1.5).stale_ms == 1_500


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ({"deadband": -1}, "deadband: expected a number or a percentage"),
        ({"deadband": "1/2"}, "deadband: expected a number or a percentage"),
        ({"deadband": "much"}, 'such as 0.5 or "1%"'),
        ({"deadband": True}, "deadband: expected a number or a percentage"),
        ({"deadband": "101%"}, "deadband: 101% is out of range"),
        ({"heartbeat_s": 5}, "heartbeat_s: goes with deadband alone"),
        ({"deadband": 1, "heartbeat_s": 0}, "heartbeat_s: 0 is out of range"),
        ({"type": "bit", "bit": 1, "deadband": 1}, "deadband: 1 does not go with type bit"),
        ({"write": True}, "write: expected a mapping"),
        ({"write": {"allow": "yes"}}, "write.allow"),
        ({"write": {"allowed": True}}, "did you mean 'allow'?"),
        ({"write": {"allow": True, "min": 3, "max": 1}}, "write.max: 1 is less than min"),
        ({"write": {"allow": True, "max": 40_000}}, "write.max: cannot be written: 40000 does not fit"),
        ({"decimals": 1, "write": {"allow": True, "min": 0.05}}, "write.min: cannot be written"),
        ({"write": {"allow": True, "out_of_range": "clamp"}}, "there is nothing to clamp to"),
        ({"write": {"allow": True, "out_of_range": "wrap"}}, "write.out_of_range"),
        ({"table": "input", "write": {"allow": True}}, "table input cannot be written"),
        ({"type": "uint32", "mask": 0x18000, "write": {"allow": True}}, "more than one register"),
        (
            {"type": "bit", "bit": 1, "write": {"allow": True, "min": 0}},
            "min: does not go with type bit",
        ),
    ],
)
def test_each_fault_names_the_place_and_the_way_out(tag: dict[str, Any], said: str) -> None:
    assert said in fault(tag)


def test_a_group_cannot_be_stale_before_it_is_read() -> None:
    assert "stale_s: 1 is less than interval_s" in fault({}, interval_s=2, stale_s=1)
