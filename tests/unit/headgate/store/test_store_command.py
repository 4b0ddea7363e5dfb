"""`python -m headgate.store` on a store that was written, sealed in part and left."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from headgate.batch import encode
from headgate.columns import from_batch
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.store.__main__ import main
from headgate.store.progress_line import ProgressLine
from headgate.store.shed_rows import Leaving
from headgate.store.store import Store
from headgate.store.thinning import Thinning
from headgate.store.windows_file import next_path

TABLE = (Series("meter-a/volts", "V", "f64", 1), Series("meter-a/state", "", "text"))
START_MS = 1_763_704_800_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten reads, of which the last three are in the journal alone."""
    store = Store(StateRoot(tmp_path), "gw", 1)
    for seq in range(1, 11):
        frame = Frame(seq * 1_000, (0, 1), (230 + seq / 10, "on" if seq % 2 else "off"), (0, seq % 3))
        batch = Batch(
            "modbus", 7, seq, 1, dictionary_hash(TABLE), "", START_MS, ClockState.SYNCED, 0, [frame]
        )
        with store.begin() as tx:
            tx.add_table(TABLE)
            item = tx.append(batch, encode(batch)[0])
        assert item is not None
        for columns in from_batch(batch, TABLE)[0]:
            store.keep(item.position, columns)
        if seq == 7:
            with store.begin() as tx:
                tx.consumed(packed=store.journal.end, replay=0, window_length_ms=1)
            store.seal_blocks(store.journal.end)
    store.close()
    return tmp_path


def rows(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, str]]:
    assert main([str(word) for word in words]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_query_gives_what_is_sealed_and_what_is_not(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "query", root, "meter-*/volts")
    assert [row["value"] for row in found] == [str(230 + seq / 10) for seq in range(1, 11)]
    assert found[0]["time"] == "2025-11-21T06:00:01.000Z"
    assert {row["unit"] for row in found} == {"V"}
    back = rows(capsys, "query", root, "meter-a/volts", "--newest-first", "--to", START_MS + 3_000)
    assert [row["value"] for row in back] == ["230.2", "230.1"]
    texts = rows(capsys, "query", root, "meter-a/state", "--from", "2025-11-21T06:00:09")
    assert [(row["value"], row["quality"]) for row in texts] == [("on", "good"), ("off", "uncertain")]
    assert [row["value"] for row in rows(capsys, "query", root, "meter-a/*", "--last")] == ["231.0", "off"]


def test_query_gives_buckets(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, "query", root, "meter-a/volts", "--step", "5s")
    assert [(row["count"], row["low"], row["high"], row["last"]) for row in found] == [
        ("4", "230.1", "230.4", "230.4"),
        ("5", "230.5", "230.9", "230.9"),
        ("1", "231.0", "231.0", "231.0"),
    ]


def test_export_writes_columns_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = root / "out.json"
    assert main(["export", str(root), "--format", "json", "-o", str(out)]) == 0
    assert "20 samples of 2 series" in capsys.readouterr().out
    state, volts = json.loads(out.read_text())
    assert volts["values"] == [round(230 + seq / 10, 1) for seq in range(1, 11)]
    assert volts["t_ms"] == state["t_ms"] == [START_MS + seq * 1_000 for seq in range(1, 11)]
    assert (volts["decimals"], state["kind"], state["quality"]) == (1, "text", [1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
    assert main(["export", str(root), "--step", "1h", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[1]["count"] == [10]


def test_info_tells_what_is_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unsealed_samples"] == 6
    assert found["journal"] == {"segments": 1, "bytes": 1 << 20}
    (day,) = found["days"]
    assert (day["file"], day["version"], day["series"], day["samples"]) == ("20251121.db", 2, 2, 14)
    assert main(["info", str(root)]) == 0
    assert "20251121.db" in capsys.readouterr().out


def test_verify_names_what_is_damaged(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(root)]) == 0
    day, segment = root / "blocks/20251121.db", root / "journal/1.log"
    data = bytearray(day.read_bytes())
    at = data.index(b"\2\0\2\0\0\0\7\0\0\0")  # version, flags, two series, seven samples
    data[at + 30] ^= 1
    day.write_bytes(data)
    journal = bytearray(segment.read_bytes())
    journal[300] ^= 1
    segment.write_bytes(journal)
    assert main(["verify", str(root)]) == 1
    said = capsys.readouterr().out
    assert "20251121.db: block 1: damaged block: its checksum differs" in said
    assert "1.log: at byte" in said
    assert "2 problems" in said


def test_what_cannot_be_done_is_said(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(root), "meter-a/volt"]) == 2
    assert "did you mean meter-a/volts?" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "journal")]) == 2
    assert "is no state root" in capsys.readouterr().err
    for words in (["--step", "5"], ["--from", "yesterday"]):
        with pytest.raises(SystemExit):
            main(["query", str(root), "x/y", *words])
        assert words[1] in capsys.readouterr().err


def test_progress_tells_the_share_and_what_is_left() -> None:
    line = ProgressLine("verify", 200, io.StringIO())
    line.tick(50)
    assert line.text("x.db", 3.0) == "verify [######..................]  25%  9 s left  x.db"


def test_a_day_that_was_shed_is_answered_from_its_windows(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(capsys, "query", root, "meter-a/volts", "--step", "1m", "--to", START_MS + 7_500)
    store = Store(StateRoot(root), "gw", 2)
    end = max(store.progress.packed, store.blocks.newest_through())
    store.seal_blocks(end)  # what state.db is to know when the file goes
    day = store.blocks.days()[0]
    thinning = Thinning(StateRoot(root).blocks, day, StateRoot(root).windows / "day.part", 60_000)
    while thinning.slice():
        pass
    thinning.writer.finish(thinning.through)
    whole = next_path(StateRoot(root).windows, day)
    file = Leaving(f"blocks/{whole.name[:8]}.db", "windows/day.part", f"windows/{whole.name}")
    with store.begin() as tx:
        tx.leave(file, day)
    store.blocks.forget(day)
    store.removed([file])
    (_, found), *_ = store.downsampled({"meter-a/volts"}, 0, START_MS + 7_500, 60_000)
    assert [(bucket.count, bucket.kept_ms) for bucket in found] == [(7, thinning.writer.step_ms)]
    store.close()
    assert main(["query", str(root), "meter-a/volts", "--step", "1m", "--to", str(START_MS + 7_500)]) == 0
    said = capsys.readouterr()
    assert "were shed" in said.err
    (row,) = csv.DictReader(io.StringIO(said.out))
    assert row.pop("kept_ms") == str(thinning.writer.step_ms)
    assert [{**row, "kept_ms": ""}] == before
    assert main(["info", "--json", str(root)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["file"] for one in told["windows"]] == [whole.name]
    assert told["use_bytes"]["all"] == sum(told["use_bytes"].values()) // 2
    assert told["cap_bytes"] > 0
    assert main(["info", str(root)]) == 0
    assert "the raw samples were shed" in capsys.readouterr().out
    assert main(["verify", str(root)]) == 0
