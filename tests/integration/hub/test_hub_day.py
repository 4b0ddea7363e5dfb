"""A hub lives through a day, midnight included: it keeps its memory and its handles, and loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
WARM_HOURS = 8
"""Then the file of the second day is open, too."""
RSS_SLACK_KB = 4_096


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be: a day has 86,400 syncs."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(prefix="hg-day-", dir=parent) as path:
        yield Path(path)


def live(folder: Path, hours: int) -> list[dict[str, int]]:
    """A row for each hour, and the last one after everything was sent."""
    command = [sys.executable, "-m", "tests.support.hub_day", str(folder), str(hours)]
    done = subprocess.run(command, cwd=REPO, stdout=subprocess.PIPE, text=True, check=True)
    rows: list[dict[str, int]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == hours + 1
    return rows


@pytest.mark.slow("day")
@pytest.mark.timeout(3_600)
def test_a_day_keeps_memory_and_handles_flat(folder: Path) -> None:
    rows = live(folder, 24)
    day, end = rows[:-1], rows[-1]
    early, late = day[WARM_HOURS // 2 : WARM_HOURS], day[-WARM_HOURS:]
    print(f"RSS {[row['rss_kb'] // 1024 for row in day]} MB, handles {[row['fds'] for row in day]}")
    for name in ("fds", "threads", "tasks"):
        assert max(row[name] for row in late) <= max(row[name] for row in early), name
    assert max(row["rss_kb"] for row in late) <= max(row["rss_kb"] for row in early) + RSS_SLACK_KB
    assert (end["fewest"], end["most"]) == (end["sent"], end["sent"])
    assert end["windows"] > 0
