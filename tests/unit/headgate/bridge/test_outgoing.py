"""Batches on their way to a hub that loses, repeats, rewinds and restarts: each arrives once, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headgate.batch import decode, encode
from headgate.bridge.outgoing import Limits, Outgoing
from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame

LIMITS = Limits(kept_bytes=2_000, window=4, resend_ms=100, rewind_hold_ms=20)


def wire(run_id: int, seq: int, *, samples: int = 3, dropped: int = 0) -> bytes:
    frame = Frame(seq, range(samples), [seq] * samples)
    batch = Batch("modbus", run_id, seq, 1, bytes(16), "", 0, ClockState.SYNCED, dropped, [frame])
    (encoded,) = encode(batch)
    return encoded


class HubAndBridge(RuleBasedStateMachine):
    """A hub after docs/wire.md at the far end of a line that loses messages both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.seqs = {7: 0, 9: 0}
        self.outgoing = Outgoing(9, LIMITS)
        self.made = 0
        self.taken: dict[tuple[int, int], Batch] = {}
        self.durable: dict[int, int] = {}
        self.expected: dict[int, int] = {}
        self.runs: list[int] = []

    @rule(count=st.integers(1, 6))
    @precondition(lambda self: not self.made)
    def restored(self, count: int) -> None:
        self.outgoing.restore([wire(7, seq) for seq in range(3, 3 + count)])
        self.made += 3 * count

    @rule()
    def make(self) -> None:
        self.seqs[9] += 1
        self.outgoing.add(wire(9, self.seqs[9], dropped=self.outgoing.take_dropped()))
        self.made += 3

    @rule(ms=st.integers(1, 60))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(lost=st.lists(st.booleans(), min_size=8, max_size=8), answers=st.booleans())
    def send(self, lost: list[bool], answers: bool) -> None:
        for is_lost in lost:
            sent = self.outgoing.next(self.now_ms)
            if sent is None:
                return
            if not is_lost:
                self.arrive(decode(sent), answers)

    def arrive(self, batch: Batch, answers: bool) -> None:
        expected = max(self.expected.get(batch.run_id, 1), batch.oldest_seq)
        if batch.seq > expected:
            if answers:
                self.outgoing.rewind(batch.run_id, expected - 1, self.now_ms)
            return
        if batch.seq == expected:
            assert (batch.run_id, batch.seq) not in self.taken
            self.taken[batch.run_id, batch.seq] = batch
            self.expected[batch.run_id] = batch.seq + 1
            if batch.run_id not in self.runs:
                self.runs.append(batch.run_id)

    @rule()
    def commit(self) -> None:
        for run_id, expected in self.expected.items():
            self.durable[run_id] = expected - 1
            self.outgoing.acknowledge(run_id, expected - 1, self.now_ms)

    @rule()
    def commit_whose_acknowledgement_is_lost(self) -> None:
        self.durable = {run_id: expected - 1 for run_id, expected in self.expected.items()}

    @rule()
    def hub_dies_and_comes_back(self) -> None:
        self.expected = {run_id: up_to + 1 for run_id, up_to in self.durable.items()}
        self.taken = {
            key: batch for key, batch in self.taken.items() if key[1] <= self.durable.get(key[0], 0)
        }
        self.outgoing.resend(self.now_ms)

    @rule(up_to=st.integers(0, 1000), run_id=st.sampled_from([7, 8]))
    def nonsense_is_acknowledged(self, up_to: int, run_id: int) -> None:
        self.outgoing.acknowledge(8, up_to, self.now_ms)
        self.outgoing.rewind(run_id, 10_000, self.now_ms)

    @invariant()
    def bounded(self) -> None:
        assert self.outgoing.size_bytes == sum(map(len, self.outgoing.wires()))
        assert self.outgoing.size_bytes <= LIMITS.kept_bytes
        assert self.runs in ([], [7], [9], [7, 9])

    def teardown(self) -> None:
        """However it went, a quiet line delivers all that was not shed, and what was shed is counted."""
        self.make()
        for _ in range(400):
            self.send([False] * 8, True)
            self.commit()
            self.now_ms += 30
        assert len(self.outgoing) == 0
        counted = self.outgoing.take_dropped() + sum(batch.dropped for batch in self.taken.values())
        arrived = sum(len(frame.series) for batch in self.taken.values() for frame in batch.frames)
        assert arrived <= self.made <= arrived + counted
        for run_id in self.runs:
            seqs = [seq for run, seq in self.taken if run == run_id]
            assert seqs == sorted(seqs)


TestHubAndBridge = HubAndBridge.TestCase


def test_the_oldest_seq_in_a_wire_is_that_of_sending() -> None:
    outgoing = Outgoing(9, LIMITS)
    for seq in (1, 2, 3):
        outgoing.add(wire(9, seq))
    assert [decode(outgoing.next(0) or b"").oldest_seq for _ in range(3)] == [1, 1, 1]
    outgoing.acknowledge(9, 2, 0)
    outgoing.resend(0)
    again = decode(outgoing.next(0) or b"")
    assert (again.seq, again.oldest_seq) == (3, 3)
    assert outgoing.next(0) is None


def test_shed_batches_are_counted_with_what_they_counted() -> None:
    one = len(wire(9, 1))
    outgoing = Outgoing(9, Limits(kept_bytes=2 * one))
    outgoing.add(wire(9, 1, dropped=5))
    outgoing.add(wire(9, 2))
    outgoing.add(wire(9, 3))
    assert (outgoing.shed_batches, outgoing.take_dropped(), outgoing.take_dropped()) == (1, 8, 0)
    first = decode(outgoing.next(0) or b"")
    assert (first.seq, first.oldest_seq) == (2, 2)


def test_a_window_bounds_what_is_in_flight() -> None:
    outgoing = Outgoing(9, LIMITS)
    for seq in range(1, 10):
        outgoing.add(wire(9, seq))
    sent = [decode(got).seq for _ in range(9) if (got := outgoing.next(0))]
    assert sent == [1, 2, 3, 4]
    outgoing.acknowledge(9, 1, 1)
    assert decode(outgoing.next(1) or b"").seq == 5


def test_without_progress_all_is_sent_again_at_the_deadline() -> None:
    outgoing = Outgoing(9, LIMITS)
    outgoing.add(wire(9, 1))
    assert outgoing.deadline_ms() is None
    assert outgoing.next(10)
    assert outgoing.deadline_ms() == 110
    assert outgoing.next(109) is None
    assert decode(outgoing.next(110) or b"").seq == 1
    assert outgoing.resends == 1


def test_a_burst_of_rewinds_is_one_loss_and_a_second_loss_is_not_forgotten() -> None:
    outgoing = Outgoing(9, LIMITS)
    for seq in (1, 2, 3, 4):
        outgoing.add(wire(9, seq))
        outgoing.next(0)
    for _ in range(3):
        outgoing.rewind(9, 1, 0)
        assert outgoing.next(0) is not None
    assert outgoing.resends == 3
    assert outgoing.deadline_ms() == 20
    assert decode(outgoing.next(20) or b"").seq == 2


def test_nothing_is_sent_of_a_run_before_the_one_before_it_is_acknowledged() -> None:
    outgoing = Outgoing(9, LIMITS)
    outgoing.restore([wire(7, 5), wire(7, 6), wire(8, 1)])
    outgoing.add(wire(9, 1))
    assert outgoing.restored
    seen = []
    for now_ms in range(3):
        while (got := outgoing.next(now_ms)) is not None:
            batch = decode(got)
            seen.append((batch.run_id, batch.seq, batch.oldest_seq))
        outgoing.acknowledge(*seen[-1][:2], now_ms)
    assert seen == [(7, 5, 5), (7, 6, 5), (8, 1, 1), (9, 1, 1)]
    assert not outgoing.restored


def test_what_was_never_sent_cannot_be_acknowledged() -> None:
    outgoing = Outgoing(9, LIMITS)
    outgoing.add(wire(9, 1))
    outgoing.acknowledge(9, 5, 0)
    assert len(outgoing) == 1


def test_what_is_no_batch_is_not_restored() -> None:
    with pytest.raises(Reject):
        Outgoing(9).restore([b"HGB"])


@given(st.lists(st.sampled_from([7, 8]), max_size=8))
def test_restored_wires_come_out_as_they_went_in(runs: list[int]) -> None:
    seqs = {7: 0, 8: 0}
    wires = []
    for run_id in runs:
        seqs[run_id] += 1
        wires.append(wire(run_id, seqs[run_id]))
    outgoing = Outgoing(9)
    outgoing.restore(wires)
    assert list(outgoing.wires()) == wires
