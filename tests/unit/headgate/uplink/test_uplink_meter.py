"""The metered link: cap, windows over midnight, what always goes, and a clock that is wrong."""

from __future__ import annotations

import pytest

from headgate.uplink.lanes import Lane
from headgate.uplink.meter import DAY_MS, RECHECK_MS, Meter, Metered

DAY = 20_600
MIDNIGHT_MS = DAY * DAY_MS
HOUR_MS = 3_600_000


def at(hour: float) -> int:
    return MIDNIGHT_MS + int(hour * HOUR_MS)


def goes(meter: Meter, utc_ms: int) -> set[Lane]:
    found = {lane for lane in Lane if not meter.wait_ms(lane, utc_ms)}
    assert found == {lane for lane in Lane if not meter.held(lane, utc_ms)}
    return found


def test_without_a_metered_link_nothing_is_held() -> None:
    meter = Meter()
    meter.count(10**12, at(1))
    assert goes(meter, at(2)) == set(Lane)


def test_bulk_leaves_the_rest_of_the_cap_to_the_others_and_alarms_always_go() -> None:
    meter = Meter(Metered(1_000_000, always=frozenset({Lane.ALARMS, Lane.CONTEXT})))
    meter.count(499_999, at(1))
    assert goes(meter, at(1)) == set(Lane)
    meter.count(1, at(1))
    assert goes(meter, at(1)) == {Lane.ALARMS, Lane.SCHEMAS, Lane.LIVE, Lane.CONTEXT}
    meter.count(500_000, at(2))
    assert goes(meter, at(23.9)) == {Lane.ALARMS, Lane.CONTEXT}
    assert "1000000 B of 1000000 B" in meter.held(Lane.LIVE, at(3))
    assert 0 < meter.wait_ms(Lane.LIVE, at(23.99)) <= HOUR_MS // 100
    assert goes(meter, at(24)) == set(Lane)
    assert (meter.day, meter.used_bytes) == (DAY + 1, 0)


def test_what_was_used_before_a_restart_counts() -> None:
    meter = Meter(Metered(1_000_000), day=DAY, used_bytes=1_000_000)
    assert goes(meter, at(12)) == {Lane.ALARMS}
    assert goes(Meter(Metered(1_000_000), day=DAY - 1, used_bytes=1_000_000), at(12)) == set(Lane)


@pytest.mark.parametrize(
    ("window", "hours"),
    [((60, 300), range(1, 5)), ((22 * 60, 300), [22, 23, 0, 1, 2, 3, 4]), ((0, 0), range(24))],
)
def test_bulk_goes_in_its_windows(window: tuple[int, int], hours: list[int]) -> None:
    meter = Meter(Metered(windows=(window,)))
    others = {Lane.ALARMS, Lane.SCHEMAS, Lane.LIVE, Lane.CONTEXT}
    for hour in range(24):
        assert goes(meter, at(hour)) == (set(Lane) if hour in hours else others)


def test_a_window_is_waited_for_in_steps() -> None:
    meter = Meter(Metered(windows=((60, 300), (720, 780))))
    assert meter.wait_ms(Lane.BACKLOG, at(11)) == RECHECK_MS
    assert meter.wait_ms(Lane.BACKLOG, at(12) - 5) == 5
    assert meter.held(Lane.BACKLOG, at(11)) == "outside its hours for another 60 min"


def test_a_clock_that_was_never_set_opens_no_window_and_ends_no_day() -> None:
    meter = Meter(Metered(1_000_000, windows=((0, 0),)), day=DAY, used_bytes=400_000)
    meter.count(100, 12_345)
    assert goes(meter, 12_345) == {Lane.ALARMS, Lane.SCHEMAS, Lane.LIVE, Lane.CONTEXT}
    assert (meter.day, meter.used_bytes) == (DAY, 400_100)


def test_a_clock_set_back_gives_no_second_allowance() -> None:
    meter = Meter(Metered(1_000_000))
    meter.count(1_000_000, at(1))
    assert goes(meter, at(-1)) == {Lane.ALARMS}
    assert goes(meter, at(1)) == set(Lane)
