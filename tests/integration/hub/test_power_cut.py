"""The power is cut at any moment of a hub's data path: the store opens and holds what was synced before."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from headgate.batch import encode
from headgate.config import stateroot
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal
from headgate.model import Ack, Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store import sqlite as store_sqlite
from headgate.store.files import Disk
from headgate.store.store import Store
from headgate.window.config import WindowsConfig
from headgate.window.definition import Definition
from tests.support import powercut_sqlite
from tests.support.powercut_trace import Op, RecordingDisk, Trace, images

TABLE = tuple(Series(f"meter-a/t{i}", "V", "f64", 1) for i in range(3))
NAMES = [series.name for series in TABLE]
BATCHES = 60
START_MS = 1_763_683_200_000 - 12_000
"""Twelve seconds before midnight; a batch every 400 ms."""
TUNING = PipelineTuning(idle_ms=10**9, blocks_every_ms=3_000)
WINDOWS = WindowsConfig(Definition(1_000, 1_000), lateness_ms=300)
Row = tuple[str, int, float]


def batch(seq: int) -> Batch:
    """Two frames; now and then one of other series, or of before."""
    t = seq * 400
    frames = [Frame(t, (0, 1, 2), (seq / 10, seq + 0.5, -seq / 10)), Frame(t + 200, (0, 1), (1.5, seq / 10))]
    if seq % 7 == 0:
        frames.append(Frame(t - 2_100, (2,), (seq + 0.1,)))
    return Batch("modbus", 7, seq, 1, dictionary_hash(TABLE), "", START_MS, ClockState.SYNCED, 0, frames)


def rows_of(one: Batch) -> list[Row]:
    return [
        (TABLE[i].name, frame.boot_ms + START_MS, float(value or 0))
        for frame in one.frames
        for i, value in zip(frame.series, frame.values, strict=True)
    ]


def run(root: Path, epoch: int, disk: Disk, promise: list[object] | Trace) -> None:
    """Take every batch that is not held yet, three commits to a seal; tell what is promised."""
    tell = promise.mark if isinstance(promise, Trace) else promise.append
    store = Store(StateRoot(root), "gw", epoch, segment_bytes=1_500, disk=disk)
    pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING)
    held = store.runs().get(("modbus", 7), 0)
    pipeline.recover(held * 400)
    held = store.runs().get(("modbus", 7), 0)
    acks: list[Ack] = []
    for seq in range(held + 1, BATCHES + 1):
        (wire,) = encode(batch(seq))
        pipeline.commit(Arrived([TABLE], [(batch(seq), wire)]), seq * 400)
        tell(("held", seq))
        if seq % 3 == 0:
            sealed = pipeline.seal(acks, START_MS + seq * 400, seq * 400)
            for ack in acks:
                tell(("sent", ack))
            for item in sealed:
                tell(("sealed", item.envelope))
            acks = [Ack(i.envelope.id.stream, epoch, i.envelope.id.seq - 3) for i in sealed[-1:]]
    pipeline.seal([], START_MS + 10**6, 10**6)
    store.close()


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Op]:
    """What an undisturbed run does to its files."""
    library = powercut_sqlite.library()
    if library is None:
        pytest.skip("this Python has SQLite built in: what it writes cannot be recorded")
    folder = tmp_path_factory.mktemp("recorded")
    StateRoot(folder).create()
    found = Trace(folder)
    real = stateroot.sync_directory
    with pytest.MonkeyPatch.context() as patch, powercut_sqlite.recorded(library, found):

        def sync_directory(path: Path) -> None:
            real(path)
            found.add("sync_directory", path)

        patch.setattr(store_sqlite, "sync_directory", sync_directory)
        run(folder, 1, RecordingDisk(found), found)
    return found.ops


def check(image: Path, promised: Sequence[object]) -> None:
    """Open it, compare it with what was promised, go on to the end, compare again."""
    held = max((m[1] for m in promised if isinstance(m, tuple) and m[0] == "held"), default=0)
    root = StateRoot(image)
    store = Store(root, "gw", 2, segment_bytes=1_500)
    pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING)
    pipeline.recover(held * 400)
    taken = store.runs().get(("modbus", 7), 0)
    assert held <= taken <= held + 1
    assert found_in(store) == sorted(row for seq in range(1, taken + 1) for row in rows_of(batch(seq)))
    check_envelopes(store, promised)
    store.close()
    run(image, 3, Disk(), [])
    store = Store(root, "gw", 4, segment_bytes=1_500)
    Pipeline(store, "gw", WINDOWS, (), TUNING).recover(10**6)
    assert found_in(store) == sorted(row for seq in range(1, BATCHES + 1) for row in rows_of(batch(seq)))
    store.close()


def found_in(store: Store) -> list[Row]:
    found: list[Row] = []
    for column in store.query(NAMES, 0, 1 << 45):
        for t, value in zip(column.times_ms, column.values, strict=True):
            found.append((column.series.name, t, float(value or 0)))  # reads better
    return sorted(found)


def check_envelopes(store: Store, promised: Sequence[object]) -> None:
    """What was published and not acknowledged is there, bit by bit."""
    kept = {(e.id.stream, e.id.seq): e.body for e in (q.envelope for q in store.queued(0, 10_000))}
    sent = [m[1] for m in promised if isinstance(m, tuple) and m[0] == "sent"]
    for mark in promised:
        if isinstance(mark, tuple) and mark[0] == "sealed":
            key = mark[1].id
            body = kept.get((key.stream, key.seq))
            if body is None:
                assert acknowledged(key.stream, key.seq, sent, promised)
            else:
                assert body == mark[1].body


def acknowledged(stream: str, seq: int, sent: Sequence[Ack], promised: Sequence[object]) -> bool:
    """Whether it may be gone: an acknowledgement of it was given, or was about to be."""
    sealed = [m[1].id for m in promised if isinstance(m, tuple) and m[0] == "sealed"]
    newest = max((key.seq for key in sealed if key.stream == stream), default=0)
    return any(ack.stream == stream and seq <= ack.up_to for ack in sent) or seq <= newest - 3


def cut_and_check(ops: Sequence[Op], count: int, seed: int, folder: Path) -> None:
    for name, image, promised in images(ops, count, seed, folder):
        StateRoot(image).create()
        try:
            check(image, promised)
        except BaseException as error:
            error.add_note(f"{name}; the disk is kept in {image}")
            raise
        shutil.rmtree(image)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Torn tails are warned of by the hundred."""
    with caplog.at_level(logging.ERROR):
        yield


def test_power_is_cut_at_some_moments(trace: Sequence[Op], tmp_path: Path, seed: int) -> None:
    cut_and_check(trace, 25, seed, tmp_path)


@pytest.mark.slow("powercut")
def test_power_is_cut_at_any_moment(trace: Sequence[Op], tmp_path: Path, seed: int) -> None:
    cut_and_check(trace, 800, seed, tmp_path)


def test_the_disk_that_forgets_is_noticed(trace: Sequence[Op], tmp_path: Path) -> None:
    """Were syncs left out, the suite would tell."""
    forgetful = [op for op in trace if op.what != "sync" or not op.path.match("journal/*")]
    with pytest.raises((AssertionError, Fatal)) as caught:
        cut_and_check(forgetful, 60, 1, tmp_path)
    assert "the disk is kept in" in caught.value.__notes__[0]
