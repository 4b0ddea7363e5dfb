"""Interrupting the demo at any moment leaves no process and no socket."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway_sim.runs.rundir import MARK, marked_pids

REPOSITORY = Path(__file__).resolve().parents[2]
LATEST_S = 25.0
"""Interrupts fall between the first import and the middle of the story."""


def interrupted_demo(run_id: str, number: signal.Signals, after_s: float) -> int:
    """Start a demo in a session of its own, signal it, and return its exit code."""
    with subprocess.Popen(
        [sys.executable, "-m", "gateway_sim.demo", "--once", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, MARK: run_id},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as demo:
        time.sleep(after_s)
        demo.send_signal(number)
        return demo.wait()


def assert_nothing_is_left(run_id: str) -> None:
    for _ in range(200):
        if not marked_pids(run_id):
            break
        time.sleep(0.05)
    assert marked_pids(run_id) == []
    run = REPOSITORY / ".run" / run_id
    assert [path for path in run.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)] == []


@pytest.mark.slow("interrupts")
@pytest.mark.timeout(1_800)
def test_twenty_interrupts_at_seeded_moments(seed: int) -> None:
    dice = random.Random(seed)
    for round_number in range(20):
        run_id = f"interrupt-{os.getpid()}-{round_number}"
        after_s = dice.uniform(0.2, LATEST_S)
        code = interrupted_demo(run_id, signal.SIGINT, after_s)
        assert code not in (0, 1), f"round {round_number}: the demo ended with {code} after {after_s:.1f} s"
        assert_nothing_is_left(run_id)


@pytest.mark.slow("interrupts")
@pytest.mark.timeout(300)
def test_one_sigkill(seed: int) -> None:
    run_id = f"sigkill-{os.getpid()}"
    code = interrupted_demo(run_id, signal.SIGKILL, random.Random(seed).uniform(8, LATEST_S))
    assert code == -signal.SIGKILL
    assert_nothing_is_left(run_id)
