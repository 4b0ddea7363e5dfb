"""A whole hub, a bridge that records what it served, a bad line and the real ingest on a simulated clock."""

from __future__ import annotations

import asyncio
import functools
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from headgate.bus.memory import MemoryCloud
from headgate.clock import ManualClock
from headgate.model import Frame, Series
from headgate.roles.hub import HubTuning, run
from tests.support import envelope_reader as reader
from tests.support.hub_world import ScriptedBridge
from tests.support.outage_cloud import OutageCloud
from tests.support.outage_link import Link, LinkedBus
from tests.support.small_dynamodb import SmallDynamoDB

P = ParamSpec("P")
T = TypeVar("T")

TABLE = [Series(f"meter-a/tag_{i:02}", "V", "f64", 1) for i in range(6)]
STEP_MS = 250
SETTLED_MS = 60_000


class InlineWriter:
    """Stands where the store's threads would be: with real ones a simulated clock would run away."""

    def __init__(self, **_: object) -> None:
        pass

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it now."""
        await asyncio.sleep(0)
        return work(*args, **kwargs)

    def close(self) -> None:
        """Nothing to end."""


class OutageWorld:
    """`pass_time` moves everything; the bridge serves a sample of each series every second while it does.

    `latencies_ms`: of live envelopes with samples from `live_from_ms` (UTC) on, from the newest sample to the
    first arrival.
    """

    def __init__(self, root: Path, dynamodb: SmallDynamoDB, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock(boot_ms=1_000_000)
        self.root = root
        self.cloud = OutageCloud(dynamodb, self.rng, self.clock.utc_ms)
        self.link = Link(self.clock, self.rng, self._arrive)
        self.broker = MemoryCloud()
        self.config: dict[str, object] = {"schema": 1, "stateRoot": str(root)}
        self.bus = LinkedBus(self.link, self.broker, self.config)
        self.bridge = ScriptedBridge(self.bus, self.clock, "modbus", TABLE)
        self.served: Counter[tuple[str, int, float]] = Counter()
        self.serving = True
        self.live_from_ms = 0
        self.latencies_ms: list[int] = []
        self._bodies: dict[tuple[str, str, int], bytes] = {}
        self._served_ms = 0
        self._value = 0
        self._run_id = 1
        self._stop = asyncio.Event()
        self._hub: asyncio.Task[None] | None = None

    def restart(self) -> None:
        """The machine was off: a bus and a bridge of a new run, for `running`."""
        self._run_id += 1
        self.bus = LinkedBus(self.link, self.broker, self.config)
        self.bridge = ScriptedBridge(self.bus, self.clock, "modbus", TABLE, run_id=self._run_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The bus is open and the bridge attached."""
        async with self.bus:
            with self.bridge.attached():
                try:
                    yield
                finally:
                    await self.stop_hub()

    async def start_hub(self) -> None:
        """A new hub, on whatever the state root holds."""
        self._stop = asyncio.Event()
        self._hub = asyncio.create_task(
            run(self.bus, self.clock, self._stop, thing="gw", tuning=HubTuning()), name="hub"
        )
        await self.pass_time(1_000)

    async def stop_hub(self, *, kill: bool = False) -> None:
        """An orderly end, or one that leaves no time for anything."""
        hub, self._hub = self._hub, None
        if hub is None:
            return
        if kill:
            hub.cancel()
        self._stop.set()
        while not hub.done():
            await self.clock.advance(STEP_MS, turns=20)
        if not kill:
            hub.result()

    async def pass_time(self, ms: int) -> None:
        """Let so much time pass, in steps in which the line and the cloud work."""
        end_ms = self.clock.boot_ms() + ms
        while self.clock.boot_ms() < end_ms:
            if self._hub is not None and self._hub.done():
                self._hub.result()
                raise AssertionError("the hub has ended")
            await self._serve()
            await self.clock.advance(STEP_MS, turns=12)
            self.cloud.hears = self.link.mode == "up"
            self.link.deliver()
            self.cloud.step()
            self._hand_down()

    async def drain(self, *, within_ms: int) -> None:
        """Until the cloud has all that was served but for the last minute."""
        end_ms = self.clock.boot_ms() + within_ms
        while missing := self._missing(self.clock.utc_ms() - SETTLED_MS):
            assert self.clock.boot_ms() < end_ms, f"{missing} samples are missing"
            await self.pass_time(30_000)

    def _missing(self, before_ms: int) -> int:
        held = {sample for body in self.cloud.bodies() for sample in _samples(body)}
        return sum(sample not in held for sample in self.served if sample[1] < before_ms)

    def outbox(self) -> int:
        """How many envelopes the hub still keeps."""
        with closing(sqlite3.connect(self.root / "state.db")) as db:
            (count,) = db.execute("SELECT count(*) FROM outbox").fetchone()
        return int(count)

    def samples(self) -> Counter[tuple[str, int, Any]]:
        """What the cloud has, by identity, each as often as it has it."""
        return Counter(sample for body in self.cloud.bodies() for sample in _samples(body))

    def windows(self) -> list[reader.ReadWindow]:
        """What the cloud has, each in the revision that counts."""
        return reader.newest_windows(w for body in self.cloud.bodies() for w in reader.windows(body))

    def _arrive(self, topic: str, body: bytes) -> None:
        head = reader.load(body)
        key = (head["stream"], head["epoch"], head["seq"])
        if key not in self._bodies and key[0] == "live":
            newest_ms = max((s.t_ms for s in reader.samples(body)), default=None)
            if newest_ms is not None and newest_ms >= self.live_from_ms:
                self.latencies_ms.append(self.clock.utc_ms() - newest_ms)
        assert self._bodies.setdefault(key, body) == body, f"{key} was sent with another content"
        self.cloud.arrive(topic, body)

    async def _serve(self) -> None:
        now_ms = self.clock.boot_ms()
        if self.serving and now_ms - self._served_ms >= 1_000:
            self._served_ms = now_ms
            self._value += 1
            values = tuple(float((self._value * 7 + i) % 1_000) for i in range(len(TABLE)))
            for series, value in zip(TABLE, values, strict=True):
                self.served[series.name, self.clock.utc_ms(), value] += 1
            await self.bridge.send([Frame(now_ms, tuple(range(len(TABLE))), values)])

    def _hand_down(self) -> None:
        now_ms = self.clock.utc_ms()
        due = sorted(ack for ack in self.cloud.acks if ack[0] <= now_ms)
        self.cloud.acks = [ack for ack in self.cloud.acks if ack[0] > now_ms]
        if self.link.mode == "up":
            for _, _, topic, payload in due:
                self.broker.route(topic, payload)


@functools.cache
def _samples(body: bytes) -> tuple[tuple[str, int, Any], ...]:
    return tuple((s.series, s.t_ms, s.value) for s in reader.samples(body))
