"""What a device refused is left out, doubted again ever more rarely, and forgotten when it is answered."""

from __future__ import annotations

from headgate.modbus.learned import FIRST_MS, MAX_MS, Learned, overlapping, usable
from headgate.modbus.planner import Span, plan_reads

TAGS = [Span(0, 2), Span(2, 2), Span(4, 1), Span(5, 1)]


def test_a_refused_value_is_left_out_and_nothing_reads_across_it() -> None:
    learned = Learned()
    learned.refuse(TAGS[1], 0)
    left = usable(TAGS, learned)
    assert left == [0, 2, 3]
    blocks = plan_reads([TAGS[i] for i in left], max_count=125, max_gap=16, forbidden=learned.forbidden(0))
    assert [(b.address, b.count) for b in blocks] == [(0, 2), (4, 2)]


def test_it_is_tried_again_soon_then_ever_more_rarely_but_daily() -> None:
    learned, now_ms, waits = Learned(), 0, []
    for _ in range(16):
        learned.refuse(TAGS[0], now_ms)
        assert learned.due(now_ms) == []
        retry_ms = learned.next_ms()
        assert retry_ms is not None
        waits.append(retry_ms - now_ms)
        now_ms = retry_ms
        assert learned.due(now_ms) == [TAGS[0]]
    assert waits[:3] == [FIRST_MS, 2 * FIRST_MS, 4 * FIRST_MS]
    assert waits[-1] == MAX_MS


def test_one_that_is_answered_after_all_is_an_ordinary_value_again() -> None:
    learned = Learned()
    learned.refuse(TAGS[0], 0)
    assert learned.answered(TAGS[0])
    assert not learned.answered(TAGS[0])
    assert usable(TAGS, learned) == [0, 1, 2, 3]
    assert learned.forbidden(0) == []
    assert learned.next_ms() is None


def test_a_gap_that_no_read_may_cross_is_doubted_too() -> None:
    learned = Learned()
    learned.forbid(Span(10, 3), 1_000)
    assert learned.forbidden(1_000) == [Span(10, 3)]
    assert learned.forbidden(1_000 + FIRST_MS) == []
    learned.forbid(Span(10, 3), 1_000 + FIRST_MS)
    assert learned.forbidden(1_000 + 2 * FIRST_MS) == [Span(10, 3)]


def test_the_longest_read_only_gets_shorter() -> None:
    learned = Learned()
    learned.shorten(60)
    learned.shorten(80)
    assert learned.max_count == 60


def test_a_value_that_overlaps_a_refused_one_is_read_by_itself() -> None:
    learned = Learned()
    learned.refuse(Span(0, 4), 0)
    assert usable([Span(0, 4), Span(0, 1), Span(4, 1)], learned) == [2]
    assert overlapping([Span(0, 4), Span(0, 1), Span(4, 1)], learned) == [1]
