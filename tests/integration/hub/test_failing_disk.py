"""The disk fails once (EIO) at any moment of a hub's data path: the root is opened again, nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from headgate.batch import encode
from headgate.clock import ManualClock
from headgate.config.stateroot import StateRoot
from headgate.model import Ack
from headgate.roles.hub_life import live
from headgate.roles.hub_pipeline import Arrived, Pipeline
from headgate.store.store import Store
from tests.support.damaged_root import (
    BATCHES,
    SEGMENT_BYTES,
    START_MS,
    TABLE,
    TUNING,
    WINDOWS,
    batch,
    found_in,
    rows_of,
    waiting,
)
from tests.support.failing_disk import FailingDisk


class Hurried(ManualClock):
    """Nobody waits."""

    async def sleep_until(self, boot_ms: int) -> None:
        await asyncio.sleep(0)


class Hub:
    """Lives over one root. `held`: batches that a bridge was told are safe; `sealed`: what was published."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lives = 0
        self.held = 0
        self.sealed: dict[tuple[str, int, int], bytes] = {}
        self.acked: set[tuple[str, int, int]] = set()

    async def once(self) -> None:
        """As the role does: open, replay, take what the bridge has, close whatever happens."""
        self.lives += 1
        store = Store(StateRoot(self.root), "gw", self.lives, segment_bytes=SEGMENT_BYTES)
        try:
            self._work(store)
        finally:
            store.close()

    def _work(self, store: Store) -> None:
        pipeline = Pipeline(store, "gw", WINDOWS, (), TUNING)
        pipeline.recover(self.held * 400)
        taken = store.runs().get(("modbus", 7), 0)
        assert self.held <= taken <= self.held + 1
        assert found_in(store) == rows_until(taken)
        kept = waiting(store)
        assert all(kept.get(key) == body for key, body in self.sealed.items() if key not in self.acked)
        for seq in range(self.held + 1, BATCHES + 1):
            (wire,) = encode(batch(seq))
            pipeline.commit(Arrived([TABLE], [(batch(seq), wire)]), seq * 400)
            self.held = seq
            if seq % 3 == 0:
                self._seal(pipeline, seq)

    def _seal(self, pipeline: Pipeline, seq: int) -> None:
        due = [key for key in self.sealed if key not in self.acked][:1]
        self.acked |= set(due)
        acks = [Ack(stream, epoch, 0, [(number, number)]) for stream, epoch, number in due]
        for item in pipeline.seal(acks, START_MS + seq * 400, seq * 400):
            one = item.envelope
            self.sealed[one.id.stream, one.id.epoch, one.id.seq] = one.body


def rows_until(taken: int) -> list[tuple[str, int, float]]:
    return sorted(row for seq in range(1, taken + 1) for row in rows_of(batch(seq)))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.CRITICAL):
        yield


async def lives(root: Path, disk: FailingDisk) -> Hub:
    hub = Hub(root)
    with pytest.MonkeyPatch.context() as patch:
        disk.install(patch)
        await live(hub.once, root, Hurried(), asyncio.Event())
    await hub.once()
    assert hub.held == BATCHES
    return hub


async def fail_at(places: Sequence[int], seed: int, folder: Path) -> None:
    draw = random.Random(seed)
    again = 0
    for at in places:
        disk = FailingDisk(at, forgets=draw.random() < 0.5, rolls_back=draw.random() < 0.5)
        try:
            hub = await lives(folder / str(at), disk)
        except BaseException as error:
            error.add_note(f"failed at {at}: {disk.failed}; kept in {folder / str(at)}")
            raise
        assert disk.failed
        again += hub.lives > 2
    assert again > len(places) // 2


async def count(folder: Path) -> int:
    disk = FailingDisk(0, forgets=False, rolls_back=False)
    hub = await lives(folder / "whole", disk)
    assert hub.lives == 2
    return disk.taken


async def test_the_disk_fails_at_some_moments(tmp_path: Path, seed: int) -> None:
    steps = await count(tmp_path)
    assert steps > 500
    await fail_at(random.Random(seed).sample(range(1, steps + 1), 12), seed, tmp_path)


@pytest.mark.slow("powercut")
@pytest.mark.timeout(1_200)
async def test_the_disk_fails_at_any_moment(tmp_path: Path, seed: int) -> None:
    await fail_at(range(1, await count(tmp_path) + 1), seed, tmp_path)
