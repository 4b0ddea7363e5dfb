from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.alarm.config import AlarmsConfig, Capture, Context, parse_mapping
from headgate.alarm.watch import Key, Saved, Watch
from headgate.columns import Columns
from headgate.config.pattern import Pattern
from headgate.errors import Reject
from headgate.model import AlarmEvent, Series

A, B = Series("meter-a/x", "V"), Series("meter-b/x", "V")


def rules(*given: dict[str, Any]) -> AlarmsConfig:
    return parse_mapping({"rules": [{"series": "*/x", **each} for each in given]})


HIGH = {"name": "high", "above": 10}


def feed(watch: Watch, position: int, series: Series, *samples: tuple[int, float]) -> list[AlarmEvent]:
    times, values = [t for t, _ in samples], [value for _, value in samples]
    return watch.samples([Columns((series,), times, [values], [None])], position)


def saved(watch: Watch, position: int, *, replay: int | None = None) -> dict[Key, Saved]:
    rows = watch.unsaved(position, position if replay is None else replay)
    watch.were_saved(rows)
    return {key: row for key, row in rows.items() if row is not None}


def told(events: list[AlarmEvent]) -> list[tuple[str, str, int]]:
    return [(event.alarm, event.state, event.t_ms) for event in events]


def test_what_is_raised_is_not_raised_again_after_a_restart() -> None:
    watch = Watch(rules(HIGH))
    assert told(feed(watch, 0, A, (1, 11))) == [("high", "raised", 1)]
    rows = saved(watch, 1, replay=0)
    again = Watch(rules(HIGH), rows)
    assert feed(again, 0, A, (1, 5)) == []  # replayed: it has that in it
    assert feed(again, 1, A, (2, 12)) == []
    assert told(feed(again, 2, A, (3, 5))) == [("high", "cleared", 3)]
    assert saved(again, 3, replay=0).keys() == rows.keys()
    assert again.unsaved(4, 0) == {}


def test_silence_is_noticed_although_the_hub_was_started_meanwhile() -> None:
    config = rules({"name": "silent", "stale_s": 10})
    watch = Watch(config)
    feed(watch, 0, A, (1_000, 1))
    assert watch.unsaved(1, 0) == {}
    again = Watch(config, saved(watch, 1))
    assert told(again.tick(60_000)) == [("silent", "raised", 11_000)]
    assert Watch(config, saved(again, 1, replay=0)).tick(70_000) == []


def test_another_configuration_keeps_what_did_not_change() -> None:
    low = {"name": "low", "below": 5, "hold_s": 1}
    watch = Watch(rules(HIGH, low))
    feed(watch, 0, A, (1, 11))
    feed(watch, 1, B, (1, 1))
    rows = saved(watch, 2)
    watch.change(rules({**HIGH, "severity": "critical", "context": {}}, {**low, "below": 6}))
    assert feed(watch, 2, A, (2, 12)) == []
    assert told(feed(watch, 3, B, (1_500, 1))) == []  # another limit: held since now
    assert told(feed(watch, 4, A, (3, 7))) == [("high", "cleared", 3)]
    watch.change(rules(HIGH))
    gone = {key for key, row in watch.unsaved(5, 0).items() if row is None}
    assert gone == {key for key in rows if key[0] == "low"}


def test_devices_that_are_gone_and_new_revisions() -> None:
    watch = Watch(rules(HIGH, {"name": "silent", "stale_s": 10}))
    feed(watch, 0, A, (1_000, 11))
    feed(watch, 1, B, (1_000, 11))
    watch.forget({"meter-b"})
    newer = replace(A, unit="mV", revision=2)
    assert feed(watch, 2, newer, (2_000, 12)) == []  # raised as it was
    assert told(watch.tick(60_000)) == [("silent", "raised", 12_000)]
    assert {series for _, series in saved(watch, 3)} == {"meter-a/x"}


def test_a_damaged_state_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(rules(HIGH), {("high", "meter-a/x"): (5, "[1, 2"), ("high", "meter-b/x"): (5, "[]")})
    assert told(feed(watch, 6, A, (1, 11))) == [("high", "raised", 1)]
    assert caplog.text.count("begins anew") == 2
    assert watch.unsaved(7, 0)["high", "meter-b/x"] is None


SAMPLES = st.lists(st.tuples(st.integers(0, 9_000), st.integers(-5, 25), st.booleans()), max_size=40)


@given(SAMPLES, st.integers(0, 40), st.integers(0, 40))
def test_a_restart_anywhere_tells_what_would_have_been_told(
    samples: list[tuple[int, int, bool]], at: int, back: int
) -> None:
    config = rules(
        HIGH,
        {"name": "held", "above": 10, "hysteresis": 3, "hold_s": 1.5},
        {"name": "rise", "rise_per_s": 5, "over_s": 1},
    )
    whole, first = Watch(config), Watch(config)
    expected = [event for i, (t, value, _) in enumerate(samples) for event in feed(whole, i, A, (t, value))]
    found: list[AlarmEvent] = []
    rows: dict[Key, Saved] = {}
    replay = 0
    for i, (t, value, further) in enumerate(samples[:at]):
        found += feed(first, i, A, (t, value))
        replay = max(replay, i + 1 - back) if further else replay
        rows |= saved(first, i + 1, replay=replay)
    again = Watch(config, rows)
    for i, (t, value, _) in enumerate(samples[replay:], start=replay):
        events = feed(again, i, A, (t, value))
        found += events if i >= at else []
    assert found == expected


def test_context_and_capture_are_read() -> None:
    given = {**HIGH, "context": {"before_s": 2.5, "series": "a/*"}, "capture": {"source": "cam", "newest": 3}}
    (alarm,) = rules(given)
    assert alarm.context == Context(2_500, 10_000, (Pattern("a/*"),))
    assert alarm.capture == Capture("cam", 3)
    with pytest.raises(Reject) as refused:
        rules({**HIGH, "context": {"before_s": -1, "after": 1}, "capture": {"newest": 0}})
    faults = {problem.path for problem in refused.value.problems}
    assert faults == {
        "rules[0].context.before_s", "rules[0].context.after", "rules[0].capture.source",
        "rules[0].capture.newest",
    }  # fmt: skip
