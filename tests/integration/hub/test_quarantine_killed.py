"""A hub is killed at any step of setting damaged files aside: the next one ends as if it had not been."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from headgate.config.stateroot import StateRoot
from headgate.roles.hub_pipeline import Pipeline
from headgate.store.store import Store
from tests.support.damaged_root import (
    BATCHES,
    SEGMENT_BYTES,
    START_MS,
    TUNING,
    WINDOWS,
    Filled,
    Row,
    filled,
    found_in,
    waiting,
)
from tests.support.hub_crash import EXIT_CRASHED, Record, count_steps, crash_at

LAST_MS = BATCHES * 400


@dataclass(frozen=True)
class After:
    """What a hub makes of a root: samples, the envelopes of before, and of which files the cloud is told."""

    rows: list[Row]
    bodies: dict[tuple[str, int, int], bytes]
    told: list[str]
    kept: int


def open_and_tell(root: Path, _: Record, epoch: int) -> None:
    """Set aside what is damaged, and have the cloud told."""
    store = Store(StateRoot(root), "gw", epoch, segment_bytes=SEGMENT_BYTES)
    pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING)
    pipeline.recover(LAST_MS)
    pipeline.seal([], START_MS + LAST_MS, LAST_MS + 1)
    store.close()


def after(root: Path, before: Filled) -> After:
    store = Store(StateRoot(root), "gw", 9, segment_bytes=SEGMENT_BYTES)
    try:
        assert store.opening.untold == []
        Pipeline(store, "gw", WINDOWS, (), TUNING).recover(LAST_MS)
        held = waiting(store)
        told = [json.loads(body)["report"] for key, body in held.items() if key[0] == "reports"]
        old = {key: body for key, body in held.items() if key in before.bodies}
        kept = [path for path in (root / "quarantine").iterdir() if not path.name.endswith(".json")]
        files = sorted(report["file"] for report in told if report["type"] == "set_aside")
        return After(found_in(store), old, files, sum(not _is_beside(path) for path in kept))
    finally:
        store.close()


def _is_beside(path: Path) -> bool:
    return path.name.endswith(("-wal", "-shm", "-journal", ".tmp"))


def spoil_journal(root: Path) -> None:
    path = min((root / "journal").glob("*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def spoil_day(root: Path) -> None:
    path = min((root / "blocks").glob("*.db"))
    data = bytearray(path.read_bytes())
    data[4096:8192] = random.Random(1).randbytes(4096)
    path.write_bytes(data)


def spoil_state(root: Path) -> None:
    path = root / "state.db"
    data = bytearray(path.read_bytes())
    data[:4096] = bytes(4096)
    path.write_bytes(data)


def lose_day(root: Path) -> None:
    min((root / "blocks").glob("*.db")).unlink()


SPOILT = (spoil_journal, spoil_day, spoil_state, lose_day)


def kill_at(spoil: Callable[[Path], None], folder: Path, stride: int) -> None:
    before = filled(folder / "spoilt")
    spoilt = before.path
    spoil(spoilt)
    shutil.copytree(spoilt, folder / "whole")
    record = Record(folder / "record")
    steps = count_steps(folder / "whole", record, open_and_tell)
    expected = after(folder / "whole", before)
    assert expected.told
    for step in range(1, steps + 1, stride):
        root = folder / str(step)
        shutil.copytree(spoilt, root)
        assert crash_at(step, root, record, 2, open_and_tell) == EXIT_CRASHED
        assert crash_at(10**9, root, record, 3, open_and_tell) == 0
        assert after(root, before) == expected, f"killed at {step}"
        shutil.rmtree(root)


@pytest.mark.parametrize("spoil", SPOILT)
def test_killed_while_files_are_set_aside(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    kill_at(spoil, tmp_path, 23)


@pytest.mark.slow("faults")
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("spoil", SPOILT)
def test_killed_at_any_step_of_setting_files_aside(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    kill_at(spoil, tmp_path, 1)
