"""The hub dies at every single step around alarms: each event, and its context, is told exactly once."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from headgate_cloud.decoder import decode
from tests.support import alarm_crash
from tests.support.hub_crash import EXIT_CRASHED, Record, count_steps, crash_at, in_child

S = alarm_crash.START_MS
EVENTS = Counter(
    [
        ("high", "raised", S + 4_000, 11.4),
        ("high", "cleared", S + 6_000, 5.0),
        ("high", "raised", S + 8_000, 11.8),
        ("high", "cleared", S + 13_000, 5.0),
        ("held", "raised", S + 11_500, None),  # by time, or by the next sample when the hub was down then
        ("held", "cleared", S + 13_000, 5.0),
        ("rise", "raised", S + 7_000, 4.0),
        ("rise", "cleared", S + 9_000, -4.0),
        ("silent", "raised", S + 7_500, None),
        ("silent", "cleared", S + 9_000, 9.0),
        ("silent", "raised", S + 14_500, None),
        ("silent", "cleared", S + 16_000, 16.0),
    ]
)
AROUND = {("high", S + 4_000), ("high", S + 8_000), ("rise", S + 7_000)}


def check(record: Record) -> None:
    bodies: dict[tuple[str, int, int], str] = {}
    for stream, epoch, seq, body in record.all("published") + record.all("kept"):
        assert bodies.setdefault((stream, epoch, seq), body) == body, "one id, two contents"
    alarms = [json.loads(body) for (stream, _, _), body in bodies.items() if stream == "alarms"]
    events = [each["report"] for each in alarms if each["kind"] == "report"]
    for event in events:
        if (event["alarm"], event["state"]) == ("held", "raised"):
            assert event.pop("value") in (12.1, 12.2)
    assert Counter((e["alarm"], e["state"], e["t"], e.get("value")) for e in events) == EVENTS
    around = [decode(body.encode()) for body in bodies.values() if '"context":' in body]
    marks = [each.context for each in around if each.context is not None]
    assert Counter((mark.alarm, mark.t_ms) for mark in marks) == dict.fromkeys(AROUND, 1)
    for each, mark in zip(around, marks, strict=True):
        found = {(column.series, t_ms) for column in each.columns for t_ms in column.times_ms}
        before_ms, after_ms = (2_000, 2_000) if mark.alarm == "high" else (10_000, 3_000)
        low_ms, high_ms = mark.t_ms - before_ms, mark.t_ms + after_ms
        names = ["engine/t0", "engine/t1", "engine/t2"] if mark.alarm == "high" else ["engine/t1"]
        samples = {
            (alarm_crash.TABLE[i].name, S + frame.boot_ms)
            for seq in range(1, alarm_crash.BATCHES + 1)
            for frame in alarm_crash.batch(seq).frames
            for i in frame.series
        }
        assert found == {(n, t) for n, t in samples if n in names and low_ms <= t <= high_ms}


def crash_and_check(path: Path, steps: list[int]) -> None:
    root, record = path / "root", Record(path / "record")
    for epoch, step in enumerate(steps, start=1):
        assert crash_at(step, root, record, epoch, alarm_crash.run_hub) in (0, EXIT_CRASHED)
    assert in_child(lambda: alarm_crash.run_hub(root, record, len(steps) + 1)) == 0
    check(record)


def count(path: Path) -> int:
    record = Record(path / "record-undisturbed")
    steps = count_steps(path / "undisturbed", record, alarm_crash.run_hub)
    check(record)
    return steps


def test_killed_at_any_step_each_event_is_told_once(tmp_path: Path, seed: int) -> None:
    steps = count(tmp_path)
    assert steps > 100
    rng = random.Random(seed)
    for n in range(30):
        (tmp_path / str(n)).mkdir()
        crash_and_check(tmp_path / str(n), rng.sample(range(1, steps + 1), 1 + n % 3))


@pytest.mark.slow("hub")
@pytest.mark.timeout(1800)
def test_killed_at_every_step_each_event_is_told_once(tmp_path: Path) -> None:
    for step in range(1, count(tmp_path) + 1):
        (tmp_path / str(step)).mkdir()
        crash_and_check(tmp_path / str(step), [step])
        (tmp_path / f"twice-{step}").mkdir()
        crash_and_check(tmp_path / f"twice-{step}", [step, step])
