"""A state root with something in every file, and ways to damage one of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.window.config import WindowsConfig
from headgate.window.definition import Definition

TABLE = tuple(Series(f"meter-a/t{i}", "V", "f64", 1) for i in range(3))
NAMES = [series.name for series in TABLE]
BATCHES = 60
START_MS = 1_763_683_200_000 - 12_000
"""Twelve seconds before midnight; a batch every 400 ms."""
TUNING = PipelineTuning(idle_ms=10**9, blocks_every_ms=3_000)
WINDOWS = WindowsConfig(Definition(1_000, 1_000), lateness_ms=300)
SEGMENT_BYTES = 1_500
WAYS = ("bit", "bits", "page", "zeros", "cut", "delete")

Row = tuple[str, int, float]


@dataclass(slots=True)
class Filled:
    """What a root holds. `bodies`: envelopes that wait, by stream and seq; `at`: of each row that is in no
    block, the segment of the journal that has it.
    """

    path: Path
    rows: list[Row] = field(default_factory=list)
    bodies: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    at: dict[Row, int] = field(default_factory=dict)
    ids: dict[Series, int] = field(default_factory=dict)


def batch(seq: int) -> Batch:
    """Two frames; now and then one of other series, or of before."""
    t = seq * 400
    frames = [Frame(t, (0, 1, 2), (seq / 10, seq + 0.5, -seq / 10)), Frame(t + 200, (0, 1), (1.5, seq / 10))]
    if seq % 7 == 0:
        frames.append(Frame(t - 2_100, (2,), (seq + 0.1,)))
    return Batch("modbus", 7, seq, 1, dictionary_hash(TABLE), "", START_MS, ClockState.SYNCED, 0, frames)


def rows_of(one: Batch) -> list[Row]:
    """Its samples: series, UTC ms, value."""
    return [
        (TABLE[i].name, frame.boot_ms + START_MS, float(value or 0))
        for frame in one.frames
        for i, value in zip(frame.series, frame.values, strict=True)
    ]


def filled(path: Path) -> Filled:
    """A root as a hub leaves it that ends without closing anything in order."""
    store = Store(StateRoot(path), "gw", 1, segment_bytes=SEGMENT_BYTES)
    pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING)
    pipeline.recover(0)
    found = Filled(path)
    for seq in range(1, BATCHES + 1):
        (wire,) = encode(batch(seq))
        before = store.journal.end
        pipeline.commit(Arrived([TABLE], [(batch(seq), wire)]), seq * 400)
        rows = rows_of(batch(seq))
        found.rows += rows
        found.at |= dict.fromkeys(rows, store.journal.end >> 32)
        assert store.journal.end > before
        if seq % 3 == 0:
            pipeline.seal([], START_MS + seq * 400, seq * 400)
            if store.unsealed_samples == 0:
                found.at.clear()
    found.rows.sort()
    found.ids = store.state.series_ids()
    found.bodies = waiting(store)
    store.close()
    return found


def waiting(store: Store) -> dict[tuple[str, int, int], bytes]:
    """The outbox."""
    queued = [item.envelope for item in store.queued(0, 100_000)]
    return {(one.id.stream, one.id.epoch, one.id.seq): one.body for one in queued}


def found_in(store: Store) -> list[Row]:
    """Every sample that a query finds."""
    found: list[Row] = []
    for column in store.query(NAMES, 0, 1 << 45):
        for t, value in zip(column.times_ms, column.values, strict=True):
            found.append((column.series.name, t, float(value or 0)))  # reads better
    return sorted(found)


def files_of(root: Path) -> Sequence[Path]:
    """What can be damaged."""
    return [root / "state.db", *sorted((root / "blocks").glob("*.db")), *sorted((root / "journal").glob("*"))]


def damage(path: Path, rng: random.Random) -> str:
    """Do something to a file; says what."""
    way = rng.choice(WAYS)
    if way == "delete":
        path.unlink()
        return "delete"
    data = bytearray(path.read_bytes())
    if way == "cut":
        at = rng.randrange(len(data))
        path.write_bytes(data[:at])
        return f"cut at {at}"
    places = sorted(rng.randrange(len(data)) for _ in range(1 if way == "bit" else 8))
    if way in ("bit", "bits"):
        for at in places:
            data[at] ^= 1 << rng.randrange(8)
    else:
        start = places[0] // 4096 * 4096 if way == "page" else places[0]
        size = min(4096 if way == "page" else rng.randrange(1, 600), len(data) - start)
        data[start : start + size] = rng.randbytes(size) if way == "page" else bytes(size)
    path.write_bytes(data)
    return f"{way} at {places}"
