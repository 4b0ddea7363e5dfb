from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.alarm.config import parse_mapping as parse_alarms
from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.window.config import WindowsConfig
from headgate.window.config import parse_mapping as parse_windows
from headgate.window.definition import Definition
from tests.support import envelope_reader as reader

TABLE = (Series("meter-a/x", "V", "f64", 1),)
UTC_MS = 1_763_685_600_000


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    store = Store(StateRoot(tmp_path), "gw", 1)
    pipeline = Pipeline(store, "gw", WindowsConfig(), (), PipelineTuning())
    pipeline.recover(0)
    yield pipeline
    store.close()


def take(pipeline: Pipeline, seq: int, times: list[int], series: int = 0, **fields: Any) -> None:
    frames = [Frame(t, (series,), (t / 10,)) for t in times]
    given = {"dropped": 0, "clock": ClockState.SYNCED} | fields
    batch = Batch("modbus", 1, seq, 1, dictionary_hash(TABLE), "", UTC_MS, frames=frames, **given)
    (wire,) = encode(batch)
    pipeline.commit(Arrived([TABLE], [(batch, wire)]), boot_ms=times[0])


def sealed(pipeline: Pipeline, boot_ms: int) -> list[tuple[str, dict[str, Any]]]:
    found = pipeline.seal([], UTC_MS + boot_ms, boot_ms)
    return [(item.envelope.id.stream, reader.load(item.envelope.body)) for item in found]


def test_old_samples_go_by_the_backlog_and_fresh_ones_live(pipeline: Pipeline) -> None:
    take(pipeline, 1, [0, 100])
    take(pipeline, 2, [60_000])
    assert [(stream, body["kind"]) for stream, body in sealed(pipeline, 61_000)] == [
        ("live", "samples"),
        ("backlog", "samples"),
        ("backlog", "windows"),
    ]


def test_samples_of_each_clock_state_travel_apart(pipeline: Pipeline) -> None:
    take(pipeline, 1, [1], clock=ClockState.SYNCED)
    take(pipeline, 2, [2], clock=ClockState.HOLDOVER)
    assert [body["clock"] for _, body in sealed(pipeline, 100)] == ["synced", "holdover"]


def test_what_a_bridge_shed_is_reported_to_the_cloud(pipeline: Pipeline) -> None:
    take(pipeline, 1, [5, 9], dropped=12)
    stream, body = sealed(pipeline, 100)[0]
    assert (stream, body["kind"]) == ("reports", "report")
    assert body["report"] == {
        "type": "dropped",
        "series": "modbus/*",
        "from": UTC_MS + 5,
        "to": UTC_MS + 9,
        "count": 12,
        "why": "shed by the bridge",
    }
    assert sealed(pipeline, 200) == []


def test_a_batch_that_its_table_does_not_explain_is_reported_and_passed_over(pipeline: Pipeline) -> None:
    take(pipeline, 1, [5, 9], series=7)
    take(pipeline, 2, [10])
    found = sealed(pipeline, 100)
    assert [body["kind"] for _, body in found] == ["report", "samples"]
    assert found[0][1]["report"]["count"] == 2
    assert "series 7 of a dictionary of 1" in found[0][1]["report"]["why"]


def test_another_length_starts_where_the_former_ends(pipeline: Pipeline) -> None:
    take(pipeline, 1, [1_000, 12_000])
    pipeline.set_windows(WindowsConfig(Definition(15_000, 15_000)))
    take(pipeline, 2, [19_000, 21_000, 29_999, 31_000])
    take(pipeline, 3, [50_000])
    windows = [
        (start + i * window["length_ms"] - UTC_MS, window["length_ms"], window["n"])
        for _, body in sealed(pipeline, 51_000)
        if body["kind"] == "windows"
        for window in body["windows"]
        for start, count in window["start"]
        for i in range(count)
    ]
    assert sorted(windows) == [(0, 10_000, 1), (10_000, 10_000, 1), (30_000, 15_000, 1)]
    assert pipeline.counters.late == 3


def test_a_late_sample_has_its_window_sent_again(pipeline: Pipeline) -> None:
    take(pipeline, 1, [1_000, 12_000])
    sealed(pipeline, 12_500)
    take(pipeline, 2, [2_000, 12_600])
    windows = [body["windows"] for _, body in sealed(pipeline, 12_700) if body["kind"] == "windows"]
    ((window,),) = windows
    assert (window["start"], window["n"]) == ([[UTC_MS, 1]], 2)
    assert window["rev"] > 0
    assert (pipeline.counters.late, pipeline.counters.corrected, pipeline.counters.windows) == (1, 1, 1)


def test_an_alarm_is_urgent_and_comes_first(pipeline: Pipeline) -> None:
    pipeline.set_alarms(parse_alarms({"rules": [{"name": "high", "series": "*/x", "above": 100}]}))
    take(pipeline, 1, [900])
    assert not pipeline.urgent
    take(pipeline, 2, [1_100, 1_200])
    assert pipeline.urgent
    (stream, body), *_ = sealed(pipeline, 1_300)
    assert (stream, body["report"]["alarm"], body["report"]["t"]) == ("alarms", "high", UTC_MS + 1_100)
    assert not pipeline.urgent
    assert sealed(pipeline, 1_400) == []


def test_a_pattern_says_what_is_made_of_a_series(pipeline: Pipeline) -> None:
    given = {
        "length_s": 60,
        "series": [
            {
                "match": "meter-?/x",
                "length_s": 2,
                "step_s": 1,
                "counter": True,
                "percentiles": [50],
                "statistics": ["sum"],
            }
        ],
    }
    pipeline.set_windows(parse_windows(given))
    take(pipeline, 1, [0, 1_000, 1_500, 4_000])
    (found,) = [body["windows"] for _, body in sealed(pipeline, 5_000) if body["kind"] == "windows"]
    (window,) = found
    assert (window["start"], window["length_ms"], window["step_ms"]) == ([[UTC_MS - 1_000, 3]], 2_000, 1_000)
    row = window["rows"]["meter-a/x"][-1]
    asked = (row["n"][1], row["sum"][1], row["inc"][1], row["rate"][1], row["p"]["50"][1])
    assert asked == (3, 250.0, 150.0, 100.0, 100.0)


def test_nothing_new_costs_no_transaction(pipeline: Pipeline) -> None:
    take(pipeline, 1, [1])
    assert sealed(pipeline, 100)
    end = pipeline.store.progress
    assert sealed(pipeline, 200) == []
    assert pipeline.store.progress == end
