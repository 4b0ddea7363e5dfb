"""A hub's data path while a clock is set, killed at its n-th step (see `hub_crash`): batches wait, then get
their time.
"""

from __future__ import annotations

from pathlib import Path

from headgate.batch import decode, encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.timeline import Reading
from headgate.window.config import WindowsConfig
from headgate.window.definition import Definition
from tests.support.hub_crash import Record

TABLE = (Series("meter-a/x", "V", "i64"),)
BATCHES, SYNCED_FROM = 14, 8
START_MS = 1_763_685_600_000
WINDOWS = WindowsConfig(Definition(1_000, 1_000), lateness_ms=300)
TUNING = PipelineTuning(idle_ms=10**9, blocks_every_ms=2_000)


def batch(seq: int) -> Batch:
    """One sample, whose value is the batch's seq, 400 ms behind the one before."""
    synced = seq >= SYNCED_FROM
    clock = ClockState.SYNCED if synced else ClockState.UNSYNCED
    frames = [Frame(seq * 400, (0,), (seq,))]
    key = dictionary_hash(TABLE)
    return Batch("modbus", 7, seq, 1, key, "a", START_MS if synced else 0, clock, 0, frames)


def run_hub(root: Path, record: Record, epoch: int) -> None:
    """Take all batches that are not acknowledged, seal after each second one."""
    seq = max(record.all("acked"), default=0)

    def read() -> Reading:
        synced = seq >= SYNCED_FROM
        clock = ClockState.SYNCED if synced else ClockState.UNSYNCED
        return Reading("a", seq * 400, seq * 400 + (START_MS if synced else 0), clock)

    store = Store(StateRoot(root), "gw", epoch, segment_bytes=400)
    pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING, read)
    pipeline.recover(seq * 400)
    while seq < BATCHES:
        seq += 1
        (wire,) = encode(batch(seq))
        pipeline.commit(Arrived([TABLE], [(decode(wire), wire)]), seq * 400)
        record.add("acked", seq)
        if seq % 2 == 0:
            pipeline.seal([], read().utc_ms, seq * 400)
    for extra in range(BATCHES):
        pipeline.seal([], START_MS + 10**6 + extra, 2 * TUNING.idle_ms + extra)
    for queued in store.queued(0, 10_000):
        record.add("kept", queued.envelope.body.decode())
    names = {TABLE[0].name}
    record.add("query", [list(c.values) for c in store.query(names, START_MS, START_MS + 10**6)])
    store.close()
