"""What a line keeps to on its transport: time-outs, pauses, hanging up, draining, proofs; by manual clock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from headgate.errors import HeadgateError
from headgate.modbus.channel import MAX_DRAIN_MS, QUIET_MS, RECONNECT_MAX_MS
from headgate.modbus.client import ExceptionReply, NoReply, NotConnected, WrongReply
from headgate.model import Quality
from tests.support.modbus_bus import RTU, BusWorld, Sent, bus_device

SERIAL_SERVER = {"kind": "rtu_over_tcp", "host": "h", "port": 1}


async def test_connecting_has_a_time_out_of_its_own() -> None:
    world = BusWorld(bus_device(1, connect_timeout_s=0.25, timeout_s=5))
    async with world.running():
        await world.clock.advance(100)
    assert world.bus.connect_timeouts == [0.25]


async def test_pauses_after_connecting_and_between_requests() -> None:
    slow = bus_device(1, pause_after_connect_s=0.3, pause_between_requests_s=0.2)
    world = BusWorld(slow, bus_device(2, interval_s=0.1))
    async with world.running():
        await world.clock.advance(5_000)
    sent = world.bus.sent
    assert world.bus.times(1)[0] == 300  # nothing else may go before it: requests keep their order
    for before, after in pairwise(sent):
        if after.unit == 1:
            assert after.at_ms - before.at_ms - world.bus.delay_ms >= 200
    # A device that wants no pause gets none behind one that does.
    assert any(b.at_ms - a.at_ms == world.bus.delay_ms for a, b in pairwise(sent) if b.unit == 2)
    assert len(world.bus.times(1)) == 6


async def test_frames_on_a_serial_line_are_parted_by_silence() -> None:
    line = {"kind": "rtu", "path": "/dev/ttyS0", "baudrate": 1200}
    world = BusWorld(*(bus_device(unit, line, interval_s=0.01) for unit in (1, 2)))
    async with world.running():
        await world.clock.advance(2_000)
    times = [sent.at_ms for sent in world.bus.sent]
    assert {b - a for a, b in pairwise(times)} == {world.bus.delay_ms + 33}


async def test_a_single_connection_is_given_up_whenever_nothing_is_due() -> None:
    world = BusWorld(bus_device(1, single_connection=True), bus_device(2))
    async with world.running():
        await world.clock.advance(2_999)
    ends = [at + world.bus.delay_ms for at in world.bus.times(1)]
    assert len(ends) == 3
    assert set(ends) <= set(world.bus.closes)
    assert len(world.good(1)) == len(world.good(2)) == 3


async def test_another_connection_is_kept() -> None:
    world = BusWorld(bus_device(1), bus_device(2))
    async with world.running():
        await world.clock.advance(60_000)
        assert world.bus.closes == []


@pytest.mark.parametrize("line", [RTU, SERIAL_SERVER])
async def test_a_lost_reply_leaves_the_line_alone_until_it_is_silent(line: dict[str, object]) -> None:
    world = BusWorld(bus_device(1, line, timeout_s=0.1, retries=0), bus_device(2, line, interval_s=0.01))
    world.bus.faults[1] = NoReply("no reply")
    async with world.running():
        await world.clock.advance(100 + QUIET_MS - 1)
        world.bus.heard += 1  # the reply, too late
        await world.clock.advance(QUIET_MS + 1)
    assert world.bus.sent[0].unit == 1
    assert world.bus.sent[1].at_ms == 100 + 2 * QUIET_MS


async def test_a_line_that_is_never_silent_is_used_again_in_the_end() -> None:
    line = RTU | {"baudrate": 115_200}
    world = BusWorld(bus_device(1, line, timeout_s=0.1, retries=0), bus_device(2, line, interval_s=0.01))
    world.bus.faults[1] = NoReply("no reply")
    async with world.running():
        for _ in range(1_000):
            world.bus.heard += 1
            await world.clock.advance(1)
    assert world.bus.sent[1].at_ms == 100 + MAX_DRAIN_MS


async def test_a_broken_connection_is_made_anew() -> None:
    world = BusWorld(bus_device(1))
    world.bus.behave[1] = lambda sent: NotConnected("reset") if sent.at_ms == 1_000 else [1, 2]
    async with world.running():
        await world.clock.advance(5_000)
    assert len(world.good(1)) == 6
    assert world.bus.connects == [0, 1_010]


async def test_devices_are_polled_as_soon_as_there_is_a_connection_again() -> None:
    world = BusWorld(*(bus_device(unit) for unit in (1, 2, 3)))
    world.bus.refuses = True
    async with world.running():
        await world.clock.advance(600_000)
        assert world.good(1) == []
        marked = [len(world.of(unit)) for unit in (1, 2, 3)]
        assert min(marked) >= 1  # nobody's last value is left looking good
        assert len(world.said) == 3
        assert all("refused (h:1, " in said or "no connection to h:1 (h:1, " in said for said in world.said)
        world.bus.refuses = False
        await world.clock.advance(RECONNECT_MAX_MS + 1_000)
        assert all(world.good(unit) for unit in (1, 2, 3))


class LateDevice:
    """Answers each request with what it had to say to the one before, once it fell behind."""

    def __init__(self, late: range) -> None:
        self.owed: list[Sent] = []
        self.late = late

    def __call__(self, sent: Sent) -> Sequence[int] | HeadgateError:
        self.owed.append(sent)
        if sent.at_ms in self.late:
            return NoReply("no reply")
        first = self.owed.pop(0)
        if (first.table, first.count) != (sent.table, sent.count):
            self.owed.clear()  # it is read, and thrown away as no reply to this; the line falls silent
            return WrongReply("another length")
        return [first.address + i for i in range(first.count)]


@pytest.mark.parametrize("late_ms", [2_000, 2_010])
@pytest.mark.parametrize("line", [RTU, SERIAL_SERVER])
async def test_a_late_reply_is_never_taken_for_the_next_of_equal_length(
    line: dict[str, object], late_ms: int
) -> None:
    tags = [
        {"name": name, "table": "holding", "address": at, "type": "uint32"}
        for name, at in (("x", 0), ("y", 90))
    ]
    groups = [{"name": "g", "interval_s": 1, "tags": tags}]
    world = BusWorld(bus_device(1, line, groups=groups, timeout_s=0.1), bus_device(2, line))
    world.bus.behave[1] = LateDevice(range(late_ms, 2_100))
    async with world.running():
        await world.clock.advance(60_000)
    right = {"x": 1, "y": (90 << 16) + 91}
    for tag, value in right.items():
        assert {frame.values[0] for frame in world.of(1, tag)} <= {value, None}
        assert world.of(1, tag)[-1].values[0] == value
    assert len(world.of(1, "x")) > 30
    assert world.health()["proofs"] >= 1


async def test_a_proof_reads_less_of_the_same_and_then_the_read_goes_on() -> None:
    world = BusWorld(bus_device(1, RTU, timeout_s=0.1))
    world.bus.behave[1] = lambda sent: NoReply("no reply") if sent.at_ms == 1_000 else [7, 8][: sent.count]
    async with world.running():
        await world.clock.advance(3_500)
    asked = [(sent.table, sent.address, sent.count) for sent in world.bus.sent]
    read, proof = ("holding", 7, 2), ("holding", 7, 1)
    assert asked == [read, read, proof, read, read, read]
    assert len(world.good(1)) == 4


async def test_a_device_that_is_configured_anew_still_owes_its_replies() -> None:
    world = BusWorld(bus_device(1, RTU, timeout_s=0.1, retries=0))
    world.bus.behave[1] = lambda sent: NoReply("no reply") if sent.at_ms == 0 else [7, 8][: sent.count]
    async with world.running():
        await world.clock.advance(200)
        anew = bus_device(1, RTU, timeout_s=0.2, retries=0)
        world.driver.apply(world.driver.plan({"devices": [anew]}))
        await world.clock.advance(2_000)
    assert [sent.count for sent in world.bus.sent][:3] == [2, 1, 2]


async def test_a_refusal_proves_nothing_of_its_own_function() -> None:
    world = BusWorld(bus_device(1, RTU, timeout_s=0.1))

    def behave(sent: Sent) -> Sequence[int] | HeadgateError:
        if sent.at_ms == 1_000:
            return NoReply("no reply")
        return [7, 8] if (sent.table, sent.count) == ("holding", 2) else ExceptionReply(2)

    world.bus.behave[1] = behave
    async with world.running():
        await world.clock.advance(3_500)
    asked = [(sent.table, sent.count) for sent in world.bus.sent]
    assert asked[1:5] == [("holding", 2), ("holding", 1), ("input", 1), ("holding", 2)]
    assert len(world.good(1)) == 4


async def test_a_device_that_answers_no_proof_is_believed_after_a_while() -> None:
    world = BusWorld(bus_device(1, RTU, timeout_s=0.1))
    world.bus.behave[1] = lambda sent: (
        [7, 8] if (sent.table, sent.count) == ("holding", 2) and sent.at_ms != 1_000 else NoReply("no reply")
    )
    async with world.running():
        await world.clock.advance(60_000)
    assert len(world.good(1)) > 30
    assert world.of(1)[-1].quality == ()


@pytest.mark.parametrize("code", [10, 11])
async def test_a_unit_that_its_gateway_cannot_reach_is_left_alone(code: int) -> None:
    world = BusWorld(bus_device(1), bus_device(2, interval_s=0.1))
    world.bus.delay_ms = 20
    world.bus.faults[1] = ExceptionReply(code)
    async with world.running():
        await world.clock.advance(60_000)
    assert {frame.quality for frame in world.of(1)} == {(Quality.BAD_COMM,)}
    assert world.health()["up/d1"] == 0.0
    assert len(world.bus.times(1)) < 10
    assert world.bus.closes[:-1] == []
    assert len(world.good(2)) >= 0.95 * 600
    assert world.said == [f"d1: {ExceptionReply(code)} (h:1, unit 1)"]
