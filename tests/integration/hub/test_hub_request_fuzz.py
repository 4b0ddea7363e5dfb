"""Mutated requests through both carriers, the desk and the operations: none crashes the hub."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.config.stateroot import StateRoot
from headgate.roles.hub_requests import HubRequests
from headgate.store.store import Store
from headgate.store.writer import Writer

ROOT = Path(__file__).parents[3]
EXAMPLES = [json.loads(file.read_text()) for file in sorted((ROOT / "tests/golden/request").glob("*.json"))]
STRANGE: list[Any] = [
    None, True, -1, 0, 1 << 53, 1 << 70, 1.5, 1e308, "", "..", "../x", "/etc/passwd", "a/b", "+", "#", "\0",
    "é" * 300,
    [], {}, [[]], [None], {"a": {}}, ["meter-a/x"] * 30, "http://127.0.0.1:1/x", "https://[", "write", "read",
]  # fmt: skip


def mutated(chance: random.Random, deadline_ms: int) -> bytes:
    """An example with some values replaced, doubled or removed, and sometimes its bytes broken."""
    document = json.loads(json.dumps(chance.choice(EXAMPLES)))
    document |= {"id": f"r{chance.randrange(500)}", "deadline_ms": deadline_ms}
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        at: Any = document
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.7:
                at = at[key]
                continue
            match chance.randrange(3):
                case 0:
                    del at[key]
                case 1 if isinstance(at, dict):
                    at[str(chance.choice(STRANGE))[:40]] = at[key]
                case _:
                    at[key] = copy.deepcopy(chance.choice(STRANGE))
            break
    payload = bytearray(json.dumps(document).encode())
    if chance.random() < 0.3:
        for _ in range(chance.randint(1, 4)):
            payload[chance.randrange(len(payload))] = chance.randrange(256)
    return bytes(payload)


@asynccontextmanager
async def some_requests(root: Path) -> AsyncIterator[tuple[MemoryCloud, HubRequests, list[bytes]]]:
    """The hub's part for requests, with a bridge that answers nonsense, and what is published."""
    cloud, clock = MemoryCloud(), SystemClock()
    published: list[bytes] = []
    store, writer = Store(StateRoot(root), "gw", 1), Writer()
    chance = random.Random(1)

    async def nonsense(payload: bytes) -> bytes:
        request = json.loads(payload)
        reply = {
            "v": 1,
            "id": request["id"],
            "status": "ok",
            "code": "ok",
            "detail": "",
            "result": {"values": 7},
        }
        return chance.choice(
            [b"", b"{}", json.dumps(reply).encode(), json.dumps({**reply, "id": "x"}).encode()]
        )

    try:
        async with MemoryBus(cloud=cloud) as bus:
            requests = HubRequests(
                bus, clock, "gw", StateRoot(root), store, writer, writer, lambda queued: None
            )
            requests.directory.configured({"meter-a": "modbus", "room": "ble"})
            with (
                bus.serve("hg/v1/local/call/modbus", nonsense),
                bus.serve("hg/v1/local/call/ble", nonsense),
                bus.serve("hg/v1/local/call/files", nonsense),
                cloud.attached("hg/v1/gw/up/reply", lambda topic, payload: published.append(payload)),
                requests.attached(),
            ):
                async with asyncio.TaskGroup() as group:
                    running = group.create_task(requests.run())
                    yield cloud, requests, published
                    running.cancel()
    finally:
        writer.close()
        store.close()


async def fuzz(root: Path, seed: int, count: int) -> None:
    chance, clock = random.Random(seed), SystemClock()
    async with some_requests(root) as (cloud, requests, published):
        for number in range(count):
            payload = mutated(chance, clock.utc_ms() + 5_000)
            topic = chance.choice(("dn/req/read", "dn/req/read", "dn/req/write"))
            if chance.random() < 0.1:
                topic, payload = _job(chance, payload)
            cloud.route(f"{'hg/v1/gw/' if topic.startswith('dn') else ''}{topic}", payload)
            if number % 16 == 15:
                await _settled(requests)
        await _settled(requests)
        for wire in published:
            reply = json.loads(wire)
            assert len(wire) <= 7_000
            assert reply["status"] in ("ok", "refused", "failed", "expired")
        assert len({json.loads(wire)["code"] for wire in published}) >= 5
        await asyncio.sleep(0)


def _job(chance: random.Random, payload: bytes) -> tuple[str, bytes]:
    """The same as a message of the Jobs service, rarely well formed."""
    try:
        inner = json.loads(payload)
    except (ValueError, RecursionError):
        inner = payload.decode(errors="replace")
    if isinstance(inner, dict) and chance.random() < 0.8:
        inner.pop("id", None)
    execution = {
        "jobId": chance.choice(["j1", "j2", "j" * 64, chance.choice(STRANGE)]),
        "status": chance.choice(["QUEUED", "IN_PROGRESS", "CANCELED", None]),
        "versionNumber": chance.choice([1, 2, "x", None]),
        "jobDocument": chance.choice([{"headgate": inner}, {"other": 1}, inner]),
    }
    message = {
        "timestamp": 1,
        "execution": chance.choice([execution, execution, None, chance.choice(STRANGE)]),
    }
    return "$aws/things/gw/jobs/notify-next", json.dumps(message).encode()


async def _settled(requests: HubRequests) -> None:
    """Wait until everything that was handed in has been answered."""
    desk = requests._desk
    for _ in range(8):
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        while desk._under or len(desk._refusals):
            await asyncio.sleep(0.0005)


async def test_mutated_requests_crash_nothing(tmp_path: Path, seed: int) -> None:
    await fuzz(tmp_path, seed, 5_000)


@pytest.mark.slow("requests")
async def test_a_hundred_thousand_mutated_requests_crash_nothing(tmp_path: Path, seed: int) -> None:
    await fuzz(tmp_path, seed, 100_000)
