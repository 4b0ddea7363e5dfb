from __future__ import annotations

import itertools
import json
import random

import pytest

from headgate.errors import Reject
from headgate.model import Ack, Envelope, EnvelopeId
from headgate.store.state import OutboxPart, Queued
from headgate.uplink.acks import parse_acks
from headgate.uplink.lanes import Lane
from headgate.uplink.pacing import Bucket, UplinkTuning
from headgate.uplink.planner import Planner

UTC_MS = 1_800_000_000_000
SIZE = 5_000


def queued(row: int, *, live: bool = True, sealed_ms: int = UTC_MS) -> Queued:
    key = EnvelopeId("gw", "live" if live else "backlog", 1, row)
    return Queued(row, sealed_ms, Envelope(key, 1, bytes(SIZE), 10, live))


def in_part(part: OutboxPart, envelope: Envelope) -> bool:
    stream = envelope.id.stream
    named = stream in part.only if part.only else stream not in part.but
    return named and part.samples in (None, envelope.samples > 0) and part.live in (None, envelope.live)


class Outbox:
    """A planner, the outbox it reads from, and time that passes for both."""

    def __init__(self, rows: list[Queued] | None = None, tuning: UplinkTuning | None = None) -> None:
        self.rows = {item.row: item for item in rows or []}
        self.planner = Planner(tuning)
        self.now_ms = 0

    def seal(self, *items: Queued) -> None:
        self.rows |= {item.row: item for item in items}
        self.planner.offer(items)

    def read(self) -> None:
        while (wanted := self.planner.wants_rows()) is not None:
            lane, part, after = wanted
            found = [
                self.rows[row]
                for row in sorted(self.rows)
                if row > after and in_part(part, self.rows[row].envelope)
            ][:64]
            self.planner.rows(lane, after, found, last=len(found) < 64)

    def send(self, ms: int = 0) -> list[int]:
        """Let time pass in steps of 10 ms and publish what the planner says; the rows in order."""
        sent = []
        end_ms = self.now_ms + ms
        while True:
            self.read()
            while (item := self.planner.next(self.now_ms, UTC_MS + self.now_ms)) is not None:
                sent.append(item.row)
                self.planner.done(item.row)
            if self.now_ms >= end_ms:
                return sent
            self.now_ms += 10

    def ack(self, up_to: int, *received: tuple[int, int], stream: str = "live") -> int:
        ack = Ack(stream, 1, up_to, received)
        count = self.planner.acknowledge(ack, self.now_ms)
        covered = [(0, up_to), *received]
        gone = [
            row
            for row, item in self.rows.items()
            if item.envelope.id.stream == stream and any(a <= row <= b for a, b in covered)
        ]
        for row in gone:
            del self.rows[row]
        return count


def test_what_waited_before_the_start_is_sent_oldest_first_within_the_bound() -> None:
    outbox = Outbox([queued(row, sealed_ms=0) for row in range(1, 400)])
    sent = outbox.send(60_000)
    fresh = list(dict.fromkeys(sent))
    assert fresh == list(range(1, len(fresh) + 1))
    limit = outbox.planner.tuning.max_unacknowledged_bytes
    assert outbox.planner.unacknowledged_bytes <= limit * outbox.planner.tuning.backlog_part


def test_everything_is_acknowledged_in_the_end() -> None:
    outbox = Outbox([queued(row, sealed_ms=0) for row in range(1, 1_000)])
    for _ in range(200):
        sent = outbox.send(1_000)
        if sent:
            outbox.ack(max(sent))
    assert outbox.rows == {}
    assert outbox.planner.counters.acknowledged == 999
    assert outbox.planner.counters.resent == 0


def test_live_goes_first_and_the_backlog_keeps_its_share() -> None:
    tuning = UplinkTuning(publishes_per_s=10, bytes_per_s=10**9)
    outbox = Outbox([queued(row, sealed_ms=0) for row in range(1, 50)], tuning)
    outbox.send()
    outbox.seal(*[queued(row) for row in range(100, 200)])
    sent = outbox.send(2_000)
    live = [row for row in sent if row >= 100]
    assert sent[0] == 100
    assert live == list(range(100, 100 + len(live)))
    assert len(sent) // 6 <= len(sent) - len(live) <= len(sent) // 4


def alarm(row: int) -> Queued:
    return Queued(row, UTC_MS, Envelope(EnvelopeId("gw", "alarms", 1, row), 1, bytes(300), 0, True))


def test_alarms_go_before_everything_else_also_after_a_restart() -> None:
    tuning = UplinkTuning(publishes_per_s=10, bytes_per_s=10**9)
    outbox = Outbox([*[queued(row, sealed_ms=0) for row in range(1, 50)], alarm(50)], tuning)
    assert outbox.send()[0] == 50
    outbox.seal(*[queued(row) for row in range(100, 120)], alarm(120), alarm(121))
    assert outbox.send(300)[:2] == [120, 121]
    assert outbox.ack(121, stream="alarms") == 3


def test_alarms_that_fail_or_are_too_many_are_sent_in_the_end() -> None:
    outbox = Outbox()
    outbox.seal(*[alarm(row) for row in range(1, 400)])
    outbox.read()
    first = outbox.planner.next(0, UTC_MS)
    assert first is not None
    outbox.planner.failed(first.row, 0)
    sent = outbox.send(30_000)
    assert set(sent) == set(range(1, 400))


def test_the_limits_of_the_connection_are_kept() -> None:
    tuning = UplinkTuning(max_unacknowledged_bytes=10**9)
    outbox = Outbox([queued(row, sealed_ms=0) for row in range(1, 2_000)], tuning)
    sent = outbox.send(10_000)
    assert len(sent) <= 50 * 10 + 25
    assert len(sent) * SIZE <= 256 * 1024 * 10 + 128 * 1024 + SIZE
    assert len(sent) * SIZE >= 0.95 * 256 * 1024 * 10


def test_at_most_four_are_in_flight() -> None:
    outbox = Outbox([queued(row) for row in range(1, 50)])
    outbox.read()
    started = [outbox.planner.next(0, UTC_MS) for _ in range(6)]
    assert [item.row for item in started if item] == [1, 2, 3, 4]
    assert outbox.planner.wake_ms(0, UTC_MS) is None


def test_while_nothing_is_acknowledged_one_probe_goes_out_at_growing_intervals() -> None:
    outbox = Outbox()
    outbox.seal(*[queued(row) for row in range(1, 11)])
    assert outbox.send() == list(range(1, 11))
    times = []
    for _ in range(6_000):
        times += [outbox.now_ms // 1_000] * len(outbox.send(100))
    steps = [b - a for a, b in itertools.pairwise([0, *times])]
    assert steps[:5] == pytest.approx([10, 20, 40, 80, 120], abs=1)
    assert outbox.planner.counters.resent == len(times) <= 9


def test_after_an_outage_only_what_is_still_missing_is_sent_again() -> None:
    outbox = Outbox()
    outbox.seal(*[queued(row) for row in range(1, 11)])
    outbox.send(25_000)
    assert outbox.ack(3, (6, 8)) == 6
    assert outbox.send(5_000) == []
    assert outbox.send(20_000)[:4] == [4, 5, 9, 10]
    assert outbox.ack(10) == 4
    assert outbox.planner.unacknowledged_bytes == 0


def test_an_envelope_that_is_never_acknowledged_does_not_hold_the_others() -> None:
    outbox = Outbox()
    outbox.seal(queued(1))
    count = 0
    for row in range(2, 400):
        outbox.seal(queued(row, sealed_ms=UTC_MS + outbox.now_ms))
        count += outbox.send(1_000).count(1)
        outbox.ack(0, (2, row))
    assert outbox.planner.counters.acknowledged == 398
    assert 3 <= count <= 7


def test_offline_the_nucleus_is_asked_and_not_stormed() -> None:
    tuning = UplinkTuning(retry_first_ms=500, retry_max_ms=10_000)
    outbox = Outbox([queued(row) for row in range(1, 100)], tuning)
    outbox.read()
    tries: list[int] = []
    while outbox.now_ms < 120_000:
        while (item := outbox.planner.next(outbox.now_ms, UTC_MS)) is not None:
            tries.append(outbox.now_ms)
            outbox.planner.failed(item.row, outbox.now_ms)
        wake_ms = outbox.planner.wake_ms(outbox.now_ms, UTC_MS)
        assert wake_ms is not None
        assert wake_ms > outbox.now_ms
        outbox.now_ms = wake_ms
    assert [b - a for a, b in itertools.pairwise(tries)][:6] == [
        500,
        1_000,
        2_000,
        4_000,
        8_000,
        10_000,
    ]
    assert outbox.planner.unacknowledged_bytes == 0
    assert outbox.send(30_000)[:3] == [1, 2, 3]


def test_word_from_the_cloud_ends_the_back_off() -> None:
    outbox = Outbox()
    outbox.seal(queued(1))
    assert outbox.send() == [1]
    outbox.seal(queued(2))
    for _ in range(9):
        item = outbox.planner.next(outbox.now_ms, UTC_MS)
        assert item is not None
        outbox.planner.failed(item.row, outbox.now_ms)
        outbox.now_ms = outbox.planner.wake_ms(outbox.now_ms, UTC_MS) or 0
    item = outbox.planner.next(outbox.now_ms, UTC_MS)
    assert item is not None
    outbox.planner.failed(item.row, outbox.now_ms)
    assert outbox.send(1_000) == []
    outbox.ack(1)
    assert outbox.send() == [2]


def test_live_envelopes_that_age_unsent_become_backlog_and_none_is_forgotten() -> None:
    outbox = Outbox()
    outbox.read()
    for row in range(1, 101):
        outbox.seal(queued(row, sealed_ms=UTC_MS + outbox.now_ms))
        outbox.now_ms += 2_000
        outbox.read()
        item = outbox.planner.next(outbox.now_ms, UTC_MS + outbox.now_ms)
        if item is not None:
            outbox.planner.failed(item.row, outbox.now_ms)
    sent: list[int] = []
    for _ in range(20):
        sent += outbox.send(1_000)
        outbox.ack(0, *[(row, row) for row in sent])
    assert sorted(sent) == list(range(1, 101))
    assert outbox.rows == {}


def test_backlog_sealed_while_the_outbox_is_read_is_not_missed() -> None:
    outbox = Outbox()
    while (wanted := outbox.planner.wants_rows()) is not None and wanted[0] is not Lane.BACKLOG:
        outbox.planner.rows(wanted[0], 0, [], last=True)
    assert wanted is not None
    assert wanted[2] == 0
    outbox.seal(queued(1, live=False), queued(2))
    outbox.planner.rows(Lane.BACKLOG, 0, [], last=True)
    assert sorted(outbox.send(1_000)) == [1, 2]


def test_a_refused_envelope_is_tried_again_later_and_the_others_go_on() -> None:
    outbox = Outbox()
    outbox.seal(queued(1), queued(2))
    first = outbox.planner.next(0, UTC_MS)
    assert first is not None
    outbox.planner.refused(first.row)
    assert outbox.send() == [2]
    assert 1 in outbox.send(11_000)
    assert outbox.planner.counters.refused == 1


def test_old_and_repeated_acknowledgements_change_nothing() -> None:
    outbox = Outbox()
    outbox.seal(*[queued(row) for row in range(1, 6)])
    outbox.send()
    assert outbox.ack(4) == 4
    assert [outbox.ack(4), outbox.ack(2), outbox.ack(0, (1, 3))] == [0, 0, 0]
    assert outbox.planner.acknowledge(Ack("live", 2, 99), 0) == 0


def test_random_losses_end_with_everything_acknowledged(seed: int) -> None:
    rng = random.Random(seed)
    outbox = Outbox([queued(row, sealed_ms=0, live=rng.random() < 0.5) for row in range(1, 200)])
    held: set[int] = set()
    row = 200
    for _ in range(3_000):
        if row < 400 and rng.random() < 0.3:
            outbox.seal(queued(row, live=rng.random() < 0.8, sealed_ms=UTC_MS + outbox.now_ms))
            row += 1
        held.update(r for r in outbox.send(500) if rng.random() < 0.5)
        if rng.random() < 0.3:
            for stream in ("live", "backlog"):
                outbox.ack(0, *[(r, r) for r in held], stream=stream)
    assert outbox.rows == {}
    assert outbox.planner.unacknowledged_bytes == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"v":1}',
        b'{"v":9,"stream":"live","epoch":"00000000000000aa","up_to":1}',
        b'{"v":1,"stream":"alive","epoch":"00000000000000aa","up_to":1}',
        b'{"v":1,"stream":"live","epoch":"aa","up_to":1}',
        b'{"v":1,"stream":"live","epoch":"00000000000000aa","up_to":-1}',
        b'{"v":1,"stream":"live","epoch":"00000000000000aa","up_to":1,"received":[[5,4]]}',
        b'{"v":1,"stream":"live","epoch":"00000000000000aa","up_to":1,"received":7}',
        json.dumps(
            {
                "v": 1,
                "stream": "live",
                "epoch": "0" * 16,
                "up_to": 1,
                "received": [[i, i] for i in range(3, 36)],
            }
        ).encode(),
    ],
)
def test_a_malformed_acknowledgement_is_refused(payload: bytes) -> None:
    with pytest.raises(Reject, match="acknowledgement"):
        parse_acks(payload)


def test_an_acknowledgement_is_read() -> None:
    payload = b'{"v":1,"stream":"live","epoch":"8c0f3a5b77d01e42","up_to":17,"received":[[19,21]]}'
    assert parse_acks(payload) == [Ack("live", 0x8C0F3A5B77D01E42, 17, ((19, 21),))]


def test_an_acknowledgement_of_several_streams_is_read_whole_or_not_at_all() -> None:
    live = '{"stream":"live","epoch":"8c0f3a5b77d01e42","up_to":17,"received":[[19,21]]}'
    other = '{"stream":"reports","epoch":"8c0f3a5b77d01e42","up_to":3,"want":["85ffc1c7238327a8"]}'
    found = parse_acks(f'{{"v":2,"acks":[{live},{other}]}}'.encode())
    assert found == [
        Ack("live", 0x8C0F3A5B77D01E42, 17, ((19, 21),)),
        Ack("reports", 0x8C0F3A5B77D01E42, 3, (), ("85ffc1c7238327a8",)),
    ]
    for wrong in ("[]", "7", f"[{live},7]", f"[{live},{{}}]", f"[{','.join([live] * 33)}]"):
        with pytest.raises(Reject, match="acknowledgement"):
            parse_acks(f'{{"v":2,"acks":{wrong}}}'.encode())


def test_another_time_to_wait_for_the_clouds_word_holds_at_once() -> None:
    outbox = Outbox()
    outbox.seal(queued(1), queued(2))
    outbox.planner.set_resend_after_ms(60_000)
    assert outbox.send() == [1, 2]
    assert outbox.send(59_000) == []
    assert 1 in outbox.send(2_000)
    outbox.planner.set_resend_after_ms(None)
    assert outbox.planner.tuning.resend_after_ms == UplinkTuning().resend_after_ms


def test_a_bucket_gives_its_rate() -> None:
    bucket = Bucket(10, 5)
    taken = 0
    for now_ms in range(0, 10_000, 7):
        while not bucket.wait_ms(1, now_ms):
            bucket.take(1, now_ms)
            taken += 1
    assert taken == pytest.approx(105, abs=1)
    assert bucket.wait_ms(1_000, 10_000) <= 501


def test_what_was_shed_is_neither_sent_nor_waited_for() -> None:
    outbox = Outbox([queued(row, live=False) for row in range(1, 6)])
    outbox.seal(queued(6), queued(7))
    outbox.read()
    sent = outbox.planner.next(0, UTC_MS)
    assert sent is not None
    outbox.planner.done(sent.row)
    assert outbox.planner.unacknowledged_bytes == SIZE
    gone = {sent.row, 2, 3}
    for row in gone:
        del outbox.rows[row]
    outbox.planner.forget(gone)
    assert outbox.planner.unacknowledged_bytes == 0
    assert set(outbox.send(2_000)) == set(outbox.rows)
