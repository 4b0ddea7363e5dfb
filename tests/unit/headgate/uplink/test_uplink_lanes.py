"""Who goes first, with which share; acknowledgements put together from what came in any order."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.model import Ack, Envelope, EnvelopeId
from headgate.store.state import Queued
from headgate.uplink.acks import AckBook, covers, merge
from headgate.uplink.lanes import Lane, lane_of
from headgate.uplink.meter import Meter, Metered
from headgate.uplink.pacing import UplinkTuning
from headgate.uplink.planner import Planner
from headgate.uplink.turns import SHARES, Turns
from tests.unit.headgate.uplink.test_uplink_planner import UTC_MS, Outbox

STREAMS = {
    Lane.ALARMS: ("alarms", 0, True),
    Lane.SCHEMAS: ("reports", 0, False),
    Lane.LIVE: ("live", 9, True),
    Lane.CONTEXT: ("alarms", 9, True),
    Lane.REPORTS: ("reports", 0, True),
    Lane.BACKLOG: ("backlog", 9, False),
}
FAST = UplinkTuning(publishes_per_s=10, bytes_per_s=10**9, max_unacknowledged_bytes=10**9)


def item(row: int, lane: Lane, size_bytes: int = 1_000) -> Queued:
    stream, samples, live = STREAMS[lane]
    envelope = Envelope(EnvelopeId("gw", stream, 1, row), 1, bytes(size_bytes), samples, live)
    assert lane_of(envelope) is lane
    return Queued(row, UTC_MS, envelope)


def sent_lanes(outbox: Outbox, ms: int) -> list[Lane]:
    return [lane_of(outbox.rows[row].envelope) for row in outbox.send(ms)]


def test_heartbeats_go_with_reports() -> None:
    outbox = Outbox(tuning=FAST)
    outbox.read()
    beat = Envelope(EnvelopeId("gw", "health", 1, 1), 1, bytes(10), 0, live=True)
    outbox.seal(Queued(1, UTC_MS, beat), item(2, Lane.LIVE))
    assert lane_of(beat) is Lane.REPORTS
    assert outbox.send(1_000) == [2, 1]


def test_what_is_shed_leaves_every_lane_and_what_waits_for_the_cloud() -> None:
    outbox = Outbox(tuning=FAST)
    outbox.read()
    outbox.seal(*(item(row, Lane(row % 6)) for row in range(1, 13)))
    assert len(outbox.send()) == 5
    for row in range(1, 13):
        del outbox.rows[row]
    outbox.planner.forget(range(1, 13))
    assert outbox.planner.unacknowledged_bytes == 0
    assert outbox.send(60_000) == []


def test_lanes_go_in_order_and_each_has_its_share() -> None:
    outbox = Outbox(tuning=FAST)
    outbox.read()
    lanes = [lane for lane in Lane if lane is not Lane.SCHEMAS]
    outbox.seal(*(item(row, lanes[row % 5]) for row in range(1, 500)))
    found = sent_lanes(outbox, 25_000)
    assert found[:99] == [Lane.ALARMS] * 99
    counts = Counter(found[99:])
    assert counts[Lane.LIVE] > counts[Lane.CONTEXT] > counts[Lane.REPORTS] > 0
    for lane, share in SHARES.items():
        assert counts[lane] >= 0.8 * share * counts[Lane.LIVE]


def test_schemas_go_before_the_live_data_that_needs_them() -> None:
    outbox = Outbox(tuning=FAST)
    outbox.read()
    outbox.seal(item(1, Lane.REPORTS), item(2, Lane.LIVE), item(3, Lane.SCHEMAS), item(4, Lane.ALARMS))
    assert outbox.send() == [4, 3, 2, 1]


@pytest.mark.parametrize("lane", [Lane.ALARMS, Lane.SCHEMAS, Lane.CONTEXT, Lane.REPORTS])
def test_what_is_urgent_is_found_behind_any_backlog_after_a_start(lane: Lane) -> None:
    rows = [item(row, Lane.BACKLOG) for row in range(1, 1_000)] + [item(1_000, lane)]
    outbox = Outbox(rows, FAST)
    assert sent_lanes(outbox, 0)[0] is lane


@pytest.mark.parametrize("lane", Lane)
def test_more_of_a_lane_than_memory_holds_goes_in_order(lane: Lane) -> None:
    outbox = Outbox(tuning=FAST)
    outbox.read()
    outbox.seal(*(item(row, lane) for row in range(1, 200)))
    assert list(dict.fromkeys(outbox.send(30_000))) == list(range(1, 200))


def test_alarms_go_although_all_else_waits_for_the_clouds_word() -> None:
    outbox = Outbox(tuning=UplinkTuning(max_unacknowledged_bytes=10_000))
    outbox.seal(*(item(row, Lane.LIVE) for row in range(1, 30)))
    assert len(outbox.send(1_000)) == 10
    outbox.seal(*(item(row, Lane.ALARMS) for row in range(100, 120)))
    assert outbox.send(1_000) == [100, 101, 102, 103, 104]


def test_shares_can_be_given() -> None:
    turns = Turns({Lane.BACKLOG: 1.0})
    sent: Counter[Lane] = Counter()
    for _ in range(100):
        lane = next(lane for lane in turns.order() if lane in (Lane.LIVE, Lane.BACKLOG))
        sent[lane] += 1
        turns.took(lane)
    assert abs(sent[Lane.LIVE] - sent[Lane.BACKLOG]) <= 1


def test_other_limits_hold_at_once() -> None:
    outbox = Outbox(tuning=FAST)
    outbox.seal(*(item(row, Lane.LIVE) for row in range(1, 200)))
    outbox.planner.set_limits(2, None)
    assert 19 <= len(outbox.send(10_000)) <= 22


def test_a_metered_link_holds_back_and_lets_go_by_time() -> None:
    meter = Meter(Metered(windows=((0, 1),)))
    planner = Planner(FAST, meter)
    outbox = Outbox([item(1, Lane.BACKLOG)])
    outbox.planner = planner
    outbox.read()
    now_ms, utc_ms = 0, UTC_MS - UTC_MS % 86_400_000 + 3_600_000
    assert planner.next(now_ms, utc_ms) is None
    assert planner.held(now_ms, utc_ms) == {Lane.BACKLOG: "outside its hours for another 1380 min"}
    while planner.next(now_ms, utc_ms + now_ms) is None:
        wake_ms = planner.wake_ms(now_ms, utc_ms + now_ms)
        assert wake_ms is not None
        assert now_ms < wake_ms <= now_ms + 600_000
        now_ms = wake_ms
    assert now_ms == 23 * 3_600_000


def test_what_a_metered_link_holds_back_and_is_due_again_does_not_spin() -> None:
    planner = Planner(FAST, Meter(Metered(100_000)))
    planner.offer([item(1, Lane.LIVE)])
    assert planner.next(0, UTC_MS) is not None
    planner.done(1)
    planner.meter.count(100_000, UTC_MS)
    assert planner.next(20_000, UTC_MS) is None
    wake_ms = planner.wake_ms(20_000, UTC_MS)
    assert wake_ms is not None
    assert wake_ms >= 600_000


def named(ack: Ack) -> set[int]:
    return {seq for seq in range(1, 60) if covers(ack, EnvelopeId("gw", "live", 1, seq))}


@given(st.lists(st.tuples(st.integers(0, 20), st.sets(st.integers(1, 50))), min_size=1, max_size=6))
def test_what_any_acknowledgement_named_stays_known(heard: list[tuple[int, set[int]]]) -> None:
    book, known = AckBook(), set[int]()
    merged = Ack("live", 1, 0)
    for up_to, seqs in heard:
        ack = Ack("live", 1, up_to, [(seq, seq) for seq in seqs])
        known |= named(ack)
        merged = merge(merged, ack)
        assert named(book.note(ack)) == known
    assert named(merged) == known
    assert all(first > merged.up_to + 1 for first, _ in merged.received)
    assert all(book.covers(EnvelopeId("gw", "live", 1, seq)) is (seq in known) for seq in range(1, 60))


def test_acknowledgements_in_any_order_free_the_outbox(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        held: set[int] = set()
        acks = []
        for seq in rng.sample(range(1, 31), 30):
            held.add(seq)
            up_to = next(n for n in range(32) if n + 1 not in held)
            acks.append(Ack("live", 1, up_to, [(s, s) for s in sorted(held) if s > up_to][:32]))
        rng.shuffle(acks)
        merged = Ack("live", 1, 0)
        for ack in acks:
            merged = merge(merged, ack)
        assert merged == Ack("live", 1, 30)
