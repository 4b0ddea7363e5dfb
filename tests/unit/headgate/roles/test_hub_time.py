from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from headgate.alarm.config import parse_mapping as parse_alarms
from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline
from headgate.store.store import Store
from headgate.timeline import Reading
from headgate.window.config import WindowsConfig
from headgate_cloud.decoder import decode as decode_envelope
from tests.support import envelope_reader as reader

TABLE = (Series("meter-a/x", "V", "f64", 1),)
UTC_MS = 1_763_685_600_000
YEAR_MS = 365 * 24 * 3_600_000


class Machine:
    """A pipeline on a machine whose clock is set by hand; boottime is what `at` says."""

    def __init__(self, root: Path) -> None:
        self.offset_ms, self.clock, self.at, self.seq = 0, ClockState.UNSYNCED, 0, 0
        self.store = Store(StateRoot(root), "gw", 1)
        self.pipeline = Pipeline(self.store, "gw", WindowsConfig(), read_clock=self.read)
        self.pipeline.recover(0)

    def read(self) -> Reading:
        return Reading("a", self.at, self.at + self.offset_ms, self.clock)

    def sync(self, offset_ms: int = UTC_MS) -> None:
        self.offset_ms, self.clock = offset_ms, ClockState.SYNCED

    def take(self, *times: int, offset_ms: int | None = None) -> None:
        self.at = max(self.at, *times)
        self.seq += 1
        frames = [Frame(t, (0,), (t / 10,)) for t in times]
        key = dictionary_hash(TABLE)
        given = self.offset_ms if offset_ms is None else offset_ms
        batch = Batch("modbus", 1, self.seq, 1, key, "a", given, self.clock, 0, frames)
        (wire,) = encode(batch)
        self.pipeline.commit(Arrived([TABLE], [(batch, wire)]), self.at)

    def seal(self) -> list[dict[str, Any]]:
        found = self.pipeline.seal([], self.at + self.offset_ms, self.at)
        return [reader.load(item.envelope.body) for item in found]

    def windows(self) -> list[tuple[int, int, int]]:
        return [
            (window.start_ms - UTC_MS, window.n, window.revision)
            for body in self.seal()
            for window in reader.windows(json.dumps(body).encode())
        ]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.store.close()


def test_nothing_is_sent_until_the_clock_is_set(machine: Machine) -> None:
    machine.take(1_000)
    machine.take(2_000)
    assert machine.seal() == []
    machine.sync()
    bodies = machine.seal()
    assert [body["kind"] for body in bodies] == ["report", "samples"]
    assert bodies[0]["report"] == {
        "type": "time_known",
        "boot": "a",
        "from": UTC_MS + 1_000,
        "to": UTC_MS + 2_000,
        "batches": 2,
    }
    assert bodies[1]["clock"] == "synced"
    assert bodies[1]["times"] == [[UTC_MS + 1_000, 1_000]]
    assert machine.store.progress.replay == machine.store.progress.blocks  # nothing waits any more


def test_an_alarm_needs_no_clock(machine: Machine) -> None:
    machine.pipeline.set_alarms(parse_alarms({"rules": [{"name": "high", "series": "*/x", "above": 100}]}))
    machine.take(1_100)
    assert machine.pipeline.urgent
    (body,) = machine.seal()
    assert (body["stream"], body["clock"], body["report"]["t"]) == ("alarms", "unsynced", 1_100)
    machine.sync()
    told = [(b["clock"], b["report"]["t"]) for b in machine.seal() if b["stream"] == "alarms"]
    assert told == [("synced", UTC_MS + 1_100)]


def test_a_step_is_reported(machine: Machine) -> None:
    machine.sync()
    machine.take(1_000)
    machine.seal()
    machine.sync(UTC_MS + 5_000)
    machine.take(2_000)
    (report,) = [body["report"] for body in machine.seal() if body["kind"] == "report"]
    assert report == {
        "type": "clock_step",
        "from_offset_ms": UTC_MS,
        "to_offset_ms": UTC_MS + 5_000,
        "at": UTC_MS + 7_000,
    }


def test_windows_go_on_after_a_clock_that_was_a_year_ahead(machine: Machine) -> None:
    machine.sync()
    machine.take(1_000, 2_000)
    machine.sync(UTC_MS + YEAR_MS)
    machine.take(12_000, 23_000)
    assert (0, 2, 0) in machine.windows()
    machine.sync()
    machine.take(31_000, 32_000)
    machine.take(41_000, 43_000)
    machine.take(52_000)
    found = machine.windows()
    assert (40_000, 2, 0) in found
    assert not [window for window in found if window[0] > YEAR_MS and window[2]]


def test_a_sample_from_the_future_moves_no_window(machine: Machine) -> None:
    machine.sync()
    machine.take(1_000, 2_000)
    machine.take(3_000, offset_ms=UTC_MS + YEAR_MS)
    machine.take(4_000, 12_000)
    bodies = machine.seal()
    (report,) = [body["report"] for body in bodies if body["kind"] == "report"]
    assert (report["type"], report["why"]) == ("time_uncertain", "its clock is ahead of the gateway's")
    doubted = [body for body in bodies if body["clock"] == "unsynced"]
    assert [body["times"] for body in doubted] == [[[UTC_MS + 3_000]]]
    starts = [window["start"] for body in bodies for window in body.get("windows", [])]
    assert starts == [[[UTC_MS, 1]]]
    assert machine.store.days() == [UTC_MS // 86_400_000]


def test_reports_of_time_fit_the_schema(machine: Machine) -> None:
    folder = Path(__file__).resolve().parents[4] / "schemas"
    schemas = {v: json.loads((folder / f"envelope.v{v}.json").read_text("utf-8")) for v in (1, 2)}
    machine.take(1_000)
    machine.sync()
    bodies = machine.seal()
    machine.sync(UTC_MS - 9_000)
    machine.take(2_000, offset_ms=UTC_MS + YEAR_MS)
    bodies += machine.seal()
    told = [body["report"]["type"] for body in bodies if body["kind"] == "report"]
    assert sorted(told) == ["clock_step", "time_known", "time_uncertain"]
    for body in bodies:
        jsonschema.validate(body, schemas[body["v"]])
        decode_envelope(json.dumps(body).encode())


def test_days_without_a_clock_hold_a_day_of_the_journal(machine: Machine) -> None:
    hour_ms = 3_600_000
    machine.take(1_000)
    for hour in range(1, 24):
        machine.take(hour * hour_ms)
        assert machine.seal() == []
    sent, packed = [], [machine.store.progress.packed]
    for hour in range(24, 72):
        machine.take(hour * hour_ms)
        machine.take(hour * hour_ms + 1)
        sent += machine.seal()
        packed.append(machine.store.progress.packed)
    assert machine.store.progress.replay >= packed[-3] > packed[0]
    assert {body["clock"] for body in sent} == {"unsynced"}
    samples = [s for body in sent for s in reader.samples(json.dumps(body).encode())]
    assert len(samples) == 24 + 2 * 48
    assert {sample.quality for sample in samples} == {1}
    assert min(sample.t_ms for sample in samples) >= 1_735_689_600_000
