"""A hub that lives through simulated hours (arguments: a folder, hours): a line of JSON for each.

Its bridge sends a frame a second, its cloud counts and forgets; so what grows is the hub.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import ManualClock
from headgate.model import Frame, Series
from headgate.roles.hub import run
from tests.support import envelope_reader as reader
from tests.support.hub_world import ScriptedBridge, ScriptedCloud

TABLE = [Series(f"meter-a/tag_{i:02}", "1", "f64", 2) for i in range(50)]
BEGIN_UTC_MS = 1_763_749_800_000
"""2025-11-21 18:30 UTC: midnight comes in the sixth hour."""
HOUR_S = 3_600
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class ForgetfulBridge(ScriptedBridge):
    """Keeps only what is not acknowledged."""

    def forget(self) -> None:
        for seq in [seq for seq in self._wires if seq <= self.acked]:
            del self._wires[seq]


class CountingCloud(ScriptedCloud):
    """Counts samples by series, and keeps of envelopes how far each stream came without a gap."""

    def __init__(self, thing: str, cloud: MemoryCloud) -> None:
        super().__init__(thing, cloud)
        self.samples: Counter[str] = Counter()
        self.windows = 0
        self._up_to: Counter[tuple[str, str]] = Counter()

    def acknowledge(self, stream: str, epoch: str) -> None:
        while (stream, epoch, self._up_to[stream, epoch] + 1) in self.envelopes:
            self._up_to[stream, epoch] += 1
            body = self.envelopes.pop((stream, epoch, self._up_to[stream, epoch]))
            self.samples.update(sample.series for sample in reader.samples(body))
            self.windows += len(list(reader.windows(body)))
        ack = {"v": 1, "stream": stream, "epoch": epoch, "up_to": self._up_to[stream, epoch], "received": []}
        self._cloud.route(f"hg/v1/{self._thing}/dn/ack", json.dumps(ack).encode())


def tell(hour: int, sent: int, cloud: CountingCloud) -> None:
    gc.collect()
    rss_kb = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB
    fds, threads = (len(list(Path("/proc/self", name).iterdir())) for name in ("fd", "task"))
    counts = [cloud.samples[series.name] for series in TABLE]
    row = {
        "hour": hour,
        "rss_kb": rss_kb,
        "fds": fds,
        "threads": threads,
        "sent": sent,
        "tasks": len(asyncio.all_tasks()),
    }
    row |= {"fewest": min(counts), "most": max(counts), "windows": cloud.windows}
    print(json.dumps(row), flush=True)


async def settle(clock: ManualClock, bridge: ForgetfulBridge, seq: int) -> None:
    """Time goes on by a second, and by more while the hub's threads, which have a time of their own, work."""
    await clock.advance(1_000)
    end = time.monotonic() + 30
    turns = 0
    while bridge.acked < seq:
        assert time.monotonic() < end, "the hub takes nothing any more"
        await asyncio.sleep(0.0005)
        turns += 1
        await clock.advance(0 if turns % 50 else 1_000)
    bridge.forget()


class Day:
    """The hub and what surrounds it."""

    def __init__(self, bus: MemoryBus, cloud: MemoryCloud) -> None:
        self.clock = ManualClock(boot_ms=1_000_000, utc_ms=BEGIN_UTC_MS)
        self.bridge = ForgetfulBridge(bus, self.clock, "modbus", TABLE)
        self.cloud = CountingCloud("gw", cloud)
        self.sent = 0
        self._bus = bus

    @asynccontextmanager
    async def hub(self) -> AsyncIterator[None]:
        """The hub runs while entered, and is stopped in order."""
        stop = asyncio.Event()
        hub = asyncio.create_task(run(self._bus, self.clock, stop, thing="gw"), name="hub")
        try:
            yield
        finally:
            stop.set()
            for _ in range(20):
                await self.clock.advance(1_000)
                await asyncio.sleep(0.05)
        await hub

    async def live(self, hour: int) -> None:
        """An hour of a frame a second."""
        for second in range(HOUR_S):
            values = [(self.sent * (i + 3) % 9_973) / 100 for i in range(len(TABLE))]
            (seq,) = self.bridge.batch([Frame(self.clock.boot_ms(), range(len(TABLE)), values)])
            await self.bridge.publish(seq)
            self.sent += 1
            await settle(self.clock, self.bridge, seq - 2 if second else seq)
        tell(hour, self.sent, self.cloud)


async def main(folder: Path, hours: int) -> None:
    """Live; then a second hub sends what the first one left, and the last line tells of both."""
    cloud_bus = MemoryCloud()
    config = {"schema": 1, "stateRoot": str(folder / "state")}
    async with MemoryBus(cloud=cloud_bus, config=config) as bus:
        day = Day(bus, cloud_bus)
        with day.cloud.attached(), day.bridge.attached():
            async with day.hub():
                for hour in range(1, hours + 1):
                    await day.live(hour)
            async with day.hub():
                for _ in range(60):
                    await day.clock.advance(1_000)
                    await asyncio.sleep(0.02)
        tell(hours + 1, day.sent, day.cloud)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
