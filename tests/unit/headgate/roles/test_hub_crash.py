"""The data path dies at every single step; what comes out afterwards is what went in, exactly once."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.config.stateroot import StateRoot
from headgate.store.store import Store
from tests.support import envelope_reader as reader
from tests.support import hub_crash
from tests.support.hub_crash import EXIT_CRASHED, Record


def accepted() -> Counter[tuple[str, int, object, int]]:
    found: Counter[tuple[str, int, object, int]] = Counter()
    for seq in range(1, hub_crash.BATCHES + 1):
        batch = hub_crash.batch(seq)
        for frame in batch.frames:
            for at, index in enumerate(frame.series):
                quality = frame.quality[at] if frame.quality else 0
                t_ms = frame.boot_ms + batch.utc_offset_ms
                found[hub_crash.TABLE[index].name, t_ms, frame.values[at], quality] += 1
    return found


def envelopes(record: Record) -> dict[tuple[str, int, int], bytes]:
    found: dict[tuple[str, int, int], bytes] = {}
    for stream, epoch, seq, body in record.all("published") + record.all("kept"):
        assert found.setdefault((stream, epoch, seq), body.encode()) == body.encode(), "one id, two contents"
    return found


def check(root: Path, record: Record, windows: Counter[reader.ReadWindow]) -> None:
    bodies = list(envelopes(record).values())
    samples = Counter((s.series, s.t_ms, s.value, s.quality) for body in bodies for s in reader.samples(body))
    assert samples == accepted()
    assert told(bodies) == windows
    check_chain(record)
    store = Store(StateRoot(root), "gw", 99)
    try:
        names = [series.name for series in hub_crash.TABLE]
        kept = list(store.query(names, 0, 1 << 45))
    finally:
        store.close()
    # What no block holds yet is in the journal, which a pipeline would replay into memory.
    rows = Counter(
        (c.series.name, *row) for c in kept for row in zip(c.times_ms, c.values, c.quality, strict=True)
    )
    assert rows == accepted()


def told(bodies: Iterable[bytes]) -> Counter[reader.ReadWindow]:
    """What the cloud knows of each window in the end; corrections may come one by one or together."""
    newest = reader.newest_windows(w for body in bodies for w in reader.windows(body))
    return Counter(
        replace(w, mean=round(w.mean, 9), std=round(w.std, 9), rest=rounded(w.rest)) for w in newest
    )


def rounded(text: str) -> str:
    return json.dumps(json.loads(text, parse_float=lambda number: round(float(number), 9)))


def check_chain(record: Record) -> None:
    """Within an epoch seqs have no gaps; the first envelope of one names the end of the epoch before."""
    ends: dict[tuple[str, int], int] = {}
    for (stream, epoch, seq), body in sorted(envelopes(record).items()):
        ends[stream, epoch] = max(seq, ends.get((stream, epoch), 0))
        if seq == 1 and (before := reader.load(body)["prev"]) is not None:
            assert ends[stream, int(before["epoch"], 16)] == before["seq"]
    assert sum(ends.values()) == len(envelopes(record))


def undisturbed(path: Path) -> tuple[int, Counter[reader.ReadWindow]]:
    record = Record(path / "record-undisturbed")
    steps = hub_crash.count_steps(path / "undisturbed", record)
    windows = told(envelopes(record).values())
    check(path / "undisturbed", record, windows)
    return steps, windows


def crash_and_check(path: Path, steps: list[int], windows: Counter[reader.ReadWindow]) -> None:
    """Die at each of the given steps, one start after the other, then run to the end."""
    root, record = path / "root", Record(path / "record")
    for epoch, step in enumerate(steps, start=1):
        assert hub_crash.crash_at(step, root, record, epoch) in (0, EXIT_CRASHED)
    assert hub_crash.in_child(lambda: hub_crash.run_hub(root, record, 50)) == 0
    check(root, record, windows)


def test_killed_at_any_step_nothing_is_lost_and_nothing_doubled(tmp_path: Path, seed: int) -> None:
    steps, windows = undisturbed(tmp_path)
    assert steps > 100
    assert windows
    chosen = random.Random(seed).sample(range(1, steps + 1), 40)
    for step in chosen:
        (tmp_path / str(step)).mkdir()
        crash_and_check(tmp_path / str(step), [step], windows)


def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(tmp_path: Path, seed: int) -> None:
    steps, windows = undisturbed(tmp_path)
    rng = random.Random(seed)
    for n in range(8):
        (tmp_path / f"again-{n}").mkdir()
        crash_and_check(tmp_path / f"again-{n}", [rng.randint(1, steps) for _ in range(5)], windows)


@pytest.mark.slow("hub")
@pytest.mark.timeout(1800)
def test_killed_at_every_step(tmp_path: Path) -> None:
    steps, windows = undisturbed(tmp_path)
    for step in range(1, steps + 1):
        (tmp_path / str(step)).mkdir()
        crash_and_check(tmp_path / str(step), [step], windows)
