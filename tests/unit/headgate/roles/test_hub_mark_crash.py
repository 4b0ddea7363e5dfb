"""The hub dies at every single step around its bridge's deaths; each of these is marked exactly once."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from headgate.model import Quality
from tests.support import envelope_reader as reader
from tests.support import mark_crash
from tests.support.hub_crash import EXIT_CRASHED, Record, count_steps, crash_at, in_child


def check(record: Record, starts: int) -> None:
    bodies: dict[tuple[str, int, int], str] = {}
    for stream, epoch, seq, body in record.all("published") + record.all("kept"):
        assert bodies.setdefault((stream, epoch, seq), body) == body, "one id, two contents"
    samples = [s for body in bodies.values() for s in reader.samples(body.encode())]
    marks = [s for s in samples if s.quality == Quality.BAD_COMM]
    assert all(s.value is None for s in marks)
    rest = Counter((s.series, s.t_ms - mark_crash.START_MS) for s in samples if s not in marks)
    names = [series.name for series in mark_crash.TABLE]
    assert rest == Counter((name, t_ms) for name in names for t_ms in mark_crash.TIMES_MS.values())
    for death, at_ms in mark_crash.DEATH_MS.items():
        times = range(mark_crash.START_MS + at_ms, mark_crash.START_MS + at_ms + starts + 1)
        found = Counter(s.series for s in marks if s.t_ms in times)
        assert found == Counter(name for i, name in enumerate(names) if i != mark_crash.BAD[death])
    assert len(marks) == 2 * (len(names) - 1)


def crash_and_check(path: Path, steps: list[int]) -> None:
    root, record = path / "root", Record(path / "record")
    for epoch, step in enumerate(steps, start=1):
        assert crash_at(step, root, record, epoch, mark_crash.run_hub) in (0, EXIT_CRASHED)
    last = len(steps) + 1
    assert in_child(lambda: mark_crash.run_hub(root, record, last)) == 0
    check(record, last)


def count(path: Path) -> int:
    record = Record(path / "record-undisturbed")
    steps = count_steps(path / "undisturbed", record, mark_crash.run_hub)
    check(record, 1)
    return steps


def test_killed_at_any_step_each_death_is_marked_once(tmp_path: Path, seed: int) -> None:
    steps = count(tmp_path)
    assert steps > 100
    rng = random.Random(seed)
    for n in range(30):
        (tmp_path / str(n)).mkdir()
        crash_and_check(tmp_path / str(n), rng.sample(range(1, steps + 1), 1 + n % 3))


@pytest.mark.slow("hub")
@pytest.mark.timeout(1800)
def test_killed_at_every_step_each_death_is_marked_once(tmp_path: Path) -> None:
    for step in range(1, count(tmp_path) + 1):
        (tmp_path / str(step)).mkdir()
        crash_and_check(tmp_path / str(step), [step])
        (tmp_path / f"twice-{step}").mkdir()
        crash_and_check(tmp_path / f"twice-{step}", [step, step])
