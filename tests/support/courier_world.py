"""What surrounds a courier in tests: the simulated cloud behind a bus, and a hub that passes reports on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from gateway_sim.cloud.certificates import Identity, client_context
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.errors import Retry
from headgate.files.courier import CourierTuning
from headgate.files.plan import composite
from headgate.files.transfer import TransferTuning
from headgate.roles.courier import run

PART_BYTES = 5 * 1024**2
WAIT_S = 30.0
QUICK = CourierTuning(
    report_ms=50,
    transfer=TransferTuning(
        answer_ms=3_000,
        outage_ms=50,
        outage_most_ms=400,
        denied_ms=100,
        denied_most_ms=500,
        unknown_ms=200,
        unknown_before_announcing=50,
    ),
)


def site(sources: Mapping[str, Path], *, delete: bool = False) -> bytes:
    """A site document whose files are stable soon."""
    listed = [{"name": name, "path": str(path), "delete": delete} for name, path in sources.items()]
    files = {"stable_s": 0.1, "scan_s": 0.2, "part_size_bytes": PART_BYTES, "sources": listed}
    return json.dumps({"schema": 1, "files": files}).encode()


def accept(root: Path, text: bytes) -> None:
    """What the hub does with a site document."""
    state = StateRoot(root)
    state.create()
    store_accepted(state, text)


def composite_of(data: bytes, part_bytes: int = PART_BYTES) -> str:
    """What S3 must say of a file, told apart from the courier's own pass."""
    import base64

    parts = [data[at : at + part_bytes] for at in range(0, len(data), part_bytes)] or [b""]
    digests = [hashlib.sha256(part).digest() for part in parts]
    whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    assert composite([base64.b64encode(digest).decode() for digest in digests]) == f"{whole}-{len(parts)}"
    return f"{whole}-{len(parts)}"


@dataclass
class Gateway:
    """A courier whose bus ends in the simulated cloud's broker. `down` may change what comes down."""

    facts: Mapping[str, Any]
    thing: str
    root: Path
    tuning: CourierTuning = QUICK
    reports: list[dict[str, Any]] = field(default_factory=list)
    heard: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    hub_away: bool = False
    down: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda message: message
    _epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    _asked: int = 0

    def __post_init__(self) -> None:
        self.cloud = MemoryCloud()
        self.bus = MemoryBus(cloud=self.cloud, config={"schema": 1, "stateRoot": str(self.root)})
        self.changed = asyncio.Event()
        self._up: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        """The courier and its link; leaving stops it in order."""
        identity = self.facts["things"][self.thing]
        context = client_context(
            Path(self.facts["ca"]), Identity(Path(identity["cert"]), Path(identity["key"]))
        )
        broker = self.facts["broker"]
        stop = asyncio.Event()
        async with (
            aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as client,
            self.bus,
            asyncio.TaskGroup() as group,
        ):
            await client.subscribe(f"hg/v1/{self.thing}/dn/#", qos=1)
            with (
                self.cloud.attached(f"hg/v1/{self.thing}/up/file", self._take_up),
                self.bus.serve("hg/v1/local/report", self._report),
                self.bus.subscribe("hg/v1/local/file", self._on_news),
            ):
                link = [group.create_task(self._send(client)), group.create_task(self._receive(client))]
                courier = group.create_task(
                    run(self.bus, SystemClock(), stop, thing=self.thing, tuning=self.tuning)
                )
                try:
                    await self._until_served()
                    yield self
                finally:
                    stop.set()
                    await asyncio.wait([courier])
                    for task in link:
                        task.cancel()

    async def _until_served(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                with contextlib.suppress(Retry):  # nobody serves yet
                    await self.ask("list", what="files", timeout_s=0.1)
                    return

    async def ask(self, op: str, *, timeout_s: float = WAIT_S, **args: object) -> dict[str, Any]:
        """What the hub would hear."""
        self._asked += 1
        request = {"v": 1, "id": f"r{self._asked}", "op": op, "args": args, "carrier": "direct"}
        request["deadline_ms"] = SystemClock().utc_ms() + 60_000
        answer = await self.bus.request(
            "hg/v1/local/call/files", json.dumps(request).encode(), timeout_s=timeout_s
        )
        found: dict[str, Any] = json.loads(answer)
        return found

    async def fetch(self, source: str, path: str) -> str:
        """Have a file sent, once it is stable; returns its id."""
        async with asyncio.timeout(WAIT_S):
            while True:
                answer = await self.ask("fetch", source=source, path=path)
                if answer["status"] == "ok":
                    return str(answer["result"]["file_id"])
                assert answer["code"] in ("offline", "unknown_file"), answer
                await asyncio.sleep(0.05)

    async def ended(self, file_id: str) -> dict[str, Any]:
        """What became of an upload."""
        async with asyncio.timeout(WAIT_S):
            while True:
                self.changed.clear()
                answer = await self.ask("status", file_id=file_id)
                if answer["code"] != "started":
                    return answer
                await self.changed.wait()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that a message or a report makes true."""
        async with asyncio.timeout(WAIT_S):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        """What was heard of one kind."""
        return [message for message in self.heard if message["kind"] == kind]

    def _take_up(self, topic: str, payload: bytes) -> None:
        self.said.append(json.loads(payload))
        self._up.put_nowait((topic, payload))
        self.changed.set()

    async def _report(self, payload: bytes) -> bytes:
        if self.hub_away:
            raise Retry("the hub is away")
        report = json.loads(payload)
        self.reports.append(report)
        head = {"v": 1, "kind": "report", "stream": "reports", "epoch": self._epoch, "clock": "synced"}
        head |= {"seq": len(self.reports), "report": report}
        head |= {"prev": None} if len(self.reports) == 1 else {}
        topic = f"$aws/rules/hg_ingest_v1/hg/v1/{self.thing}/up/reports/json"
        self._up.put_nowait((topic, json.dumps(head).encode()))
        self.changed.set()
        return b'{"ok":true}'

    async def _on_news(self, topic: str, payload: bytes) -> None:
        self.changed.set()

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            topic, payload = await self._up.get()
            await client.publish(topic, payload, qos=1)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = str(message.topic)
            if not topic.endswith("/dn/file"):
                continue
            assert isinstance(message.payload, bytes)
            body = self.down(json.loads(message.payload))
            if body is not None:
                self.heard.append(body)
                self.cloud.route(topic, json.dumps(body).encode())
            self.changed.set()
