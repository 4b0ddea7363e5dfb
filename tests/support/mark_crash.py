"""A hub whose bridge dies twice, killed itself at its n-th write, sync or statement, in a forked process."""

from __future__ import annotations

from pathlib import Path

from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Quality, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.window.config import WindowsConfig
from tests.support.hub_crash import Record

TABLE = tuple(Series(f"meter-{i // 2}/t{i}", "V", "f64", 1) for i in range(6))
START_MS = 1_763_685_599_000
TUNING = PipelineTuning(idle_ms=10**9, blocks_every_ms=3_000, mark_series=2)
DEATHS = (3, 6)
"""Behind the batches of which seqs the bridge is dead."""
DEATH_MS = {3: 20_000, 6: 50_000}
"""When; each start of the hub decides 1 ms later than the one before."""
BAD = {3: 4, 6: 5}
"""The series whose last sample was bad then."""
TIMES_MS = {1: 100, 2: 200, 3: 300, 4: 400, 5: 30_000, 6: 30_100}
"""The 4th was kept by the bridge when it died for the first time."""


def batch(seq: int) -> Batch:
    bad = BAD.get(seq)
    quality = [Quality.BAD_VALUE if i == bad else Quality.GOOD for i in range(len(TABLE))]
    frames = [Frame(TIMES_MS[seq], tuple(range(len(TABLE))), (seq / 10,) * len(TABLE), tuple(quality))]
    return Batch("modbus", 7, seq, 1, dictionary_hash(TABLE), "", START_MS, ClockState.SYNCED, 0, frames)


def run_hub(root: Path, record: Record, epoch: int) -> None:
    """Take the batches that are not held yet; mark the bridge's series each time that it is dead."""
    store = Store(StateRoot(root), "gw", epoch, segment_bytes=700)
    pipeline = Pipeline(store, "gw", WindowsConfig(), (), TUNING)
    pipeline.recover(0)
    taken = store.runs().get(("modbus", 7), 0)
    for seq in range(max(taken, 1), max(TIMES_MS) + 1):
        if seq > taken:
            (wire,) = encode(batch(seq))
            pipeline.commit(Arrived([TABLE], [(batch(seq), wire)]), TIMES_MS[seq])
            seal(pipeline, record, TIMES_MS[seq])
        if seq in DEATHS:
            boot_ms = DEATH_MS[seq] + epoch
            while pipeline.mark("modbus", boot_ms, START_MS + boot_ms, ClockState.SYNCED).batches:
                if epoch % 2:
                    seal(pipeline, record, boot_ms)
    seal(pipeline, record, 2 * TUNING.idle_ms)
    for queued in store.queued(0, 10_000):
        key = queued.envelope.id
        record.add("kept", [key.stream, key.epoch, key.seq, queued.envelope.body.decode()])
    store.close()


def seal(pipeline: Pipeline, record: Record, boot_ms: int) -> None:
    for item in pipeline.seal([], START_MS + boot_ms, boot_ms):
        key = item.envelope.id
        record.add("published", [key.stream, key.epoch, key.seq, item.envelope.body.decode()])
