"""The Modbus bridge up to `Bus.publish`, as a process of its own; and, for its floor, its imports alone.

    python -m bench._modbus_bridge SITE.json STATE_ROOT BATCHES.bin
    python -m bench._modbus_bridge --imports

BATCHES.bin gets each batch after its length as u32. Writes `ready`; a line `call SERIES N` on standard input
reads a series N times and writes the times it took, ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headgate.batch import wire_key
from headgate.bridge.handover import Options
from headgate.bus.api import Handler, Serve
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.roles.bridge import DRIVERS, Bridge
from headgate.roles.site_follower import ComponentConfig

BETWEEN_CALLS_S = 0.0237
"""Between on-demand reads: no multiple of a poll interval, so that they fall anywhere among the polls."""


class FileBus:
    """A Bus that ends in a file: batches are kept and acknowledged at once, as a hub that is never behind."""

    max_local_bytes = 7_249
    max_cloud_bytes = 7_202

    def __init__(self, batches: Path, bridge: str = "modbus") -> None:
        self._ack_topic = f"hg/v1/local/ack/{bridge}"
        self._fd = os.open(batches, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._handlers: dict[str, Handler] = {}
        self.served: dict[str, Serve] = {}

    async def publish(self, topic: str, payload: bytes) -> None:
        if topic.startswith("hg/v1/local/alive/"):
            return
        os.write(self._fd, struct.pack("<I", len(payload)) + payload)
        key = wire_key(payload)
        ack = json.dumps({"run_id": f"{key.run_id:016x}", "up_to": key.seq}).encode()
        await self._handlers[self._ack_topic](self._ack_topic, ack)

    @contextlib.contextmanager
    def subscribe(self, pattern: str, handler: Handler) -> Iterator[None]:
        self._handlers[pattern] = handler
        yield

    @contextlib.contextmanager
    def serve(self, topic: str, handler: Serve) -> Iterator[None]:
        self.served[topic] = handler
        yield

    async def request(self, topic: str, payload: bytes, *, timeout_s: float) -> bytes:
        raise NotImplementedError

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        raise NotImplementedError

    def subscribe_cloud(self, pattern: str, handler: Handler) -> contextlib.AbstractContextManager[None]:
        raise NotImplementedError

    async def configs(self) -> AsyncIterator[Mapping[str, Any]]:
        await asyncio.Event().wait()
        yield {}


async def _run(site: Path, root: Path, batches: Path) -> None:
    bus, stop = FileBus(batches), asyncio.Event()
    state = StateRoot.at(str(root))
    state.create()
    store_accepted(state, site.read_bytes())
    component = ComponentConfig(state)
    bridge = Bridge("modbus", component, bus, SystemClock(), Options())
    async with asyncio.TaskGroup() as group:
        group.create_task(bridge.run(stop), name="bridge")
        print("ready", flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).split():
            match line:
                case ["call", series, count]:
                    print(json.dumps(await _calls(bus, series, int(count))), flush=True)
        stop.set()


async def _calls(bus: FileBus, series: str, count: int) -> list[float]:
    """How long each of `count` reads of one series took, ms, from the request's bytes to the reply's."""
    took_ms = []
    for number in range(count):
        await asyncio.sleep(BETWEEN_CALLS_S)
        request = {"v": 1, "id": f"bench-{number}", "op": "read", "args": {"series": [series]}}
        request |= {"deadline_ms": time.time_ns() // 1_000_000 + 10_000, "carrier": "direct"}
        payload, start = json.dumps(request).encode(), time.perf_counter()
        reply = json.loads(await bus.served["hg/v1/local/call/modbus"](payload))
        took_ms.append((time.perf_counter() - start) * 1000)
        if reply["status"] != "ok":
            raise RuntimeError(f"a read failed: {reply}")
    return took_ms


def _imports() -> None:
    make: Callable[..., object] = DRIVERS["modbus"]
    make(SystemClock(), lambda text: None)
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    if sys.argv[1:] == ["--imports"]:
        _imports()
    else:
        asyncio.run(_run(*map(Path, sys.argv[1:])))
