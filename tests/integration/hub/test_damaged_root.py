"""Any file of a state root damaged in any way: the store opens, tells, and holds nothing that is wrong."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal
from headgate.roles.hub_pipeline import Pipeline
from headgate.store.store import Store
from tests.support.damaged_root import (
    BATCHES,
    SEGMENT_BYTES,
    START_MS,
    TUNING,
    WINDOWS,
    Filled,
    batch,
    damage,
    files_of,
    filled,
    found_in,
    rows_of,
    waiting,
)

LAST_MS = BATCHES * 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return filled(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


def opened(root: Path, epoch: int) -> tuple[Store, Pipeline]:
    store = Store(StateRoot(root), "gw", epoch, segment_bytes=SEGMENT_BYTES)
    try:
        pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING)
        pipeline.recover(LAST_MS)
    except BaseException:
        store.close()
        raise
    return store, pipeline


def reports_in(store: Store) -> list[dict[str, object]]:
    bodies = [body for key, body in waiting(store).items() if key[0] == "reports"]
    found = [json.loads(body)["report"] for body in bodies]
    return [report for report in found if report["type"] == "set_aside"]


def check(root: Path, whole: Filled, victim: Path) -> bool:
    """Open, compare, tell, open again; whether anything was found."""
    store, pipeline = opened(root, 2)
    try:
        found, kept, notes = found_in(store), waiting(store), list(store.opening.untold)
        missing = Counter(whole.rows) - Counter(found)
        assert not Counter(found) - Counter(whole.rows), "a value is wrong, or there twice"
        assert all(whole.bodies[key] == body for key, body in kept.items()), "an envelope is not as it was"
        kind = victim.parent.name
        if missing or len(kept) < len(whole.bodies):
            # A whole segment that was the last and had nothing that state.db counts on leaves no trace.
            assert notes or kind == "journal"
        if kind == "blocks":
            day = [row for row in missing if (row[1] < START_MS + 12_000) != (victim.name > "20251121")]
            assert len(day) == len(missing), "another day's samples are missing"
            told = [note.lost.get("samples_lost") for note in notes if note.file.startswith("blocks/")]
            assert victim.exists() or notes
            assert len(told) <= 1
        elif kind == "journal":
            number = int(victim.stem)
            assert all(whole.at.get(row, 0) == number for row in missing), "samples outside of it are missing"
        else:
            assert not missing
        if kind in ("blocks", "journal"):
            assert kept == whole.bodies
        for series, number in whole.ids.items():
            assert store._ids.get(series, number) == number
        pipeline.seal([], START_MS + LAST_MS, LAST_MS + 1)
        assert [one["file"] for one in reports_in(store)] == [note.file for note in notes]
    finally:
        store.close()
    store, pipeline = opened(root, 3)
    try:
        assert store.opening.untold == []
        pipeline.seal([], START_MS + LAST_MS, LAST_MS + 10**6)
        assert len(reports_in(store)) == len(notes)
        assert found_in(store) == found
    finally:
        store.close()
    return bool(notes)


def run(whole: Filled, count: int, seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    noticed = 0
    for number in range(count):
        root = folder / f"damaged-{number}"
        shutil.copytree(whole.path, root)
        victim = rng.choice(files_of(root))
        what = damage(victim, rng)
        try:
            noticed += check(root, whole, victim)
        except Fatal as error:
            assert "update headgate.Hub" in str(error), error
        except BaseException as error:
            error.add_note(f"{victim.relative_to(root)}: {what}; kept in {root}")
            raise
        shutil.rmtree(root)
    assert noticed > count // 5


def test_some_files_are_damaged(whole: Filled, tmp_path: Path, seed: int) -> None:
    run(whole, 40, seed, tmp_path)


@pytest.mark.slow("faults")
def test_any_file_is_damaged(whole: Filled, tmp_path: Path, seed: int) -> None:
    run(whole, 300, seed, tmp_path)


def test_an_undamaged_root_is_left_alone(whole: Filled, tmp_path: Path) -> None:
    shutil.copytree(whole.path, tmp_path / "copy")
    store, _ = opened(tmp_path / "copy", 2)
    assert (found_in(store), waiting(store)) == (whole.rows, whole.bodies)
    assert store.opening.untold == []
    assert store.runs() == {("modbus", 7): BATCHES}
    assert rows_of(batch(1))[0] in whole.rows
    store.close()
