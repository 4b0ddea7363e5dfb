"""What is on disk of an upload survives a crash at any byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.errors import Reject
from headgate.files import announced as announcing
from headgate.files import record as records
from headgate.files.announced import Announced
from headgate.files.folder import Fingerprint
from headgate.files.plan import Plan
from headgate.files.record import Record, Want, load_all
from headgate.files.transfer import End

FILE_ID = "0" * 32
WANT = Want(FILE_ID, "logs", "day/one.bin", Fingerprint(12, 5, 7))
PLAN = Plan(FILE_ID, 12, 5, ("a", "b", "c"))


def told(tmp_path: Path) -> Record:
    """A record with a line of every kind but the last."""
    record = Record.begin(tmp_path, WANT)
    record.planned(PLAN)
    record.uploading("u-1", {2})
    record.uploading("u-1", {2})
    record.part(1)
    return record


def known(record: Record) -> tuple[object, ...]:
    return record.want, record.plan, record.upload_id, record.done, record.end


def test_what_was_told_is_read_again(tmp_path: Path) -> None:
    record = told(tmp_path)
    assert known(Record.load(tmp_path / f"{FILE_ID}.jsonl")) == (WANT, PLAN, "u-1", {1, 2}, None)
    record.planned(Plan(FILE_ID, 12, 6, ("d", "e")))
    assert known(Record.load(tmp_path / f"{FILE_ID}.jsonl"))[2:] == ("", set(), None)
    record.ended(End("failed", "upload_failed", "too_large"))
    assert load_all(tmp_path)[0][0].end == End("failed", "upload_failed", "too_large")


def test_cut_at_any_byte_it_is_what_it_was_some_lines_ago(tmp_path: Path) -> None:
    told(tmp_path)
    path = tmp_path / f"{FILE_ID}.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    states = []
    for size_bytes in range(first, len(whole) + 1):
        path.write_bytes(whole[:size_bytes])
        record = Record.load(path)
        states.append((record.plan is not None, record.upload_id, frozenset(record.done)))
        record.part(3)
        again = Record.load(path)
        assert again.done == {*record.done, 3}
    assert list(dict.fromkeys(states)) == [
        (False, "", frozenset()),
        (True, "", frozenset()),
        (True, "u-1", frozenset({2})),
        (True, "u-1", frozenset({1, 2})),
    ]
    path.write_bytes(whole[: first - 1])
    with pytest.raises(Reject):
        Record.load(path)


@pytest.mark.parametrize(
    "line", [b'{"plan": 5}', b'{"part": "x"}', b'{"end": {"state": "x"}}', b'{"end": {}}', b'{"x": 1}']
)
def test_a_line_that_nobody_wrote_makes_it_unreadable(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / f"{FILE_ID}.jsonl"
    Record.begin(tmp_path, WANT)
    path.write_bytes(path.read_bytes() + line + b"\n")
    found, faults = load_all(tmp_path)
    assert (found, len(faults), path.exists()) == ([], 1, False)


def test_of_those_that_ended_the_oldest_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEEP_ENDED", 1)
    for n in range(3):
        want = Want(f"{n:032}", "logs", f"{n}", WANT.mark)
        record = Record.begin(tmp_path, want)
        if n < 2:
            record.ended(End("complete"))
    (tmp_path / ".x.jsonl.5.tmp").touch()
    found, faults = load_all(tmp_path)
    assert ([record.want.path for record in found], faults) == (["1", "2"], [])
    assert len(list(tmp_path.iterdir())) == 2


def test_what_was_announced_is_known_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "courier" / "announced"
    ids = [f"{n:032}" for n in range(5)]
    kept = Announced(path)
    kept.load()
    kept.add(ids[:2])
    with path.open("ab") as file:
        file.write(b"0000")  # a write that a crash cut
    kept = Announced(path)
    kept.load()
    kept.add([ids[2]])
    kept.forget(ids[0])
    kept.forget("nobody")
    kept = Announced(path)
    kept.load()
    assert [file_id in kept for file_id in ids] == [False, True, True, False, False]
    monkeypatch.setattr(announcing, "MAX_IDS", 3)
    monkeypatch.setattr(announcing, "KEEP_IDS", 2)
    kept.add(ids[3:])
    assert [file_id in kept for file_id in ids] == [False, False, False, True, True]
    assert path.read_text().split() == ids[3:]
