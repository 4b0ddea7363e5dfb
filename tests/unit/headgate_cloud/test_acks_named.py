"""What an acknowledgement names where a stream has more gaps than it has ranges."""

from __future__ import annotations

from headgate_cloud.intake import MAX_JUST_STORED, MAX_RANGES, Progress, also_named, progress


def test_what_was_just_stored_is_named_beyond_the_ranges() -> None:
    held = [*range(1, 10), *range(11, 500, 2), 900, 901, 950]
    reached = progress(0, held)
    assert (reached.up_to, len(reached.received)) == (9, MAX_RANGES)
    named = also_named(reached, {3, 11, 900, 901, 950})
    assert len(named.received) == MAX_RANGES
    assert named.received[-2:] == ((900, 901), (950, 950))
    assert named.received[:-2] == reached.received[: MAX_RANGES - 2]


def test_it_leaves_room_for_the_lowest() -> None:
    reached = progress(0, range(2, 500, 2))
    named = also_named(reached, range(100, 500, 2))
    assert len(named.received) == MAX_RANGES
    assert named.received[: MAX_RANGES - MAX_JUST_STORED] == reached.received[: MAX_RANGES - MAX_JUST_STORED]


def test_what_is_named_anyway_changes_nothing() -> None:
    reached = Progress(17, ((19, 21),))
    assert also_named(reached, {1, 17, 19, 20}) == reached
