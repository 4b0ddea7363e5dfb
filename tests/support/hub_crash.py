"""A hub's data path that is killed at its n-th write, sync or statement, in a forked process."""

from __future__ import annotations

import json
import os
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.model import Ack, Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.uplink.config import UplinkConfig
from headgate.window.config import WindowsConfig
from headgate.window.definition import STATISTICS, Definition
from headgate.window.part import Rule

TABLE = tuple(Series(f"meter-a/t{i}", "V", "f64", 1) for i in range(3))
BRIDGE, RUN = "modbus", 7
START_MS = 1_763_685_599_000
WINDOWS = WindowsConfig(
    Definition(1_000, 1_000, Rule(60_000, 0), frozenset(STATISTICS), (0.5,)), lateness_ms=300
)
BATCHES = 14
TUNING = PipelineTuning(idle_ms=10**9, blocks_every_ms=3_000)

EXIT_CRASHED = 9
EXIT_FAILED = 3


def batch(seq: int) -> Batch:
    """Two frames 200 ms apart, 400 ms behind the batch before; every fifth brings an older frame too."""
    t = seq * 400
    frames = [Frame(t, (0, 1, 2), (seq / 10, seq + 0.5, None), (0, 1, 3)), Frame(t + 200, (0, 1), (1.5, 2.5))]
    if seq % 5 == 0:
        frames.insert(0, Frame(t - 900, (2,), (seq + 0.1,)))
    return Batch(BRIDGE, RUN, seq, 1, dictionary_hash(TABLE), "", START_MS, ClockState.SYNCED, 0, frames)


class Record:
    """What the world outside saw: seqs acknowledged to the bridge, envelopes published."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, what: str, value: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([what, value]) + "\n")

    def all(self, what: str) -> list[Any]:
        if not self._path.exists():
            return []
        rows = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [value for name, value in rows if name == what]


def run_hub(root: Path, record: Record, epoch: int) -> None:
    """Take all batches that are not acknowledged, seal after each second one, acknowledge some envelopes."""
    store = Store(StateRoot(root), "gw", epoch, segment_bytes=700)
    pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING, uplink=UplinkConfig(means="exact"))
    boot_ms = max(record.all("acked"), default=0) * 400
    pipeline.recover(boot_ms)
    acks: list[Ack] = []
    for seq in range(max(record.all("acked"), default=0) + 1, BATCHES + 1):
        (wire,) = encode(batch(seq))
        pipeline.commit(Arrived([TABLE], [(batch(seq), wire)]), seq * 400)
        record.add("acked", seq)
        if seq % 2 == 0:
            for item in pipeline.seal(acks, START_MS + seq * 400, seq * 400):
                key = item.envelope.id
                record.add("published", [key.stream, key.epoch, key.seq, item.envelope.body.decode()])
                acks = [Ack(key.stream, key.epoch, key.seq - 2, [])]
    pipeline.seal([], START_MS + 10**6, 2 * TUNING.idle_ms)
    for queued in store.queued(0, 10_000):
        key = queued.envelope.id
        record.add("kept", [key.stream, key.epoch, key.seq, queued.envelope.body.decode()])
    store.close()


Work = Callable[[Path, Record, int], None]


def count_steps(root: Path, record: Record, run: Work = run_hub) -> int:
    """How many steps an undisturbed run takes."""
    steps = root.parent / "steps"

    def child() -> None:
        counter = _Steps(0)
        with_steps(counter)
        run(root, record, 1)
        steps.write_text(str(counter.taken))

    assert in_child(child) == 0
    return int(steps.read_text())


def crash_at(step: int, root: Path, record: Record, epoch: int, run: Work = run_hub) -> int:
    """Run until the n-th step, then die there; returns how the process ended."""

    def child() -> None:
        with_steps(_Steps(step))
        run(root, record, epoch)

    return in_child(child)


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = EXIT_FAILED
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class _Steps:
    def __init__(self, last: int) -> None:
        self.taken = 0
        self._last = last

    def step(self) -> bool:
        """Count; whether this is the one at which to die."""
        self.taken += 1
        return self.taken == self._last


def with_steps(steps: _Steps) -> None:
    """Make every durable operation of this process a step. A fatal write gets half of its bytes out."""
    write = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if steps.step():
            write(fd, bytes(data)[: len(data) // 2], offset)
            os._exit(EXIT_CRASHED)
        return write(fd, data, offset)

    os.pwrite = pwrite  # type: ignore[assignment]  # this process does nothing else
    _step_system_calls(steps)
    _step_statements(steps)


def _step_system_calls(steps: _Steps) -> None:
    def stepped(name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if steps.step():
                os._exit(EXIT_CRASHED)
            result = original(*args, **kwargs)
            if steps.step():
                os._exit(EXIT_CRASHED)
            return result

        yield name, call

    for name in ("fdatasync", "fsync", "posix_fallocate", "truncate", "unlink", "replace", "rename"):
        for found, call in stepped(name):
            setattr(os, found, call)


def _step_statements(steps: _Steps) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            if steps.step():
                os._exit(EXIT_CRASHED)
            return super().execute(*args)

        def executemany(self, *args: Any) -> sqlite3.Cursor:
            if steps.step():
                os._exit(EXIT_CRASHED)
            return super().executemany(*args)

    connect = sqlite3.connect

    def connect_stepped(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return connect(*args, **kwargs, factory=Connection)

    sqlite3.connect = connect_stepped  # type: ignore[assignment]  # as above
