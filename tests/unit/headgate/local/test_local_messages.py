from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from headgate.errors import Reject
from headgate.local import messages
from headgate.local.config import LocalConfig, parse_mapping
from headgate.local.messages import Sample
from headgate.model import AlarmEvent, ClockState, Quality, Series, Window, WindowRow

SCHEMA = json.loads((Path(__file__).resolve().parents[4] / "schemas/local.v1.json").read_text("utf-8"))
CHECK = Draft202012Validator(SCHEMA)
X, Y = Series("meter-a/x", "V", "f64", 1), Series("meter-b/y", "°C")


def read(found: list[messages.Message]) -> list[tuple[str, dict[str, object]]]:
    for _, payload in found:
        assert len(payload) <= messages.LIMIT_BYTES
        CHECK.validate(json.loads(payload))
    return [(topic, json.loads(payload)) for topic, payload in found]


def test_each_device_has_a_message_of_its_newest_values() -> None:
    found = read(
        messages.live(
            [
                Sample(X, 1, 230.4, 0),
                Sample(Y, 2, None, Quality.BAD_COMM, ClockState.UNSYNCED),
                Sample(Series("meter-a/on", kind="bool"), 3, True, 1),
                Sample(Series("meter-a/nan"), 3, float("nan"), 0),
            ]
        )
    )
    assert found[0] == (
        "hg/v1/local/live/meter-a",
        {
            "v": 1,
            "device": "meter-a",
            "clock": "synced",
            "values": {
                "x": {"value": 230.4, "t": 1, "quality": "good", "unit": "V"},
                "on": {"value": 1, "t": 3, "quality": "uncertain", "unit": ""},
                "nan": {"value": "NaN", "t": 3, "quality": "good", "unit": ""},
            },
        },
    )
    assert found[1][1]["clock"] == "unsynced"
    assert found[1][1]["values"] == {"y": {"value": None, "t": 2, "quality": "bad_comm", "unit": "°C"}}


def test_a_device_with_many_series_has_several_messages() -> None:
    samples = [Sample(Series(f"m/{'t' * 60}{i:03}"), i, i / 3, 0) for i in range(500)]
    found = read(messages.live(samples))
    assert len(found) > 5
    values = [tag for _, message in found for tag in message["values"]]  # type: ignore[attr-defined]  # JSON
    assert values == [sample.series.name.partition("/")[2] for sample in samples]


def test_windows_and_events_are_as_the_cloud_has_them() -> None:
    row = WindowRow(3, 1.0, 2.0, 1.5, 0.1, 1.0, 2.0, quality=0.5)
    window = Window(1000, 500, ClockState.SYNCED, {X: row, Y: row}, revision=2)
    ((topic, message),) = read(messages.windows([window], lambda name: name == X.name))
    assert topic == "hg/v1/local/windows/meter-a"
    assert message["rev"] == 2
    assert message["rows"] == {
        "x": {"u": "V", "d": 1, "r": 1, "n": 3, "min": 1.0, "max": 2.0, "mean": 1.5, "std": 0.1, "first": 1.0,
              "last": 2.0, "good": 0.5}
    }  # fmt: skip
    event = AlarmEvent("hot", X, "raised", "warning", "above", 10, 5, 11.5)
    ((topic, message),) = read([messages.alarm(event)])
    assert (topic, message["alarm"], message["value"]) == ("hg/v1/local/alarms", "hot", 11.5)


def test_nothing_is_published_unless_it_is_asked_for() -> None:
    assert parse_mapping({}) == LocalConfig()
    found = parse_mapping(
        {"live": {"series": ["a/*", "b/x"], "interval_s": 5}, "windows": {"series": "*/*"}, "alarms": True}
    )
    assert (found.interval_ms, len(found.live), len(found.windows), found.alarms) == (5_000, 2, 1, True)
    with pytest.raises(Reject) as refused:
        parse_mapping({"live": {"interval_s": 0}, "windows": {"series": "x", "n": 1}, "alarm": True})
    faults = {problem.path for problem in refused.value.problems}
    assert faults == {"live.series", "live.interval_s", "windows.series", "windows.n", "alarm"}
