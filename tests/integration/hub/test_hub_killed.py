"""A hub under load is killed with -9 at random moments: nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support import envelope_reader as reader
from tests.support.hub_process import FRAMES, TABLE

REPO = Path(__file__).resolve().parents[3]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.support.hub_process", str(folder)], cwd=REPO)


def kill_and_check(folder: Path, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    for _ in range(kills):
        process = start(folder)
        try:
            accepted = folder / "accepted"
            before = accepted.stat().st_size if accepted.exists() else 0
            while not accepted.exists() or accepted.stat().st_size <= before:
                assert process.poll() is None, "the hub ended by itself"
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.4))
        finally:
            process.kill()
            process.wait()
    (folder / "drain").touch()
    assert start(folder).wait(60) == 0
    check(folder)


def check(folder: Path) -> None:
    bodies: dict[tuple[str, str, int], bytes] = {}
    for body in (folder / "received").read_bytes().splitlines():
        head = reader.load(body)
        assert bodies.setdefault((head["stream"], head["epoch"], head["seq"]), body) == body
    found = Counter((s.series, s.t_ms, s.value) for body in bodies.values() for s in reader.samples(body))
    assert max(found.values()) == 1, "doubled"
    per_value = Counter((series, value) for series, _, value in found)
    accepted = {float(line) for line in (folder / "accepted").read_text().split()}
    assert len(accepted) > 20
    missing = [v for v in accepted for s in TABLE if per_value[s.name, v] != FRAMES]
    assert not missing, "acknowledged to the bridge and lost"
    windows = Counter(
        (w.series, w.start_ms, w.revision) for body in bodies.values() for w in reader.windows(body)
    )
    assert not windows or max(windows.values()) == 1


def test_killed_under_load(tmp_path: Path, seed: int) -> None:
    kill_and_check(tmp_path, seed, 4)


@pytest.mark.slow("hub")
@pytest.mark.timeout(900)
def test_killed_under_load_many_times(tmp_path: Path, seed: int) -> None:
    kill_and_check(tmp_path, seed, 60)
