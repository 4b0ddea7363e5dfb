"""Deadbands: what is reported of a run of values, against a computation in fractions of its own."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headgate.deadband import Deadband, Keeper
from headgate.modbus.client import NoReply
from headgate.modbus.thinning import Tally, Thinning
from headgate.model import Quality
from tests.support.modbus_memory import WriteWorld

STEP_MS = 1_000


def reported(rule: Deadband, values: Sequence[Any], quality: Sequence[int] | None = None) -> list[int]:
    """The places of a run, a value a second, whose values a keeper reports."""
    keeper = Keeper(rule, STEP_MS)
    codes = quality or [0] * len(values)
    return [i for i, value in enumerate(values) if keeper.says(i * STEP_MS, value, codes[i])]


def absolute(amount: str, heartbeat_s: float = 1e6) -> Deadband:
    return Deadband(Fraction(amount), False, round(heartbeat_s * 1000))


def percent(amount: str) -> Deadband:
    return Deadband(Fraction(amount), True, 1 << 40)


def test_a_change_of_exactly_the_deadband_is_not_reported() -> None:
    assert reported(absolute("0.5"), [230.4, 230.9, 229.9, 230.91, 230.41]) == [0, 3]
    assert reported(absolute("0.1"), [0.1, 0.2, 0.3]) == [0, 2]  # 0.1 + 0.2 is not 0.3 in doubles
    assert reported(absolute("2"), [10, 12, 8, 13]) == [0, 3]
    assert reported(percent("1"), [200.0, 202.0, 198.0, 202.1, 200.0]) == [0, 3, 4]


def test_a_deadband_of_nothing_reports_each_change() -> None:
    assert reported(absolute("0"), [1, 1, 2, 2, 1]) == [0, 2, 4]
    assert reported(absolute("0"), [True, True, False]) == [0, 2]
    assert reported(absolute("0"), ["on", "on", "off"]) == [0, 2]


def test_a_heartbeat_reports_the_value_read_then() -> None:
    """The next value would come too late: this one is reported, and no gap is longer than the heartbeat."""
    places = reported(absolute("5", heartbeat_s=4), [1.0 + i / 100 for i in range(12)])
    assert places == [0, 4, 8]


def test_quality_and_no_value_are_reported_as_they_change() -> None:
    uncertain, bad = int(Quality.UNCERTAIN), int(Quality.BAD_VALUE)
    values = [1.0, 1.0, None, None, 1.0, 1.0]
    assert reported(absolute("5"), values, [0, uncertain, bad, bad, 0, 0]) == [0, 1, 2, 4]


@given(
    st.lists(st.decimals(-1000, 1000, places=2), min_size=1, max_size=40),
    st.decimals(0, 20, places=2),
    st.booleans(),
)
def test_what_is_reported_is_what_fractions_say(
    numbers: list[Decimal], amount: Decimal, in_percent: bool
) -> None:
    rule = Deadband(Fraction(amount), in_percent, 1 << 40)
    expected, last = [], None
    for i, number in enumerate(numbers):
        if last is not None:
            reach = abs(last) * Fraction(amount) / 100 if in_percent else Fraction(amount)
            if abs(Fraction(number) - last) <= reach:
                continue
        expected.append(i)
        last = Fraction(number)
    assert reported(rule, [float(number) for number in numbers]) == expected


@given(st.lists(st.integers(-(2**63), 2**64), min_size=2, max_size=20), st.integers(0, 10))
def test_integers_of_64_bits_are_compared_exactly(numbers: list[int], amount: int) -> None:
    near = [number + k for number in numbers for k in (0, amount, amount + 1)]
    expected, last = [], None
    for i, number in enumerate(near):
        if last is None or abs(number - last) > amount:
            expected.append(i)
            last = number
    assert reported(absolute(str(amount)), near) == expected


def test_a_frame_keeps_what_is_reported_and_counts_the_rest() -> None:
    tally = Tally()
    thinning = Thinning([Keeper(absolute("1"), 0), None, Keeper(absolute("1"), 0)], tally)
    first = thinning.frame(0, (4, 5, 6), [1.0, 2.0, 3.0], ())
    assert first is not None
    assert (list(first.series), list(first.values)) == ([4, 5, 6], [1.0, 2.0, 3.0])
    second = thinning.frame(10, (4, 5, 6), [1.5, 2.0, 9.0], ())
    assert second is not None
    assert (list(second.series), list(second.values), list(second.quality)) == ([5, 6], [2.0, 9.0], [])
    assert tally.unchanged == 1
    thinning.forget()
    third = thinning.frame(20, (4, 5, 6), [1.5, 2.0, 9.0], (0, 1, 0))
    assert third is not None
    assert list(third.quality) == [0, 1, 0]
    only = Thinning([Keeper(absolute("1"), 0)], tally)
    assert only.frame(0, (1,), [1.0], ()) is not None
    assert only.frame(10, (1,), [1.0], ()) is None


async def test_a_poll_reports_changes_and_heartbeats() -> None:
    world = thinned()
    async with world.running():
        world.bus.cells["holding", 1] = 40
        await world.clock.advance(1_000)
        world.bus.cells["holding", 1] = 42
        await world.clock.advance(1_000)
        assert [frame.values[0] for frame in world.frames] == [40]
        await world.clock.advance(20_000)
        times = [frame.boot_ms for frame in world.frames]
        assert [frame.values[0] for frame in world.frames] == [40, 42, 42]
        assert all(later - earlier <= 10_000 for earlier, later in pairwise(times))
        assert dict(world.driver.health())["unchanged"] > 0


async def test_the_first_value_after_a_mark_is_reported_whatever_it_is() -> None:
    world = thinned()
    async with world.running():
        world.bus.cells["holding", 1] = 40
        await world.clock.advance(1_000)
        world.bus.unreadable = NoReply("no reply")
        await world.clock.advance(2_000)
        world.bus.unreadable = None
        await world.clock.advance(5_000)
        values = [frame.values[0] for frame in world.frames]
        assert values[0] == values[-1] == 40
        assert set(values[1:-1]) == {None}


def thinned() -> WriteWorld:
    """A tag that is read each second; its first value is long reported."""
    more = {"deadband": 2, "heartbeat_s": 10, "type": "uint16"}
    return WriteWorld({"name": "x", "table": "holding", "address": 1, **more}, interval_s=1)
