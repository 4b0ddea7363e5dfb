"""One store under one load, in a process of its own: `KIND HZ SECONDS FOLDER`, KIND walk, noise or rows.

What it measured goes to standard output as JSON. CPU is counted around the store's calls alone.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bench._samples import START_MS, Site
from headgate import columns as columns_of
from headgate.config.stateroot import StateRoot
from headgate.model import Batch
from headgate.roles.hub_pipeline import PipelineTuning
from headgate.store.store import Store

HOUR_MS, TEN_MINUTES_MS = 3_600_000, 600_000
STATE_EVERY_S = 10
"""A commit of state.db for every window of the default length."""
ONE_SERIES_QUERIES, ALL_SERIES_QUERIES = 40, 7


@dataclass(slots=True)
class Cpu:
    """CPU seconds of this process, by what they went into."""

    used: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def counted(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.used[name] = self.used.get(name, 0.0) + time.process_time() - start


def main(argv: Sequence[str]) -> int:
    """See the module."""
    kind, hz, seconds, folder = argv[0], int(argv[1]), int(argv[2]), Path(argv[3])
    site = Site("noise" if kind == "noise" else "walk", hz=hz)
    work = rows if kind == "rows" else store
    found = work(site, seconds, folder)
    found["rss_mb"] = _peak_mb()
    print(json.dumps(found))
    return 0


def store(site: Site, seconds: int, folder: Path) -> dict[str, float]:
    """Write with the hub's store as the hub's data path does, then ask."""
    tuning, cpu, table = PipelineTuning(), Cpu(), site.table()
    opened = Store(StateRoot(folder), "gw-bench", 1)
    with opened.begin() as tx:
        tx.add_table(table)
    blocks_s = 0
    for second, batches in enumerate(islice(site.seconds(), seconds), 1):
        with cpu.counted("journal"), opened.begin() as tx:
            items = [item for batch in batches if (item := tx.append(batch, b"")) is not None]
        with cpu.counted("columns"):
            groups = [(item.position, columns_of.from_batch(item.batch, table)[0]) for item in items]
        with cpu.counted("blocks"):
            for position, group in groups:
                for columns in group:
                    opened.keep(position, columns)
        if second % STATE_EVERY_S == 0 or second == seconds:
            with cpu.counted("state"):
                _consumed(opened)
        due = (second - blocks_s) * 1_000 >= tuning.blocks_every_ms
        if due or opened.unsealed_samples >= tuning.blocks_samples:
            blocks_s = second
            with cpu.counted("blocks"):
                opened.seal_blocks(opened.journal.end)
    names = [series.name for series in table]
    end_ms = START_MS + 1_000 * seconds
    found = _asked(opened.query, names, end_ms, "unsealed_")
    with cpu.counted("blocks"):
        opened.seal_blocks(opened.journal.end)
    with cpu.counted("state"):
        _consumed(opened)
    found |= _asked(opened.query, names, end_ms, "")
    opened.close()
    samples = seconds * site.hz * len(table)
    found |= {f"cpu_{name}_s_per_million": used / samples * 1e6 for name, used in cpu.used.items()}
    found["cpu_s_per_million"] = (
        sum(cpu.used[name] for name in ("journal", "blocks", "state")) / samples * 1e6
    )
    return found | _kept(folder, samples)


def _consumed(opened: Store) -> None:
    with opened.begin() as tx:
        tx.windows_closed({("modbus", 10_000): opened.journal.end})
        tx.consumed(packed=opened.journal.end, replay=opened.progress.blocks, window_length_ms=10_000)


def rows(site: Site, seconds: int, folder: Path) -> dict[str, float]:
    """The same data as a row for each sample, keyed by series and time, a commit a second."""
    cpu, table = Cpu(), site.table()
    db = sqlite3.connect(folder / "rows.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE samples(series INTEGER, t INTEGER, value REAL, PRIMARY KEY(series, t)) WITHOUT ROWID"
    )
    for batches in islice(site.seconds(), seconds):
        with cpu.counted("rows"):
            db.execute("BEGIN")
            db.executemany("INSERT OR REPLACE INTO samples VALUES(?, ?, ?)", _as_rows(batches))
            db.execute("COMMIT")

    def query(names: Sequence[str], from_ms: int, to_ms: int) -> Iterator[list[tuple[int, float]]]:
        for name in names:
            rows = db.execute(
                "SELECT t, value FROM samples WHERE series = ? AND t >= ? AND t < ?",
                (numbers[name], from_ms, to_ms),
            )
            yield rows.fetchall()

    numbers = {series.name: i for i, series in enumerate(table)}
    found = _asked(query, list(numbers), START_MS + 1_000 * seconds, "")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    samples = seconds * site.hz * len(table)
    found["cpu_s_per_million"] = cpu.used["rows"] / samples * 1e6
    return found | _kept(folder, samples)


def _as_rows(batches: Sequence[Batch]) -> Iterator[tuple[int, int, object]]:
    for batch in batches:
        for frame in batch.frames:
            for series, value in zip(frame.series, frame.values, strict=True):
                yield series, frame.boot_ms, value


def _asked(
    query: Callable[[Sequence[str], int, int], Iterator[object]],
    names: Sequence[str],
    end_ms: int,
    which: str,
) -> dict[str, float]:
    """Medians of queries that end with the newest sample."""
    step = len(names) // ONE_SERIES_QUERIES

    def took_ms(asked: Sequence[str], length_ms: int) -> float:
        start = time.perf_counter()
        for _ in query(asked, end_ms - length_ms, end_ms + 1_000):
            pass
        return (time.perf_counter() - start) * 1_000

    one = [took_ms([name], HOUR_MS) for name in names[::step]]
    many = [took_ms(names, TEN_MINUTES_MS) for _ in range(ALL_SERIES_QUERIES)]
    return {
        f"query_one_series_hour_{which}ms": statistics.median(one),
        f"query_all_series_10min_{which}ms": statistics.median(many),
    }


def _kept(folder: Path, samples: int) -> dict[str, float]:
    """What all files take, those that are preallocated as well, and the blocks alone."""
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    blocks = sum(size for path, size in sizes.items() if path.parent.name == "blocks")
    found = {"samples": samples, "bytes_per_sample_kept": sum(sizes.values()) / samples}
    return found | ({"bytes_per_sample_blocks": blocks / samples} if blocks else {})


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1_024 / 1e6
    return 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
