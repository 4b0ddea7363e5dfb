"""A hub's data path under a byte cap, driven at random, and a naive count of every sample that was put in."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from headgate.batch import decode, encode
from headgate.clock import ManualClock
from headgate.config.stateroot import StateRoot
from headgate.model import Ack, Batch, ClockState, Frame, Series, Value, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.roles.hub_retention import HubRetention
from headgate.store.config import StoreConfig
from headgate.store.retention import Step
from headgate.store.shed_rows import Leaving
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.store.windows_file import files_in, open_windows
from headgate.window.config import WindowsConfig

START_MS = 1_763_685_600_000
UNIT = 4_096
KINDS: tuple[Series, ...] = (
    Series("meter-a/volts", "V", "f64", 1),
    Series("meter-a/noise", "1"),
    Series("meter-b/count", "1", "u64"),
    Series("meter-b/level", "1", "i64"),
    Series("valve/open", "", "bool"),
    Series("valve/state", "", "text"),
)
WIDE = tuple(Series(f"rack-{i % 7}/t{i}", "°C", "f64", None if i % 3 else 2) for i in range(60))
TABLE = (*KINDS, *WIDE)


class Killed(Exception):
    """The process ends here; `root` is the disk as it is then."""


class ToldClock(ManualClock):
    """Nobody sleeps by it."""

    def tell(self, boot_ms: int) -> None:
        self._boot_ms = boot_ms
        self.set_utc(START_MS + boot_ms)


class CapWorld:
    """One state root and what is known of it; `crash` makes another process over the same disk."""

    def __init__(self, folder: Path, seed: int, cap_bytes: int) -> None:
        self.random = random.Random(seed)
        self.cap_bytes = cap_bytes
        self.put: Counter[str] = Counter()
        self.cloud: dict[tuple[str, int, int], bytes] = {}
        self.acked: set[tuple[str, int, int]] = set()
        self.online = False
        self.refused = 0
        self.kinds: Counter[str] = Counter()
        self._folder = folder
        self._lives = 0
        self._seq = 0
        self._boot_ms = 1_000
        self._waiting: Arrived | None = None
        self.root = StateRoot(folder / "0")
        self.start()

    def start(self) -> None:
        """A new process over the disk."""
        self._lives += 1
        self.clock = ToldClock()
        self.store = Store(self.root, "gw", self._lives, segment_bytes=64 * 1024)
        tuning = PipelineTuning(blocks_every_ms=120_000, blocks_samples=20_000, live_age_ms=120_000)
        self.pipeline = Pipeline(self.store, "gw", WindowsConfig(), (), tuning)
        self.hub = HubRetention(
            self.store, self.root, self.pipeline, StoreConfig(max_bytes=self.cap_bytes), self.clock
        )
        self._tell_time()
        self.pipeline.recover(self._boot_ms)
        self._seen(self.store.queued(0, 1_000_000))

    def crash(self, *, to: Path | None = None) -> None:
        """End without a word, and start over what the disk has (`to`: a copy that was made before)."""
        copy = to or self.copied()
        self.store.close()
        shutil.rmtree(self.root.path)
        self.root = StateRoot(copy)
        self.start()

    def copied(self) -> Path:
        """The disk as it is now."""
        target = self._folder / f"{self._lives}-{self.random.randrange(1 << 40)}"
        shutil.copytree(self.root.path, target)
        return target

    def close(self) -> None:
        self.store.close()

    # What happens.

    def later(self, ms: int) -> None:
        """Time goes by."""
        self._boot_ms += ms
        self._tell_time()

    def send(self) -> None:
        """A bridge sends some frames, or again what was refused."""
        arrived = self._waiting or self._batch()
        self._waiting = None
        if not self.hub.admits(arrived):
            self.refused += 1
            self._waiting = arrived
            return
        self.pipeline.commit(arrived, self._boot_ms)
        for batch, _ in arrived.batches:
            for frame in batch.frames:
                self.put.update(TABLE[i].name.partition("/")[0] for i in frame.series)

    def seal(self) -> None:
        """Envelopes, and what the cloud acknowledges meanwhile."""
        acks = []
        if self.online and self.random.random() < 0.7:
            waiting = self.store.queued(0, 100)
            self.acked |= {_key(item) for item in waiting}
            acks = [Ack(s, e, 0, [(n, n)]) for s, e, n in map(_key, waiting)]
        self._seen(self.pipeline.seal(acks, START_MS + self._boot_ms, self._boot_ms))

    def step(self) -> Step:
        """One step of retention; killed between its commit and the removal of files now and then."""
        store, removed = self.store, self.store.removed
        kill = self.random.random() < 0.03
        copies: list[Path] = []

        def cut(files: Sequence[Leaving]) -> None:
            copies.append(self.copied())
            raise Killed

        if kill:
            store.removed = cut  # type: ignore[method-assign]  # the moment that matters
        try:
            step = self.hub.step()
        except Killed:
            self.kinds["killed"] += 1
            self.crash(to=copies[0])
            return Step(more=True)
        finally:
            store.removed = removed  # type: ignore[method-assign]
        self._seen(step.told)
        return step

    def spoil(self, size_bytes: int) -> None:
        """A file is set aside, where another process finds room for it."""
        if self.walked() + size_bytes + UNIT <= self.cap_bytes:
            name = f"found.{self.random.randrange(1 << 40)}"
            (self.root.quarantine / name).write_bytes(bytes(size_bytes))

    # What is known.

    def waiting(self) -> Counter[str]:
        """How many envelopes wait, by stream."""
        with closing(sqlite3.connect(self.root.state_db)) as db:
            return Counter(dict(db.execute("SELECT stream, count(*) FROM outbox GROUP BY stream")))

    def walked(self) -> int:
        """Bytes below the root, by a walk of its own."""
        files = [path for path in self.root.path.rglob("*") if path.is_file()]
        return sum(-(-path.stat().st_size // UNIT) * UNIT for path in files)

    def reports(self, *types: str) -> list[dict[str, Any]]:
        """The reports of these types that the cloud has or will have."""
        found = [json.loads(body) for body in self.cloud.values()]
        return [one["report"] for one in found if one["kind"] == "report" and one["report"]["type"] in types]

    def held(self) -> Counter[str]:
        """Samples by device that a query finds."""
        found: Counter[str] = Counter()
        for column in self.store.query({one.name for one in TABLE}, 0, 1 << 50):
            found[column.series.name.partition("/")[0]] += len(column.times_ms)
        return found

    def downsampled(self) -> Counter[str]:
        """Samples by device that windows files stand for."""
        found: Counter[str] = Counter()
        for path in chain.from_iterable(files_in(self.root.windows).values()):
            with open_windows(path) as reader:
                for gone in reader.gone():
                    found[gone.series.name.partition("/")[0]] += gone.samples
        return found

    def dropped(self) -> Counter[str]:
        """Samples by device that the cloud was told to be gone."""
        found: Counter[str] = Counter()
        for report in self.reports("dropped"):
            found[report["series"].partition("/")[0]] += report["count"]
        return found

    def tombstones(self) -> list[tuple[str, int, int]]:
        """The keys of envelopes that the cloud was told not to wait for."""
        return [
            (report["stream"], int(report["epoch"], 16), seq)
            for report in self.reports("shed")
            for seq in range(report["first"], report["last"] + 1)
        ]

    def _batch(self) -> Arrived:
        wires: list[tuple[Batch, bytes]] = []
        wide = self.random.random() < 0.7
        places = tuple(range(len(KINDS), len(TABLE))) if wide else tuple(range(len(KINDS)))
        count = self.random.choice((5, 20, 50))
        for _ in range(self.random.choice((1, 2, 5))):
            frames = [Frame(self._boot_ms + i * 50, places, self._values(places)) for i in range(count)]
            batch = Batch(
                "modbus",
                7,
                self._seq + 1,
                1,
                dictionary_hash(TABLE),
                "",
                START_MS,
                ClockState.SYNCED,
                0,
                frames,
            )
            made = [(decode(wire), wire) for wire in encode(batch)]
            self._seq += len(made)
            wires += made
            self.later(count * 50)
        return Arrived([TABLE], wires)

    def _values(self, places: Iterable[int]) -> tuple[Value, ...]:
        draw = self.random
        some: dict[str, Any] = {
            "u64": lambda: draw.getrandbits(40), "i64": lambda: draw.randint(-999, 999),
            "bool": lambda: draw.random() < 0.5, "text": lambda: draw.choice(("on", "off", "stuck")),
            "f64": lambda: draw.gauss(20, 5),
        }  # fmt: skip
        found = []
        for i in places:
            value = some[TABLE[i].kind]()
            decimals = TABLE[i].decimals
            found.append(round(value, decimals) if decimals is not None else value)
        if draw.random() < 0.1:
            found[0] = None
        return tuple(found)

    def _tell_time(self) -> None:
        self.clock.tell(self._boot_ms)

    def _seen(self, items: Iterable[Queued]) -> None:
        for item in items:
            known = self.cloud.setdefault(_key(item), item.envelope.body)
            assert known == item.envelope.body, "one key with two contents"


def _key(item: Queued) -> tuple[str, int, int]:
    key = item.envelope.id
    return key.stream, key.epoch, key.seq
