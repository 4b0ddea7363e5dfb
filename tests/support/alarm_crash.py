"""A hub with alarms, killed at its n-th write, sync or statement, in a forked process."""

from __future__ import annotations

from pathlib import Path

from headgate.alarm.config import parse_mapping
from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_alarms import AlarmsTuning
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.window.config import WindowsConfig
from tests.support.hub_crash import Record

TABLE = tuple(Series(f"engine/t{i}", "V", "f64", 1) for i in range(3))
START_MS = 1_763_685_600_000
BATCHES = 16
ALARMS = parse_mapping(
    {
        "rules": [
            {"name": "high", "series": "engine/t0", "above": 10, "hysteresis": 2,
             "context": {"before_s": 2, "after_s": 2, "series": "engine/*"}},
            {"name": "held", "series": "engine/t0", "above": 10, "hold_s": 3.5},
            {"name": "rise", "series": "engine/t1", "rise_per_s": 3, "over_s": 2, "context": {"after_s": 3}},
            {"name": "silent", "series": "engine/t2", "stale_s": 4.5},
        ]
    }
)  # fmt: skip
TUNING = PipelineTuning(
    idle_ms=10**9, blocks_every_ms=3_000, alarms=AlarmsTuning(settle_ms=0, context_wait_ms=500)
)
HIGH = {4, 5, 8, 9, 10, 11, 12}
"""Seqs whose t0 is beyond the limit; those of t2 that there are; where t1 jumps."""
SPEAKS = {1, 2, 3, 9, 10, 16}
JUMPS = {6: 9.0, 7: 9.0}


def batch(seq: int) -> Batch:
    """A second behind the one before; the 5th brings an older, quiet frame that changes nothing."""
    values = (11.0 + seq / 10 if seq in HIGH else 5.0, JUMPS.get(seq, 1.0), float(seq))
    count = 3 if seq in SPEAKS else 2
    frames = [Frame(1000 * seq, tuple(range(count)), values[:count])]
    if seq == 5:
        frames.insert(0, Frame(2_500, (0,), (0.0,)))
    return Batch("modbus", 7, seq, 1, dictionary_hash(TABLE), "", START_MS, ClockState.SYNCED, 0, frames)


def run_hub(root: Path, record: Record, epoch: int) -> None:
    """Take the batches that are not held yet, a seal behind each and then what is due of the aftermath."""
    store = Store(StateRoot(root), "gw", epoch, segment_bytes=700)
    pipeline = Pipeline(store, "gw", WindowsConfig(), ALARMS, TUNING)
    pipeline.recover(0)
    taken = store.runs().get(("modbus", 7), 0)
    if taken:
        work(pipeline, record, 1000 * taken + 300)
    for seq in range(taken + 1, BATCHES + 1):
        (wire,) = encode(batch(seq))
        pipeline.commit(Arrived([TABLE], [(batch(seq), wire)]), 1000 * seq)
        work(pipeline, record, 1000 * seq + 300)
        work(pipeline, record, 1000 * seq + 800)
    work(pipeline, record, 1000 * BATCHES + 10_000 - 6_000)
    for queued in store.queued(0, 10_000):
        key = queued.envelope.id
        record.add("kept", [key.stream, key.epoch, key.seq, queued.envelope.body.decode()])
    store.close()


def work(pipeline: Pipeline, record: Record, boot_ms: int) -> None:
    utc_ms = START_MS + boot_ms
    sealed = pipeline.seal([], utc_ms, boot_ms)
    for row in pipeline.watch.pending:
        if row.due_ms <= utc_ms:
            sealed += pipeline.watch.settle(row, pipeline.watch.read_context(row), utc_ms)
    for item in sealed:
        key = item.envelope.id
        record.add("published", [key.stream, key.epoch, key.seq, item.envelope.body.decode()])
