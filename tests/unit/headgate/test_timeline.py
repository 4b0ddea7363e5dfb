from __future__ import annotations

from headgate.model import Batch, ClockState, Frame
from headgate.timeline import Boot, Reading, Step, Timeline

UTC_MS = 1_763_685_600_000
HOUR_MS = 3_600_000


def batch(seq: int, boot_ms: int, clock: ClockState = ClockState.UNSYNCED, **fields: object) -> Batch:
    given: dict[str, object] = {"machine_boot_id": "a", "utc_offset_ms": 0} | fields
    frames = [Frame(boot_ms, (0, 1), (1.0, 2.0), (0, 3))]
    return Batch("modbus", 7, seq, 1, b"", clock=clock, dropped=0, frames=frames, **given)  # type: ignore[arg-type]  # two fields by name


def now(boot_ms: int, clock: ClockState = ClockState.SYNCED, *, boot: str = "a", utc_ms: int = 0) -> Reading:
    return Reading(boot, boot_ms, utc_ms or UTC_MS + boot_ms, clock)


def waiting(*batches: Batch) -> Timeline:
    timeline = Timeline()
    for position, each in enumerate(batches):
        assert timeline.waits(each)
        timeline.wait(each, position)
    return timeline


def test_a_boot_gets_its_offset_from_the_gateways_clock() -> None:
    timeline = waiting(batch(1, 10), batch(2, 20))
    assert timeline.settle(now(30, ClockState.UNSYNCED, utc_ms=30)) == []
    (settled,) = timeline.settle(now(40))
    assert (settled.known, settled.batches, settled.why) == (Boot(UTC_MS, ClockState.SYNCED, 40), 2, "")
    placed, doubted = timeline.placed(batch(1, 10), now(40))
    assert (placed.utc_offset_ms, placed.clock, doubted) == (UTC_MS, ClockState.SYNCED, False)
    assert placed.frames[0].quality == (0, 3)


def test_a_boot_gets_its_offset_from_a_batch_that_has_one() -> None:
    timeline = waiting(batch(1, 10), batch(2, 20, ClockState.HOLDOVER, utc_offset_ms=UTC_MS))
    (settled,) = timeline.settle(None)
    assert settled.known == Boot(UTC_MS, ClockState.HOLDOVER, 20)


def test_what_comes_waits_behind_what_waits() -> None:
    timeline = waiting(batch(1, 10))
    timeline.settle(now(40))
    assert timeline.waits(batch(2, 50, ClockState.SYNCED, utc_offset_ms=UTC_MS))
    timeline.came(batch(1, 10))
    assert timeline.oldest_position is None
    assert not timeline.waits(batch(3, 60))


def test_another_copy_of_an_older_run_frees_nothing() -> None:
    timeline = waiting(batch(5, 10), batch(6, 20))
    timeline.came(batch(4, 5))
    assert timeline.is_waiting(batch(5, 10))
    timeline.came(batch(5, 10))
    assert not timeline.is_waiting(batch(5, 10))
    assert timeline.is_waiting(batch(6, 20))


def test_after_a_day_nobody_waits_any_more() -> None:
    timeline = waiting(batch(1, 10))
    assert timeline.settle(now(23 * HOUR_MS, ClockState.UNSYNCED, utc_ms=23 * HOUR_MS)) == []
    (settled,) = timeline.settle(now(25 * HOUR_MS, ClockState.UNSYNCED, utc_ms=UTC_MS))
    assert settled.known.clock is ClockState.UNSYNCED
    assert "not set within 86400 s" in settled.why
    placed, _ = timeline.placed(batch(1, 10), None)
    assert (placed.clock, placed.frames[0].quality) == (ClockState.UNSYNCED, (1, 3))
    timeline.came(batch(1, 10))
    assert not timeline.waits(batch(2, 26 * HOUR_MS))
    timeline.observe(now(30 * HOUR_MS))
    assert timeline.placed(batch(3, 29 * HOUR_MS), None)[0].clock is ClockState.SYNCED


def test_boots_without_a_clock_keep_their_order_and_lie_in_the_past() -> None:
    timeline = Timeline({"before": Boot(UTC_MS, ClockState.SYNCED, 1_000)})
    timeline.wait(batch(1, 10), 1)
    timeline.wait(batch(1, 5_000, machine_boot_id="b"), 2)
    later = now(3 * HOUR_MS, ClockState.UNSYNCED, boot="c", utc_ms=1)
    ranges = [(one.from_ms, one.to_ms) for one in timeline.settle(later)]
    assert ranges == [(UTC_MS + 1_000, UTC_MS + 1_000), (UTC_MS + 1_000, UTC_MS + 1_000)]


def test_an_earlier_boot_ended_before_this_one_began() -> None:
    timeline = waiting(batch(1, 10), batch(2, 9_000, utc_offset_ms=UTC_MS + HOUR_MS))
    (settled,) = timeline.settle(now(500, boot="b"))
    assert settled.to_ms == UTC_MS
    assert "restarted" in settled.why


def test_where_the_machine_names_no_boot_only_a_run_is_one() -> None:
    timeline = waiting(batch(1, 10, machine_boot_id=""))
    assert timeline.settle(now(500, boot="b")) == []
    assert len(timeline.settle(now(5, boot="b"))) == 1  # boottime went back


def test_a_step_is_told_once_and_a_slew_never() -> None:
    timeline = Timeline()
    assert timeline.observe(now(0)) is None
    assert timeline.observe(now(10, utc_ms=UTC_MS + 500)) is None
    step = timeline.observe(now(20, utc_ms=UTC_MS + 10_000))
    assert step == Step(UTC_MS + 490, UTC_MS + 9_980, UTC_MS + 10_000)
    again = Timeline(timeline.unsaved())
    assert again.observe(now(30, utc_ms=UTC_MS + 10_010)) is None


def test_a_sample_from_the_future_is_doubted_and_placed_by_the_gateways_clock() -> None:
    timeline = Timeline()
    ahead = batch(1, 90, ClockState.SYNCED, utc_offset_ms=UTC_MS + 61_000)
    placed, doubted = timeline.placed(ahead, now(100))
    assert (placed.utc_offset_ms, placed.clock, doubted) == (UTC_MS, ClockState.UNSYNCED, True)
    assert timeline.placed(ahead, now(100, ClockState.HOLDOVER)) == (ahead, False)


def test_times_beyond_2100_are_never_believed() -> None:
    timeline = Timeline()
    ahead = batch(1, 90, ClockState.HOLDOVER, utc_offset_ms=2 * 4_102_444_800_000)
    placed, doubted = timeline.placed(ahead, now(100, ClockState.HOLDOVER))
    assert (placed.utc_offset_ms, doubted) == (UTC_MS, True)


def test_what_was_later_than_now_never_was() -> None:
    timeline = Timeline({"before": Boot(UTC_MS + 300 * 24 * HOUR_MS, ClockState.SYNCED, 0)})
    timeline.observe(now(1_000, boot="b"))
    assert timeline.unsaved()["before"].end_ms == UTC_MS + 1_000
