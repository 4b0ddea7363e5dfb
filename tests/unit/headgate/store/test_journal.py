from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal
from headgate.model import Batch
from headgate.store.journal import Journal
from headgate.store.segments import RecordKind
from headgate.store.store import Store

GOLDEN = Path(__file__).parents[3] / "golden/store"


def payloads(journal: Journal, start: int = 0) -> list[bytes]:
    return [record.payload for record in journal.replay(start)]


def filled(folder: Path, records: list[bytes], segment_bytes: int = 400) -> list[int]:
    journal = Journal(folder, segment_bytes=segment_bytes)
    positions = []
    for payload in records:
        positions.append(journal.append(RecordKind.BATCH, payload).position)
        journal.sync()
    journal.close()
    return positions


def test_records_come_back_from_any_position(tmp_path: Path) -> None:
    records = [bytes([i]) * (i * 7) for i in range(40)]
    positions = filled(tmp_path, records)
    assert positions == sorted(positions)
    journal = Journal(tmp_path, segment_bytes=400)
    for at, position in enumerate(positions):
        assert payloads(journal, position) == records[at:]
    assert payloads(journal, journal.end) == []
    journal.close()


def test_a_group_may_span_segments_and_a_record_may_exceed_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=200)
    records = [b"a" * 150, b"b" * 150, b"c" * 1_000, b"d"]
    for payload in records:
        journal.append(RecordKind.BATCH, payload)
    assert payloads(journal) == []
    journal.sync()
    assert payloads(journal) == records
    journal.close()


@pytest.mark.parametrize("cut", ["zeros", "noise", "short"])
def test_a_torn_tail_is_cut_at_the_last_whole_record(tmp_path: Path, cut: str) -> None:
    records = [b"one" * 10, b"two" * 10, b"three" * 10]
    start = filled(tmp_path / "whole", records)[2] & 0xFFFF_FFFF
    data = (tmp_path / "whole/1.log").read_bytes()
    for at in range(start, start + 38):
        folder = tmp_path / f"{cut}-{at}"
        folder.mkdir()
        torn = {"zeros": bytes(len(data) - at), "noise": os.urandom(40) + bytes(360), "short": b""}[cut]
        (folder / "1.log").write_bytes(data[:at] + torn)
        journal = Journal(folder, segment_bytes=400)
        assert payloads(journal) == records[:2]
        journal.append(RecordKind.BATCH, b"next")
        journal.sync()
        assert payloads(journal) == [*records[:2], b"next"]
        journal.close()
        again = Journal(folder, segment_bytes=400)
        assert payloads(again) == [*records[:2], b"next"]
        again.close()


def test_a_record_in_another_place_is_none(tmp_path: Path) -> None:
    filled(tmp_path, [b"x" * 20, b"y" * 20])
    data = bytearray((tmp_path / "1.log").read_bytes())
    first, second = data[16:45], data[45:74]
    (tmp_path / "1.log").write_bytes(data[:16] + second + first + data[74:])
    journal = Journal(tmp_path, segment_bytes=400)
    assert payloads(journal) == []
    journal.close()


def test_a_damaged_segment_is_reported_and_the_next_one_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, [b"a" * 100, b"b" * 100, b"c" * 100, b"d" * 100, b"e" * 100])
    data = bytearray((tmp_path / "1.log").read_bytes())
    data[16 + 109 + 50] ^= 1
    (tmp_path / "1.log").write_bytes(data)
    journal = Journal(tmp_path, segment_bytes=400)
    assert payloads(journal) == [b"a" * 100, b"d" * 100, b"e" * 100]
    assert "1.log: damaged at byte 125" in caplog.text
    journal.close()


def test_segments_are_dropped_once_nothing_in_them_is_needed(tmp_path: Path) -> None:
    positions = filled(tmp_path, [bytes([i]) * 100 for i in range(10)])
    journal = Journal(tmp_path, segment_bytes=400)
    before = journal.size_bytes
    assert journal.drop_before(positions[7]) == 2
    assert journal.size_bytes < before
    assert payloads(journal, positions[7]) == [bytes([i]) * 100 for i in (7, 8, 9)]
    assert journal.drop_before(journal.end) == 1
    assert sorted(tmp_path.glob("*.log")) == [tmp_path / "4.log"]
    journal.close()


def test_nothing_is_appended_below_the_position_that_the_state_counts_on(tmp_path: Path) -> None:
    filled(tmp_path, [b"old"])
    journal = Journal(tmp_path, segment_bytes=400, at_least=(5 << 32) + 99)
    assert journal.append(RecordKind.BATCH, b"new").position > (5 << 32) + 99
    journal.sync()
    assert payloads(journal) == [b"old", b"new"]
    journal.close()


def test_segments_are_preallocated(tmp_path: Path) -> None:
    filled(tmp_path, [b"x"], segment_bytes=1 << 20)
    assert (tmp_path / "1.log").stat().st_size == 1 << 20


@pytest.mark.parametrize("version", [1, 2])
def test_segments_of_each_version_are_read_and_the_present_one_is_written(
    version: int, tmp_path: Path
) -> None:
    expected = json.loads((GOLDEN / f"v{version}/journal.json").read_text())
    root = StateRoot(tmp_path)
    root.create()
    shutil.copy(GOLDEN / f"v{version}/1.log", root.journal)
    store = Store(root, "gw", 1)
    assert [as_rows(item.batch) for item in store.replay()] == expected
    assert len(store.tables()) == 1
    last = list(store.replay())[-1].batch
    with store.begin() as tx:
        assert tx.append(last, b"") is None
        assert tx.append(replace(last, seq=4), b"") is not None
    store.close()
    store = Store(root, "gw", 2)
    assert [item.batch.seq for item in store.replay()][-1] == 4
    assert sorted(path.name for path in root.journal.iterdir()) == ["1.log", "2.log"][: 3 - version]
    store.close()


def as_rows(batch: Batch) -> list[object]:
    frames = [[f.boot_ms, list(f.series), list(f.values), list(f.quality)] for f in batch.frames]
    return [
        batch.bridge, batch.run_id, batch.seq, batch.oldest_seq, batch.dictionary.hex(),
        batch.machine_boot_id, batch.utc_offset_ms, int(batch.clock), batch.dropped, frames,
    ]  # fmt: skip


def test_a_newer_version_is_refused_not_guessed(tmp_path: Path) -> None:
    filled(tmp_path, [b"x"])
    data = bytearray((tmp_path / "1.log").read_bytes())
    data[4] = 3
    (tmp_path / "1.log").write_bytes(data)
    with pytest.raises(Fatal, match=r"1\.log is of version 3.*update headgate\.Hub"):
        Journal(tmp_path)


@given(st.lists(st.lists(st.binary(max_size=200), max_size=4), max_size=8), st.integers(60, 500))
def test_groups_of_any_shape_come_back(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[bytes]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, segment_bytes=size)
    for group in groups:
        for payload in group:
            journal.append(RecordKind.DICTIONARY, payload)
        journal.sync()
    journal.close()
    again = Journal(folder, segment_bytes=size)
    assert payloads(again) == [payload for group in groups for payload in group]
    again.close()
