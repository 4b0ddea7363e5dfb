"""A whole hub that is asked things, between scripted bridge, courier, cloud and Jobs service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.model import Series
from headgate.roles.hub import HubTuning, run
from headgate.roles.hub_pipeline import PipelineTuning
from headgate.uplink.pacing import UplinkTuning
from headgate_cloud.decoder import decode
from tests.support.hub_world import ScriptedBridge, ScriptedCloud
from tests.support.jobs_double import JobsDouble

ROOT = Path(__file__).parents[2]
REPLY = Draft202012Validator(json.loads((ROOT / "schemas/reply.v1.json").read_text()))
TABLE = [Series(f"meter-a/t{i}", "V", "f64", 1) for i in range(5)]
TUNING = HubTuning(
    commit_ms=20,
    seal_ms=40,
    pipeline=PipelineTuning(blocks_every_ms=60),
    uplink=UplinkTuning(resend_after_ms=200, retry_first_ms=20, retry_max_ms=100),
)
SITE = {
    "schema": 1,
    "modbus": {
        "devices": [
            {
                "name": "meter-a",
                "transport": {"kind": "tcp", "host": "127.0.0.1", "port": 1502},
                "unit": 1,
                "groups": [
                    {
                        "name": "g",
                        "interval_s": 1,
                        "tags": [{"name": "t0", "table": "holding", "address": 0, "type": "uint16"}],
                    }
                ],
            }
        ]
    },
}

Call = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class World:
    """`send` and `ask` are the cloud; `on_call` is what bridge and courier do with what the hub asks them."""

    def __init__(self, root: Path, site: Mapping[str, Any]) -> None:
        self.root = root
        self.tuning = TUNING
        self.cloud_bus = MemoryCloud()
        self.bus = MemoryBus(
            cloud=self.cloud_bus, config={"schema": 1, "stateRoot": str(root), "inline": dict(site)}
        )
        self.clock = SystemClock()
        self.cloud = ScriptedCloud("gw", self.cloud_bus)
        self.bridge = ScriptedBridge(self.bus, self.clock, "modbus", TABLE)
        self.jobs = JobsDouble("gw", self.cloud_bus)
        self.replies: list[dict[str, Any]] = []
        self.calls: list[dict[str, Any]] = []
        self.on_call: Call = self._values
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def hub(self) -> AsyncIterator[None]:
        stop, up = asyncio.Event(), asyncio.Event()

        async def announced(topic: str, payload: bytes) -> None:
            if json.loads(payload)["config"]:
                up.set()

        async with asyncio.TaskGroup() as group:
            with self.bus.subscribe("hg/v1/local/hub", announced):
                group.create_task(run(self.bus, self.clock, stop, thing="gw", tuning=self.tuning))
                async with asyncio.timeout(10):
                    await up.wait()
            yield
            stop.set()

    def send(self, request_id: str, op: str, topic: str = "read", **changes: Any) -> None:
        document = {
            "v": 1,
            "id": request_id,
            "op": op,
            "args": {},
            "deadline_ms": self.clock.utc_ms() + 20_000,
        }
        self.route(json.dumps({**document, **changes}).encode(), topic)

    def route(self, payload: bytes, topic: str = "read") -> None:
        self.cloud_bus.route(f"hg/v1/gw/dn/req/{topic}", payload)

    async def ask(self, request_id: str, op: str, topic: str = "read", **changes: Any) -> dict[str, Any]:
        before = len(self.replies)
        self.send(request_id, op, topic, **changes)
        return await self.reply(request_id, before)

    async def reply(self, request_id: str, after: int = 0) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                for reply in self.replies[after:]:
                    if reply["id"] == request_id:
                        return reply
                self._changed.clear()
                await self._changed.wait()

    def reports(self, kind: str) -> list[dict[str, Any]]:
        found = [decode(body).report for body in self.cloud.envelopes.values()]
        return [dict(report) for report in found if report is not None and report["type"] == kind]

    def audit(self) -> list[dict[str, Any]]:
        files = sorted((self.root / "audit").glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def attach(self, stack: ExitStack) -> None:
        def take(topic: str, payload: bytes) -> None:
            assert len(payload) <= 7_000
            reply = json.loads(payload)
            REPLY.validate(reply)
            self.replies.append(reply)
            self._changed.set()

        async def call(payload: bytes) -> bytes:
            request = json.loads(payload)
            self.calls.append(request)
            answer = await self.on_call(request)
            base = {"v": 1, "id": request["id"], "status": "ok", "code": "ok", "detail": "", "result": None}
            return json.dumps({**base, "file_id": None, **answer}).encode()

        stack.enter_context(self.cloud_bus.attached("hg/v1/gw/up/reply", take))
        for context in (self.cloud.attached(), self.bridge.attached(), self.jobs.attached()):
            stack.enter_context(context)
        for source in ("modbus", "files"):
            stack.enter_context(self.bus.serve(f"hg/v1/local/call/{source}", call))

    async def _values(self, request: dict[str, Any]) -> dict[str, Any]:
        args = request["args"]
        values = [
            {"series": s, "value": 1.5, "unit": "V", "quality": 0, "t": 1} for s in args.get("series", [])
        ]
        registers = [{**r, "values": [7] * r["count"], "t": 1} for r in args.get("registers", [])]
        return {"result": {"values": values, "registers": registers}}


@asynccontextmanager
async def a_world(root: Path, **site: Any) -> AsyncIterator[World]:
    world = World(root, SITE | site)
    async with world.bus:
        with ExitStack() as stack:
            world.attach(stack)
            yield world
