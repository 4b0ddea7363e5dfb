"""A desk over a real store, with operations that count what they do; for tests without a bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate.clock import Clock, ManualClock, random_id
from headgate.config.stateroot import StateRoot
from headgate.driver import Reply, Request
from headgate.requests.audit import Audit
from headgate.requests.desk import Desk, DeskTuning, Operation
from headgate.requests.ledger import Ledger
from headgate.requests.model import Asked, parse_direct, parse_job
from headgate.requests.spool import ReplySpool
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.store.writer import Writer


def wire(clock: Clock, request_id: str = "r1", op: str = "read", **changes: Any) -> bytes:
    """A request's bytes; a change of None takes a key out."""
    document = {"v": 1, "id": request_id, "op": op, "args": {}, "deadline_ms": clock.utc_ms() + 60_000}
    document |= changes
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


class DeskWorld:
    """`read` answers at once, `slow` when `release` is set, `effect` may be done once, `big` says a lot.

    `write` is `barred` until a test says otherwise; `hold_effects` makes `effect` slow.
    """

    def __init__(self, root: Path, *, tuning: DeskTuning | None = None, max_requests: int = 1_000) -> None:
        self.root = StateRoot(root)
        self.clock = ManualClock()
        self.store = Store(self.root, "gw", random_id())
        self.writer = Writer()
        self.ledger = Ledger(
            self.store, "gw", Audit(self.root.audit), ReplySpool(self.root.replies), max_requests=max_requests
        )
        self.done: list[Request] = []
        self.release = asyncio.Event()
        self.args: Mapping[str, Any] = {}
        self.offered: list[Queued] = []
        self.on_effect: Callable[[str], None] = lambda request_id: None
        self.barred: tuple[str, str] | None = ("writes_off", "off")
        self.hold_effects = False
        operations = {
            "read": Operation(self._read),
            "slow": Operation(self._slow),
            "effect": Operation(self._effect, repeatable=False),
            "big": Operation(self._big),
            "write": Operation(self._read, repeatable=False, barred=lambda: self.barred),
        }
        self.desk = Desk(
            self.ledger,
            self.writer,
            self.clock,
            operations,
            self._offer,
            self._fetch,
            tuning or DeskTuning(),
        )

    def ask(self, payload: bytes) -> asyncio.Future[Reply]:
        """Hand in a direct request."""
        return self.submit(parse_direct(payload))

    def ask_job(self, job_id: str, **inner: Any) -> asyncio.Future[Reply]:
        """Hand in a job."""
        document = {"v": 1, "op": "read", "args": {}, "deadline_ms": self.clock.utc_ms() + 60_000, **inner}
        return self.submit(parse_job(job_id, {"headgate": document}, 100))

    def submit(self, asked: Asked) -> asyncio.Future[Reply]:
        """Hand in what was read."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.desk.submit(asked, answer.set_result)
        return answer

    def audit(self) -> list[dict[str, Any]]:
        """Every line of the audit."""
        files = sorted(self.root.audit.glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def reports(self) -> list[dict[str, Any]]:
        """Every report in the outbox."""
        found = [json.loads(item.envelope.body) for item in self.store.queued(0, 1_000)]
        return [body["report"] for body in found if body["stream"] == "reports"]

    def _offer(self, queued: Sequence[Queued]) -> None:
        self.offered += queued

    async def _fetch(self, uri: str, sha256: str) -> Mapping[str, Any]:
        return self.args

    async def _read(self, request: Request) -> Reply:
        self.done.append(request)
        self.on_effect(request.id)
        return Reply(request.id, "ok", "ok", result={"n": len(self.done), "args": dict(request.args)})

    async def _effect(self, request: Request) -> Reply:
        return await (self._slow(request) if self.hold_effects else self._read(request))

    async def _slow(self, request: Request) -> Reply:
        await self.release.wait()
        return await self._read(request)

    async def _big(self, request: Request) -> Reply:
        return Reply(request.id, "ok", "ok", result={"text": "x" * int(request.args.get("size", 20_000))})


@asynccontextmanager
async def a_desk(root: Path, **options: Any) -> AsyncIterator[DeskWorld]:
    """A desk at work; leaving stops it as a kill does: nothing is settled."""
    world = DeskWorld(root, **options)
    try:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            await world.desk.recover()
            running = group.create_task(world.desk.run())
            yield world
            running.cancel()
    finally:
        world.writer.close()
        world.store.close()
