"""A bridge that dies, is stopped or comes back, over real store and pipeline, on a clock that is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.batch import encode
from headgate.bus.memory import MemoryBus
from headgate.clock import ManualClock
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Quality, Series, dictionary_hash
from headgate.roles.hub_bridges import Bridges
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.store.writer import Writer
from headgate.window.config import WindowsConfig
from tests.support import envelope_reader as reader
from tests.support.running import running

TABLE = tuple(Series(f"meter-{i // 3}/t{i % 3}", "V", "f64", 1) for i in range(12))
UTC_MS = 1_800_000_000_000
SILENCE_S = 90


class Hub:
    """The parts that decide; one start of it. `ended` are bridges that were stopped."""

    def __init__(self, root: Path, clock: ManualClock, epoch: int) -> None:
        self.clock = clock
        self.bus = MemoryBus()
        self.writer = Writer()
        self.store = Store(StateRoot(root), "gw", epoch)
        self.pipeline = Pipeline(self.store, "gw", WindowsConfig(), (), PipelineTuning(mark_series=5))
        self.pipeline.recover(clock.boot_ms())
        self.marks: list[Arrived] = []
        self.on_mark: Callable[[], None] = lambda: None
        self.ended: list[str] = []
        self.bridges = Bridges(
            self.bus,
            clock,
            self.pipeline,
            self.writer,
            epoch,
            lambda: None,
            announce_ms=10_000,
            silence_ms=SILENCE_S * 1000,
            marked=self._mark,
            ended=self.ended.append,
        )
        self._run_id, self._seq = epoch * 1_000, 0

    async def send(
        self, quality: Sequence[int] = (), *, ago_ms: int = 0, series: Sequence[int] = range(len(TABLE))
    ) -> None:
        """A batch from the bridge is taken and committed."""
        batch, wire = self.batch(quality, ago_ms, series)
        self.bridges.on_batch("hg/v1/local/batch/modbus", wire)
        arrived = Arrived([TABLE], [(batch, wire)])
        await self.writer.call(self.pipeline.commit, arrived, self.clock.boot_ms())

    def batch(self, quality: Sequence[int], ago_ms: int, series: Sequence[int]) -> tuple[Batch, bytes]:
        self._seq += 1
        at_ms = self.clock.boot_ms() - ago_ms
        frames = [Frame(at_ms, tuple(series), [at_ms / 1000] * len(series), quality)]
        key = dictionary_hash(TABLE)
        batch = Batch("modbus", self._run_id, self._seq, 1, key, "", UTC_MS, ClockState.SYNCED, 0, frames)
        (wire,) = encode(batch)
        return batch, wire

    async def say(self, **said: Any) -> None:
        said = {"run_id": f"{self._run_id:016x}"} | said
        await self.bus.publish("hg/v1/local/alive/modbus", json.dumps(said).encode())

    async def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.clock.advance(1_000)
            for _ in range(8):  # what goes on between loop and thread gets its turns
                await self.writer.call(lambda: None)

    def _mark(self, arrived: Arrived) -> None:
        self.marks.append(arrived)
        self.on_mark()

    def seal(self) -> list[reader.ReadSample]:
        sealed = self.pipeline.seal([], self.clock.utc_ms(), self.clock.boot_ms())
        return [sample for item in sealed for sample in reader.samples(item.envelope.body)]


@asynccontextmanager
async def a_hub(root: Path, clock: ManualClock | None = None, epoch: int = 1) -> AsyncIterator[Hub]:
    hub = Hub(root, clock or ManualClock(utc_ms=UTC_MS), epoch)
    async with hub.bus:
        with hub.bridges.attached():
            async with running(hub.bridges.run()):
                await hub.clock.advance(0)
                yield hub
    hub.writer.close()
    hub.store.close()


def marked(samples: Sequence[reader.ReadSample]) -> list[str]:
    assert all(s.value is None for s in samples if s.quality == Quality.BAD_COMM)
    return sorted(s.series for s in samples if s.quality == Quality.BAD_COMM)


NAMES = sorted(series.name for series in TABLE)


async def test_a_dead_bridges_series_are_marked_once(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        await hub.send()
        await hub.wait(SILENCE_S - 1)
        assert marked(hub.seal()) == []
        await hub.wait(11)
        found = hub.seal()
        assert marked(found) == NAMES
        assert {s.t_ms for s in found} == {UTC_MS + SILENCE_S * 1000}
        assert len(hub.marks) == 3  # five series at a time
        await hub.wait(300)
        assert hub.seal() == []
        assert hub.pipeline.counters.marked == len(TABLE)


async def test_series_that_were_bad_already_are_left_alone(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        await hub.send([0, 1, 2, 3, 4, 5] * 2)
        hub.seal()
        await hub.wait(SILENCE_S + 10)
        assert marked(hub.seal()) == sorted(TABLE[i].name for i in (0, 1, 2, 6, 7, 8))


async def test_a_bridge_with_nothing_to_send_answers_and_is_alive(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        await hub.send()
        for _ in range(30):
            await hub.say()
            await hub.wait(10)
        assert marked(hub.seal()) == []


async def test_new_samples_end_it_and_the_next_death_is_marked_again(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        for _ in range(2):
            await hub.send()
            hub.seal()
            await hub.wait(SILENCE_S + 10)
            assert marked(hub.seal()) == NAMES


async def test_what_a_bridge_kept_is_taken_behind_the_mark(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        await hub.send()
        await hub.wait(SILENCE_S + 10)
        assert marked(hub.seal()) == NAMES
        for ago_ms in (60_000, 50_000, 0):
            await hub.send(ago_ms=ago_ms, series=[0])
        found = [s.t_ms - UTC_MS - hub.clock.boot_ms() for s in hub.seal()]
        assert sorted(found) == [-60_000, -50_000, 0]


async def test_a_bridge_that_comes_back_while_it_is_marked_is_marked_no_further(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        await hub.send()
        _, wire = hub.batch((), 0, [0])
        hub.on_mark = lambda: hub.bridges.on_batch("hg/v1/local/batch/modbus", wire)
        await hub.wait(SILENCE_S + 10)
        assert len(marked(hub.seal())) == 5


async def test_a_hub_that_starts_while_the_bridge_is_dead_marks_it_once(tmp_path: Path) -> None:
    clock = ManualClock(utc_ms=UTC_MS)
    async with a_hub(tmp_path, clock) as hub:
        await hub.send([0, 0, 0, 3] * 3)
        hub.seal()
    fresh = sorted(series.name for i, series in enumerate(TABLE) if i % 4 != 3)
    for epoch, expected in ((2, fresh), (3, [])):
        async with a_hub(tmp_path, clock, epoch) as hub:
            await hub.wait(SILENCE_S - 1)
            assert hub.seal() == []
            await hub.wait(11)
            assert marked(hub.seal()) == expected


async def test_a_mark_that_was_not_sealed_is_sealed_after_the_crash(tmp_path: Path) -> None:
    clock = ManualClock(utc_ms=UTC_MS)
    async with a_hub(tmp_path, clock) as hub:
        await hub.send()
        hub.seal()
        await hub.wait(SILENCE_S + 10)
    async with a_hub(tmp_path, clock, 2) as hub:
        assert marked(hub.seal()) == NAMES
        await hub.wait(SILENCE_S + 10)
        assert hub.seal() == []


async def test_a_bridge_that_was_stopped_is_not_dead(tmp_path: Path) -> None:
    clock = ManualClock(utc_ms=UTC_MS)
    async with a_hub(tmp_path, clock) as hub:
        await hub.send()
        await hub.say(stopping=True)
        await hub.wait(SILENCE_S + 10)
        assert marked(hub.seal()) == []
        assert hub.ended == ["modbus"]
    async with a_hub(tmp_path, clock, 2) as hub:
        await hub.wait(SILENCE_S + 10)
        assert hub.seal() == []


async def test_a_bridge_that_does_not_come_back_with_its_hub_is_dead(tmp_path: Path) -> None:
    """The nucleus stops both when it starts again: that a bridge then says so is no word about its future."""
    clock = ManualClock(utc_ms=UTC_MS)
    async with a_hub(tmp_path, clock) as hub:
        await hub.send()
        await hub.say(stopping=True)
        await hub.wait(5)
        hub.seal()
    async with a_hub(tmp_path, clock, 2) as hub:
        await hub.wait(SILENCE_S + 10)
        assert marked(hub.seal()) == NAMES


async def test_what_is_no_sign_of_life_is_refused(tmp_path: Path) -> None:
    async with a_hub(tmp_path) as hub:
        await hub.send()
        for payload in (b"", b"[]", b"{}", b'{"run_id": 1}', b'{"run_id": "x"}', b"\xff"):
            await hub.bus.publish("hg/v1/local/alive/modbus", payload)
        hub.bridges.on_batch("hg/v1/local/batch/modbus", b"nothing")
        await hub.wait(SILENCE_S + 10)
        assert marked(hub.seal()) == NAMES
