"""Sending a file: throughput, CPU against plain http.client, memory; and the latency of a direct read."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench import reading
from bench.form import Figure, Scenario, at_most, run
from headgate.files.config import DEFAULT_PART_BYTES

ROOT = Path(__file__).resolve().parents[1]
MIB = 1024**2
GOALS = {"cpu_ratio": at_most(1.25), "rss_mb": at_most(45)}

Costs = dict[str, float]
"""`cpu_s`, `seconds`, `rss_mb` of one process."""


def main(argv: Sequence[str]) -> int:
    """`./dev bench files [--json] [SCENARIO ...]`."""
    return run(
        "files",
        argv,
        [
            Scenario("64MiB", lambda: _upload(64 * MIB, times=7), GOALS),
            Scenario("1GiB", lambda: _upload(1024 * MIB, times=3), GOALS),
            reading.scenario(),
        ],
    )


def _upload(size_bytes: int, *, times: int) -> Mapping[str, Figure]:
    """The same file, sent by turns by the courier and by plain http.client; medians of each."""
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as name, _server() as port:
        folder = Path(name)
        (folder / "files").mkdir()
        file = folder / "files" / "one.bin"
        _fill(file, size_bytes)
        plain: list[Costs] = []
        courier: list[Costs] = []
        for turn in range(times):
            plain.append(_costs("bench._files_plain", file, port, DEFAULT_PART_BYTES))
            state = folder / f"state-{turn}"
            courier.append(_costs("bench._files_courier", file.parent, file.name, port, state))
    seconds, cpu_s, rss_mb = (_median(courier, key) for key in ("seconds", "cpu_s", "rss_mb"))
    plain_seconds, plain_cpu_s = (_median(plain, key) for key in ("seconds", "cpu_s"))
    return {
        "mb_per_s": round(size_bytes / seconds / 1e6, 1),
        "cpu_ratio": round(cpu_s / plain_cpu_s, 3),
        "rss_mb": round(rss_mb, 1),
        "cpu_s": round(cpu_s, 3),
        "plain_mb_per_s": round(size_bytes / plain_seconds / 1e6, 1),
        "plain_cpu_s": round(plain_cpu_s, 3),
        "plain_rss_mb": round(_median(plain, "rss_mb"), 1),
    }


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """The port of a server in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench._files_server"], cwd=ROOT, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _costs(module: str, *arguments: object) -> Costs:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    found: Costs = json.loads(done.stdout)
    return found


def _median(costs: Sequence[Costs], key: str) -> float:
    return statistics.median(cost[key] for cost in costs)


def _fill(path: Path, size_bytes: int) -> None:
    """Random bytes, in the page cache afterwards: what is measured is not this machine's disk."""
    with path.open("wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        os.fsync(file.fileno())
