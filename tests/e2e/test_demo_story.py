"""The demo on both nuclei: the product against records that it did not write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_sim.runs.rundir import MARK, marked_pids

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = [
    "start",
    "telemetry",
    "windows",
    "job_read",
    "direct_read",
    "written",
    "broker_reset",
    "history",
    "file_fetched",
    "refused",
    "broker_silence",
    "hub_killed",
    "nucleus_restarted",
]
COMPONENTS = {"headgate.Hub", "headgate.ModbusBridge", "headgate.BleBridge", "headgate.FileCourier"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("shape", ["classic", "lite", "all-in-one"])
def test_the_story_holds(shape: str) -> None:
    run_id = f"test-{shape}-{os.getpid()}"
    alone = shape == "all-in-one"
    profile = "classic" if alone else shape
    more = ["--all-in-one"] if alone else []
    told = subprocess.run(
        [sys.executable, "-m", "gateway_sim.demo", "--once", "--json", "--profile", profile, *more],
        cwd=REPOSITORY,
        env={**os.environ, MARK: run_id},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.count("\n") == 1, told.stdout + told.stderr
    report = json.loads(told.stdout)
    assert [step["name"] for step in report["steps"]] == STEPS, report["steps"]
    assert all(step["ok"] for step in report["steps"]), report["steps"]
    assert report["ok"] is True
    assert report["profile"] == profile
    assert report["samples"]["served"] == report["samples"]["arrived"] > 50_000
    assert report["samples"]["lost"] == report["samples"]["doubled"] == 0
    for bus, least in (("modbus", 50_000), ("ble", 500)):
        part = report["samples"][bus]
        assert part["served"] == part["arrived"] > least
        assert part["lost"] == part["doubled"] == 0
    # Two kills, and at each no more than a process may have read and not written (UNWRITTEN_MS).
    assert 0 <= report["samples"]["unwritten"] <= (2 * 2.2 * 2_300 if alone else 0)
    assert set(report["pss_mb"]) == ({"headgate.AllInOne"} if alone else COMPONENTS)
    assert told.returncode == 0
    assert marked_pids(run_id) == []
