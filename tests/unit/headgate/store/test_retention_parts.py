from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from headgate.config.stateroot import StateRoot
from headgate.errors import Reject
from headgate.model import Series, Value
from headgate.store import shed_reports
from headgate.store.config import MIN_MAX_BYTES, StoreConfig, parse_mapping
from headgate.store.downsample import Bucket
from headgate.store.shed_rows import Candidate, Leaving
from headgate.store.store import Store
from headgate.store.thinning import coarsened
from headgate.store.usage import Usage
from headgate.store.windows_file import Gone, WindowsWriter, files_in, next_path, open_windows


def test_the_section_store_is_read_whole() -> None:
    assert parse_mapping({}) == StoreConfig()
    found = parse_mapping(
        {"max_bytes": MIN_MAX_BYTES, "keep_days": 9, "windows_keep_days": 90, "windows_step_s": 30}
    )
    assert found == StoreConfig(MIN_MAX_BYTES, 9, 90, 30_000)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"max_bytes": 1_000}, "max_bytes"),
        ({"keep_days": 0}, "keep_days"),
        ({"keep_days": 9, "windows_keep_days": 8}, "windows_keep_days"),
        ({"keep": 9}, "keep"),
    ],
)
def test_a_faulty_section_store_is_rejected(values: dict[str, int], fault: str) -> None:
    with pytest.raises(Reject, match=fault):
        parse_mapping(values)


def test_the_default_cap_is_a_part_of_the_disk(tmp_path: Path) -> None:
    assert MIN_MAX_BYTES <= StoreConfig().cap_bytes(tmp_path) <= 4 * 1024**3
    assert StoreConfig(7).cap_bytes(tmp_path) == 7


@pytest.mark.parametrize(
    ("series", "values"),
    [
        (Series("a/x", "V", "f64", 1), (0.1, 230.4, 229.95, 0.2)),
        (Series("a/x", "V", "f64", None), (math.pi, -1e300, 0.5, math.e)),
        (Series("a/x", "1", "i64"), (-5, 5, 1, -(2**62))),
        (Series("a/x", "1", "u64"), (1, 2, 2**63, 2**64 - 1)),
        (Series("a/x", "", "bool"), (True, False, True, True)),
        (Series("a/x", "", "text"), ("on", "off", "", "ü")),
    ],
)
def test_windows_come_back_as_they_were(tmp_path: Path, series: Series, values: tuple[Value, ...]) -> None:
    plain: list[Value] = [int(v) if isinstance(v, bool) else v for v in values]
    buckets = [
        Bucket(
            60_000 * i,
            i + 1,
            None if series.kind == "text" else plain[i],
            None if series.kind == "text" else plain[i],
            None if series.kind == "text" else float(np.float64(plain[i])),
            values[i],
            values[-1],
        )
        for i in range(len(values))
    ]
    path = next_path(tmp_path, 20_000)
    writer = WindowsWriter(tmp_path / "x.part", 60_000)
    writer.add(Gone(series, 12, 5, 240_000), buckets)
    writer.add(Gone(Series("a/none"), 3, 5, 9), [])
    writer.finish(77)
    (tmp_path / "x.part").rename(path)
    assert files_in(tmp_path) == {20_000: [path]}
    assert next_path(tmp_path, 20_000).stem.endswith("-2")
    with open_windows(path) as reader:
        assert (reader.step_ms, reader.through) == (60_000, 77)
        assert [gone.samples for gone in reader.gone()] == [12, 3]
        assert list(reader.buckets({"a/x", "a/none"})) == [(series, buckets)]
        assert list(reader.buckets({"b/x"})) == []


def test_windows_get_longer_where_few_samples_fall_into_one() -> None:
    day = 86_400_000
    assert coarsened([Gone(Series("a/x"), 86_400, 0, day)], 60_000) == 60_000
    assert coarsened([Gone(Series("a/x"), 8_640, 0, day)], 60_000) == 300_000
    assert coarsened([Gone(Series("a/x"), 30, 0, day)], 60_000) == 3_600_000


def test_usage_counts_what_is_there_and_sees_files_come_and_grow(tmp_path: Path) -> None:
    (tmp_path / "spool" / "deep").mkdir(parents=True)
    usage = Usage(tmp_path, hot=(tmp_path / "spool" / "deep",))
    assert sum(usage.measure(0).values()) == 0
    (tmp_path / "spool" / "deep" / "a").write_bytes(b"x" * 5_000)
    (tmp_path / "state.db-wal").write_bytes(b"x")
    assert usage.measure(0) == {"state.db": 4_096, "other": 0, "spool": 8_192}
    (tmp_path / "spool" / "deep" / "a").write_bytes(b"x" * 50_000)
    assert usage.measure(0)["spool"] == 53_248


def test_tombstones_are_ranges_of_one_stream_and_epoch() -> None:
    keys = [("live", "a", 3), ("live", "a", 2), ("live", "a", 5), ("live", "b", 6), ("backlog", "a", 1)]
    envelopes = [Candidate(i, *key, samples=10, size_bytes=1) for i, key in enumerate(keys)]
    found = [fields for _, fields in shed_reports.tombstones(envelopes, "byte cap")]
    assert [(f["stream"], f["epoch"], f["first"], f["last"], f["samples"]) for f in found] == [
        ("backlog", "a", 1, 1, 10),
        ("live", "a", 2, 3, 20),
        ("live", "a", 5, 5, 10),
        ("live", "b", 6, 6, 10),
    ]


def test_many_devices_share_their_last_report() -> None:
    gone = [Gone(Series(f"d{i}/x"), 2, i, i + 1) for i in range(100)]
    found = [fields for _, fields in shed_reports.dropped(gone, "age")]
    assert len(found) == shed_reports.MAX_DEVICES
    assert sum(int(str(fields["count"])) for fields in found) == 200
    assert found[-1] == {"series": "*/*", "from": 63, "to": 100, "count": 74, "why": "age"}


def test_a_file_that_was_to_go_goes_at_the_next_start(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)
    store = Store(root, "gw", 1)
    for name in ("20260101.db", "20260101.db-wal"):
        (root.blocks / name).write_bytes(b"")
    (root.windows / "20260101.part").write_bytes(b"windows")
    (root.windows / "20260102.part").write_bytes(b"begun")
    with store.begin() as tx:
        tx.leave(Leaving("blocks/20260101.db", "windows/20260101.part", "windows/20260101-1.db"), 20_454)
    store.close()
    store = Store(root, "gw", 2)
    assert list(root.blocks.iterdir()) == []
    assert [path.name for path in root.windows.iterdir()] == ["20260101-1.db"]
    assert store.state.shed.leaving() == []
    assert not store.is_whole(20_454 * 86_400_000 - 1, 20_454 * 86_400_000 + 1)
    assert store.is_whole(20_455 * 86_400_000, 20_456 * 86_400_000)
    store.close()
