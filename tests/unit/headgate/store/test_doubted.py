from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from headgate.model import ClockState
from headgate.store.boots import BootRows
from headgate.store.doubted import MAX_RANGES, NEAR_MS, Doubted, DoubtedRows
from headgate.timeline import KEPT_BOOTS, Boot


def test_near_ranges_become_one_and_others_stay_apart() -> None:
    doubted = Doubted([(0, 10)])
    assert not doubted.changed
    doubted.add([5, 9])
    assert not doubted.changed
    doubted.add([20, 10 + NEAR_MS])
    doubted.add([10 + 3 * NEAR_MS])
    assert doubted.changed
    assert doubted.ranges() == [(0, 10 + NEAR_MS), (10 + 3 * NEAR_MS, 10 + 3 * NEAR_MS)]
    assert doubted.holds(10 + NEAR_MS)
    assert not doubted.holds(11 + NEAR_MS)
    assert doubted.overlaps(-5, 1)
    assert not doubted.overlaps(11 + NEAR_MS, 10 + 3 * NEAR_MS)


def test_a_range_may_join_two_and_the_oldest_are_forgotten() -> None:
    doubted = Doubted()
    for i in range(MAX_RANGES + 1):
        doubted.add([i * 10 * NEAR_MS])
    assert len(doubted.ranges()) == MAX_RANGES
    assert doubted.ranges()[0] == (10 * NEAR_MS, 10 * NEAR_MS)
    doubted.add([20 * NEAR_MS, 30 * NEAR_MS])
    assert doubted.ranges()[1] == (20 * NEAR_MS, 30 * NEAR_MS)
    assert len(doubted.ranges()) == MAX_RANGES - 1


def test_rows_come_back_as_they_were_put(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        doubted, boots = DoubtedRows(db), BootRows(db)
        doubted.put([(5, 6), (1, 2)])
        doubted.put([(3, 4)])
        assert doubted.all() == [(3, 4)]
        found = {f"boot-{i}": Boot(i, ClockState.HOLDOVER, 2 * i) for i in range(KEPT_BOOTS + 2)}
        boots.put(found.items())
        boots.put([("boot-2", Boot(7, ClockState.SYNCED, 8))])
        assert list(boots.all()) == [f"boot-{i}" for i in range(3, KEPT_BOOTS + 2)] + ["boot-2"]
        assert boots.all()["boot-2"] == Boot(7, ClockState.SYNCED, 8)
