"""A machine whose clock is often wrong, two bridges and a hub's data path on it, and what must come of it."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from headgate.batch import decode, encode
from headgate.config.stateroot import StateRoot
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.store import Store
from headgate.timeline import Reading
from headgate.uplink.config import UplinkConfig
from headgate.window.config import WindowsConfig
from headgate.window.definition import Definition
from tests.support import envelope_reader as reader

TRUE_MS = 1_763_685_600_000
PLAUSIBLE_MS = 1_735_689_600_000
"""2025: nothing that was ever known of time is older."""
HOUR_MS = 3_600_000
AHEAD_MS = 60_000
DAY_MS = 24 * HOUR_MS
LENGTH_MS = 2_000
BRIDGES = ("modbus", "ble")
TABLES = {bridge: (Series(f"{bridge}-dev/x", "V", "i64"),) for bridge in BRIDGES}
WINDOWS = WindowsConfig(Definition(LENGTH_MS, LENGTH_MS), lateness_ms=300)


@dataclass(frozen=True)
class Told:
    """What a bridge told of one sample: its value is its name."""

    value: int
    bridge: str
    boot: str
    boot_ms: int
    offset_ms: int
    clock: ClockState


@dataclass
class Got:
    """A sample as the cloud has it."""

    series: str
    t_ms: int
    quality: int
    clock: str


@dataclass
class Bridge:
    name: str
    run_id: int
    seq: int = 0
    frames: list[tuple[Frame, Told]] = field(default_factory=list)
    batches: list[tuple[Batch, list[Told]]] = field(default_factory=list)


class World:
    """Time passes by what is called; a `Pipeline` over a store in `root` is what is tested."""

    def __init__(self, root: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.root = root
        self.boots = self.runs = self.epochs = self.values = 0
        self.committed: list[Told] = []
        self.offsets: dict[str, set[int]] = defaultdict(set)
        self.known: set[str] = set()
        self.ahead: set[int] = set()
        self.given_up: set[str] = set()
        self.bodies: list[bytes] = []
        self.true_ms = TRUE_MS
        self._power_on(TRUE_MS, ClockState.SYNCED)

    # The machine.

    @property
    def boot_ms(self) -> int:
        return self.true_ms - self.started_ms

    def reading(self) -> Reading:
        return Reading(self.boot, self.boot_ms, self.boot_ms + self.offset_ms, self.clock)

    def advance(self, ms: int) -> None:
        self.true_ms += ms

    def set_clock(self, utc_ms: int, clock: ClockState) -> None:
        self.offset_ms, self.clock = utc_ms - self.boot_ms, clock

    def reboot(self, utc_ms: int, clock: ClockState) -> None:
        self.store.close()
        self.advance(self.random.randrange(1_000, 60_000))
        self._power_on(utc_ms, clock)

    def _power_on(self, utc_ms: int, clock: ClockState) -> None:
        self.boots += 1
        self.boot = f"boot-{self.boots}"
        self.started_ms = self.true_ms - 5_000
        self.set_clock(utc_ms, clock)
        self.bridges = [self._bridge(name) for name in BRIDGES]
        self.start_hub()

    # Bridges.

    def _bridge(self, name: str) -> Bridge:
        self.runs += 1
        return Bridge(name, self.runs)

    def restart_bridge(self) -> None:
        """What it has not handed over is gone."""
        at = self.random.randrange(len(BRIDGES))
        self.bridges[at] = self._bridge(BRIDGES[at])

    def sample(self, bridge: Bridge) -> None:
        self.values += 1
        told = Told(self.values, bridge.name, self.boot, self.boot_ms, 0, self.clock)
        bridge.frames.append((Frame(self.boot_ms, (0,), (self.values,)), told))

    def pack(self, bridge: Bridge) -> None:
        if not bridge.frames:
            return
        bridge.seq += 1
        key = dictionary_hash(TABLES[bridge.name])
        frames = [frame for frame, _ in bridge.frames]
        batch = Batch(
            bridge.name, bridge.run_id, bridge.seq, 1, key, self.boot, self.offset_ms, self.clock, 0, frames
        )
        told = [
            Told(one.value, one.bridge, one.boot, one.boot_ms, self.offset_ms, self.clock)
            for _, one in bridge.frames
        ]
        bridge.batches.append((batch, told))
        bridge.frames = []

    # The hub.

    def start_hub(self) -> None:
        self.epochs += 1
        self.store = Store(StateRoot(self.root), "gw", self.epochs, segment_bytes=1_500)
        tuning = PipelineTuning(blocks_every_ms=20_000)
        exact = UplinkConfig(means="exact")
        self.pipeline = Pipeline(self.store, "gw", WINDOWS, (), tuning, self.reading, exact)
        self.pipeline.recover(self.boot_ms)
        if self.clock is not ClockState.UNSYNCED:
            self.offsets[self.boot].add(self.offset_ms)

    def crash_hub(self) -> None:
        self.store.close()
        self.start_hub()

    def hand_over(self, bridge: Bridge) -> None:
        """Some of what it holds; the last one again, as if its acknowledgement was lost."""
        count = self.random.randrange(1, 5)
        batches, bridge.batches = bridge.batches[:count], bridge.batches[count:]
        arrived = Arrived([TABLES[bridge.name]], [(decode(w), w) for b, _ in batches for w in encode(b)])
        self.pipeline.commit(arrived, self.boot_ms)
        if self.random.random() < 0.2:
            self.pipeline.commit(arrived, self.boot_ms)
        self.committed += [one for _, told in batches for one in told]
        self.ahead |= {one.value for _, told in batches for one in told if self._is_ahead(told)}
        self._looked()

    def _is_ahead(self, told: list[Told]) -> bool:
        newest_ms = max(one.boot_ms + one.offset_ms for one in told)
        return self.clock is ClockState.SYNCED and newest_ms > self.reading().utc_ms + AHEAD_MS

    def seal(self) -> None:
        now = self.reading()
        self.bodies += [item.envelope.body for item in self.pipeline.seal([], now.utc_ms, self.boot_ms)]
        self._looked()

    def finish(self) -> None:
        """Everything is handed over, every window closed; a clock that is not set stays so until a reboot."""
        for bridge in self.bridges:
            self.pack(bridge)
            while bridge.batches:
                self.hand_over(bridge)
        if self.clock is ClockState.UNSYNCED:
            self.reboot(self.true_ms, ClockState.SYNCED)
        for _ in range(100):
            self.advance(1_000)
            self.seal()

    def _looked(self) -> None:
        """What the hub knows of this boot's offset, and whether it was to give up waiting for that."""
        if self.clock is not ClockState.UNSYNCED:
            self.offsets[self.boot].add(self.offset_ms)
            self.known.add(self.boot)
            return
        waits = [
            one.boot_ms
            for one in self.committed
            if one.boot == self.boot and one.clock is ClockState.UNSYNCED
        ]
        if waits and self.boot_ms - min(waits) >= DAY_MS:
            self.given_up.add(self.boot)

    # What came of it.

    def got(self) -> dict[int, Got]:
        found: dict[int, Got] = {}
        for body in self.bodies:
            clock = reader.load(body)["clock"]
            for sample in reader.samples(body):
                assert isinstance(sample.value, int)
                assert sample.value not in found, "a sample came twice"
                found[sample.value] = Got(sample.series, sample.t_ms, sample.quality, clock)
        return found

    def check(self) -> None:
        """Nothing lost, nothing doubled, times right or uncertain, windows and queries those of the times."""
        got = self.got()
        assert sorted(got) == [one.value for one in sorted(self.committed, key=lambda one: one.value)]
        for one in self.committed:
            self._check_time(one, got[one.value])
        self._check_windows([each for each in got.items() if each[1].clock != "unsynced"])
        self._check_queries(got)

    def _check_time(self, one: Told, sample: Got) -> None:
        offset_ms = sample.t_ms - one.boot_ms
        if one.value in self.ahead:
            assert (offset_ms in self.offsets[one.boot], sample.quality, sample.clock) == (
                True,
                1,
                "unsynced",
            )
        elif one.clock is not ClockState.UNSYNCED:
            assert (offset_ms, sample.quality, sample.clock) == (one.offset_ms, 0, one.clock.name.lower())
        elif sample.clock == "unsynced":
            assert sample.quality == 1
            assert one.boot not in self.known or one.boot in self.given_up
            assert PLAUSIBLE_MS <= sample.t_ms <= self.true_ms + 3 * HOUR_MS
        else:
            assert sample.quality == 0
            assert offset_ms in self.offsets[one.boot]

    def _check_windows(self, sure: list[tuple[int, Got]]) -> None:
        expected: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for value, sample in sure:
            expected[sample.series, sample.t_ms // LENGTH_MS * LENGTH_MS].append((sample.t_ms, value))
        rows = [window for body in self.bodies for window in reader.windows(body)]
        found = {(window.series, window.start_ms): window for window in reader.newest_windows(rows)}
        assert sorted(found.keys() - expected.keys()) == sorted(expected.keys() - found.keys()) == []
        for key, samples in expected.items():
            window, values = found[key], [value for _, value in samples]
            times = sorted(samples)
            assert (window.n, window.min, window.max) == (len(values), min(values), max(values)), key
            assert abs(window.mean - sum(values) / len(values)) < 1e-6 * max(values)
            firsts = {value for t, value in samples if t == times[0][0]}
            lasts = {value for t, value in samples if t == times[-1][0]}
            assert window.first in firsts
            assert window.last in lasts

    def _check_queries(self, got: dict[int, Got]) -> None:
        times = sorted(sample.t_ms for sample in got.values())
        if not times:
            return
        ranges = [(times[0], times[-1] + 1)]
        for _ in range(20):
            low, high = sorted((self.random.choice(times), self.random.choice(times)))
            ranges.append((low, high))
            day = low // DAY_MS * DAY_MS
            ranges.append((day, day + DAY_MS * self.random.randrange(1, 4)))
        names = {series.name for table in TABLES.values() for series in table}
        for low, high in ranges:
            found = [
                row
                for column in self.store.query(names, low, high)
                for row in zip(column.values, column.times_ms, column.quality, strict=True)
            ]
            expected = [(v, s.t_ms, s.quality) for v, s in got.items() if low <= s.t_ms < high]
            assert sorted(found) == sorted(expected)
