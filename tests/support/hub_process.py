"""A hub with its bridge and its cloud in one process that is there to be killed (argument: a folder).

`accepted` and `received` in the folder are what the world outside holds: values that the hub acknowledged,
and envelopes that the cloud got. They outlive the process, as the page cache does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.model import Frame, Series
from headgate.roles.hub import HubTuning, run
from headgate.roles.hub_pipeline import PipelineTuning
from headgate.uplink.pacing import UplinkTuning
from tests.support.hub_world import ScriptedBridge, ScriptedCloud

TABLE = [Series(f"meter-a/tag_{i:02}", "1", "f64", 0) for i in range(20)]
TUNING = HubTuning(
    commit_ms=30,
    seal_ms=60,
    pipeline=PipelineTuning(blocks_every_ms=150),
    uplink=UplinkTuning(resend_after_ms=200, publishes_per_s=1_000, bytes_per_s=1e7),
)
FRAMES = 4


async def main(folder: Path) -> None:
    """Send frames whose values never repeat, until killed (or, with a file `drain` there, only the rest)."""
    cloud_bus = MemoryCloud()
    config = {"schema": 1, "stateRoot": str(folder / "state")}
    accepted, received = (folder / "accepted").open("a"), (folder / "received").open("ab")
    clock = SystemClock()
    async with MemoryBus(cloud=cloud_bus, config=config) as bus:
        bridge = ScriptedBridge(bus, clock, "modbus", TABLE, run_id=time.time_ns())
        cloud = ScriptedCloud("gw", cloud_bus)
        batches: dict[int, int] = {}
        start = time.time_ns() // 1_000

        def on_ack(up_to: int) -> None:
            for seq in [seq for seq in batches if seq <= up_to]:
                accepted.write(f"{batches.pop(seq)}\n")
            accepted.flush()

        def on_envelope(body: bytes) -> None:
            received.write(body + b"\n")
            received.flush()

        bridge.on_ack, cloud.on_envelope = on_ack, on_envelope
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            with cloud.attached(), bridge.attached():
                group.create_task(run(bus, clock, stop, thing="gw", tuning=TUNING))
                n = 0
                while not (folder / "drain").exists():
                    value = start + n
                    frames = [
                        Frame(clock.boot_ms() + i, range(len(TABLE)), [float(value)] * len(TABLE))
                        for i in range(FRAMES)
                    ]
                    (seq,) = bridge.batch(frames)
                    batches[seq] = value
                    await bridge.publish(seq)
                    await asyncio.sleep(0.005)
                    n += 1
                await asyncio.sleep(2)
                stop.set()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
