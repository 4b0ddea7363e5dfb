"""The hub's store: what a sample costs to keep and to find, beside a row for each in SQLite."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from bench._loop_disk import loop_disk
from bench.form import Figure, Scenario, at_least, at_most, run

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Load:
    """1,000 series (bench/_samples.py), `hz` times a second for so many simulated seconds."""

    kind: str
    hz: int
    seconds: int


LOADS = {
    "1k": Load("walk", 1, 7_200),
    "50k": Load("walk", 50, 120),
    "1k_noisy": Load("noise", 1, 7_200),
    "rows": Load("rows", 1, 3_600),
}
"""`rows` is an hour, the longest that is asked for: its cost for a sample grows with the table."""

GOALS = {
    "1k": {
        "bytes_per_sample_kept": at_most(0.7),
        "bytes_per_sample_written": at_most(12),
        "query_one_series_hour_ms": at_most(2),
        "query_all_series_10min_ms": at_most(60),
        "times_cheaper_than_rows": at_least(20),
    },
    "50k": {"bytes_per_sample_written": at_most(4)},
}


def main(argv: Sequence[str]) -> int:
    """`./dev bench store [--json] [SCENARIO ...]`."""
    return run("store", argv, [Scenario(n, partial(_measured, n), GOALS.get(n, {})) for n in LOADS])


def _measured(name: str) -> Mapping[str, Figure]:
    found = dict(_run(name))
    if name == "1k":
        rows = float(_run("rows")["cpu_s_per_million"] or 0)
        found["times_cheaper_than_rows"] = round(rows / float(found["cpu_s_per_million"] or 1), 1)
    return found


@cache
def _run(name: str) -> Mapping[str, Figure]:
    """One load on a file system of its own."""
    load = LOADS[name]
    with loop_disk() as place:
        folder = place.folder / "state"
        folder.mkdir()
        before = place.written_bytes()
        words = [load.kind, str(load.hz), str(load.seconds), str(folder)]
        done = subprocess.run(
            [sys.executable, "-m", "bench._store_run", *words],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        after = place.written_bytes()
    measured = json.loads(done.stdout)
    samples = measured.pop("samples")
    found: dict[str, Figure] = {"simulated_s": load.seconds}
    found |= {key: float(f"{value:.4g}") for key, value in sorted(measured.items())}
    if before is None or after is None:
        found |= {"bytes_per_sample_written": None, "not_measured_because": place.reason}
    else:
        found["bytes_per_sample_written"] = round((after - before) / samples, 2)
    return found
