"""The courier's role with one file to send: `FOLDER NAME PORT STATE`; the cloud's words are scripted here."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bench._files_cost import Cost
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.errors import Retry
from headgate.roles.courier import run

THING = "gw-bench"


class Cloud:
    """Answers on `dn/file` as the handlers do."""

    def __init__(self, port: int) -> None:
        self.bus = MemoryCloud()
        self._list = f"http://127.0.0.1:{port}/list/"
        self._asked: dict[str, Any] = {}

    def take(self, topic: str, payload: bytes) -> None:
        message = json.loads(payload)
        if message["kind"] == "sent":
            self._say(kind="confirmed", key="k", sha256=self._asked["sha256"])
        elif message["page"] == message["pages"] - 1:
            self._asked = message
            self._say(kind="urls", list=self._list + message["sha256"].rpartition("-")[2])

    def _say(self, **more: str) -> None:
        body = {"v": 1, "file_id": self._asked["file_id"], "upload_id": "u-1", **more}
        self.bus.route(f"hg/v1/{THING}/dn/file", json.dumps(body).encode())


async def main(folder: Path, name: str, port: int, state: Path) -> None:
    """Have the file sent, and tell what that cost from the question to the confirmation."""
    root = StateRoot(state)
    root.create()
    source = {"name": "bench", "path": str(folder)}
    store_accepted(root, json.dumps({"schema": 1, "files": {"stable_s": 0.1, "sources": [source]}}).encode())
    cloud, stop, clock = Cloud(port), asyncio.Event(), SystemClock()
    ended = asyncio.Event()

    async def report(payload: bytes) -> bytes:
        return b'{"ok":true}'

    async def news(topic: str, payload: bytes) -> None:
        ended.set()

    config = {"schema": 1, "stateRoot": str(state)}
    async with MemoryBus(cloud=cloud.bus, config=config) as bus, asyncio.TaskGroup() as group:
        with (
            cloud.bus.attached(f"hg/v1/{THING}/up/file", cloud.take),
            bus.serve("hg/v1/local/report", report),
            bus.subscribe("hg/v1/local/file", news),
        ):
            group.create_task(run(bus, clock, stop, thing=THING))
            args = {"source": "bench", "path": name}
            request = {
                "v": 1,
                "id": "r",
                "op": "fetch",
                "args": args,
                "deadline_ms": clock.utc_ms() + 600_000,
            }
            while True:
                cost = Cost()
                try:
                    answer = json.loads(
                        await bus.request(
                            "hg/v1/local/call/files", json.dumps(request).encode(), timeout_s=0.5
                        )
                    )
                except Retry:
                    continue
                if answer["code"] == "started":
                    break
                await asyncio.sleep(0.1)
            await ended.wait()
            cost.tell()
            stop.set()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
