"""A day file that is being made, or was when the hub ended, holds nothing; another's file is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from headgate.errors import Reject
from headgate.store.day_file import DAY_MS, day_path, open_day
from headgate.store.head import Snapshot
from headgate.store.query import newest, query


def a_file(path: Path, statement: str) -> Path:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()
    return path


def test_a_file_without_tables_holds_nothing(tmp_path: Path) -> None:
    path = a_file(day_path(tmp_path, 3), "PRAGMA journal_mode=DELETE")
    with open_day(path) as reader:
        assert reader.series() == {}
        assert list(reader.find(["a/b"], 0, 1 << 45, 1 << 60)) == []
        assert reader.find_newest(["a/b"], 1 << 60) == []
        assert (reader.blocks(), reader.totals(), reader.through()) == ([], (0, 0, None, None), 0)


def test_a_query_goes_past_it(tmp_path: Path) -> None:
    a_file(day_path(tmp_path, 3), "PRAGMA journal_mode=DELETE")
    nothing = Snapshot((), sealed=1 << 60)
    assert list(query(tmp_path, nothing, ["a/b"], 0, 10 * DAY_MS)) == []
    assert newest(tmp_path, nothing, ["a/b"]) == {}


def test_a_file_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    path = a_file(day_path(tmp_path, 3), "CREATE TABLE theirs(x)")
    with pytest.raises(Reject, match="is of version 0"), open_day(path):
        pass
