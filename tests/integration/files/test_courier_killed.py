"""The courier is killed with -9 at random moments: a new process goes on from its folder alone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.courier_cloud import Cloud
from tests.support.courier_world import PART_BYTES, accept, composite_of, site

REPO = Path(__file__).resolve().parents[3]
PARTS_A_KILL = 4


def start(cloud: Cloud, thing: str, root: Path, *wanted: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.courier_process", str(cloud.directory / "cloud.json")]
    return subprocess.Popen([*command, thing, str(root), *wanted], cwd=REPO)


def kill_and_check(cloud: Cloud, folder: Path, seed: int, kills: int) -> None:
    """Kill at moments of every kind: while it hashes, asks, fetches the list, sends, waits for the end."""
    rng = random.Random(seed)
    parts = PARTS_A_KILL * (kills + 1)
    data = rng.randbytes(parts * PART_BYTES - 1_000)
    root, thing = folder / "state", cloud.thing()
    (folder / "logs").mkdir()
    (folder / "logs" / "one.bin").write_bytes(data)
    accept(root, site({"logs": folder / "logs"}))
    again = cloud.again()
    records = root / "spool" / "courier"
    wanted: tuple[str, ...] = ("logs", "one.bin")
    killed = 0
    while not (root / "ended.json").exists():
        process = start(cloud, thing, root, *wanted)
        try:
            if killed < kills:
                wait_for_progress(process, records, rng.choice(["want", "plan", "upload", "part", "part"]))
                time.sleep(rng.uniform(0, 0.05))
                process.kill()
                killed += 1
            assert process.wait(90) in (0, -9)
        finally:
            process.kill()
            process.wait()
        wanted = () if list(records.glob("*.jsonl")) else wanted
    answer = json.loads((root / "ended.json").read_text())
    file_id = answer["result"]["file_id"]
    assert (killed, answer["code"], answer["result"]["state"]) == (kills, "ok", "complete")
    row = cloud.row(thing, file_id)
    assert (row["state"], row["sha256"]) == ("complete", composite_of(data))
    assert cloud.body(row["key"]) == data
    stored = Counter(put["part"] for put in cloud.puts(thing) if put["status"] == 200)
    assert stored == dict.fromkeys(range(1, parts + 1), 1)
    assert cloud.again() == again


def wait_for_progress(process: subprocess.Popen[bytes], records: Path, kind: str) -> None:
    """Until the folder has one more line of a kind, or the process has come to its end."""
    before = lines(records, kind)
    while lines(records, kind) <= before and process.poll() is None:
        if kind == "want" and before:
            time.sleep(0.3)
            return
        if kind in ("plan", "upload") and before:
            kind, before = "part", lines(records, "part")
        time.sleep(0.002)


def lines(records: Path, kind: str) -> int:
    count = 0
    for path in records.glob("*.jsonl"):
        count += path.read_bytes().count(b'{"%b":' % kind.encode())
    return count


def test_killed_twice(cloud: Cloud, tmp_path: Path, seed: int) -> None:
    kill_and_check(cloud, tmp_path, seed, 2)


@pytest.mark.slow("files")
@pytest.mark.timeout(900)
def test_killed_ten_times(cloud: Cloud, tmp_path: Path, seed: int) -> None:
    kill_and_check(cloud, tmp_path, seed, 10)
