"""The hub is killed at each of its steps while batches wait for the clock and get their time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import envelope_reader as reader
from tests.support.hub_crash import EXIT_CRASHED, Record, count_steps, crash_at
from tests.support.time_crash import BATCHES, START_MS, SYNCED_FROM, run_hub


def check(record: Record) -> None:
    bodies = [text.encode() for text in sorted(set(record.all("kept")))]  # the first run may have ended
    samples = sorted((s.value, s.t_ms - START_MS, s.quality) for body in bodies for s in reader.samples(body))
    assert samples == [(seq, seq * 400, 0) for seq in range(1, BATCHES + 1)]
    rows = reader.newest_windows(window for body in bodies for window in reader.windows(body))
    expected: dict[int, list[int]] = {}
    for seq in range(1, BATCHES + 1):
        expected.setdefault(seq * 400 // 1_000 * 1_000, []).append(seq)
    found = {row.start_ms - START_MS: (row.n, row.first, row.last) for row in rows}
    assert found == {start: (len(seqs), seqs[0], seqs[-1]) for start, seqs in expected.items()}
    told = [report for body in bodies if (report := json.loads(body).get("report"))]
    assert [report["type"] for report in told] == ["time_known"]
    assert told[0]["batches"] in (SYNCED_FROM - 1, SYNCED_FROM)  # the first of known time waits behind them
    columns = record.all("query")[-1]
    assert [value for column in columns for value in column] == list(range(1, BATCHES + 1))


def kill_at_every(root: Path, stride: int) -> None:
    steps = count_steps(root / "whole", Record(root / "whole.record"), run_hub)
    check(Record(root / "whole.record"))
    assert steps > 100
    for step in range(1, steps + 1, stride):
        record = Record(root / f"{step}.record")
        assert crash_at(step, root / str(step), record, 1, run_hub) == EXIT_CRASHED
        assert crash_at(10**9, root / str(step), record, 2, run_hub) == 0
        check(record)


def test_killed_while_the_clock_is_set(tmp_path: Path) -> None:
    kill_at_every(tmp_path, 17)


@pytest.mark.slow("time")
@pytest.mark.timeout(1_200)
def test_killed_at_any_step_while_the_clock_is_set(tmp_path: Path) -> None:
    kill_at_every(tmp_path, 1)
