"""A real bridge process hangs, comes back, is killed: the hub marks its series once, and not by mistake."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.asked_gateway import REPOSITORY, Asked, asked_gateway

SMALL = ("--devices", "1", "--tags", "20", "--interval", "0.5")
BRIDGE = "headgate.ModbusBridge"
BAD_COMM = 3


@pytest.fixture(scope="session", autouse=True)
def build() -> None:
    subprocess.run([sys.executable, "-m", "devtools", "build"], cwd=REPOSITORY, check=True)


async def asked(gateway: Asked, op: str, **args: Any) -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    body = {"v": 1, "id": f"{op}-{now_ms}", "op": op, "args": args, "deadline_ms": now_ms + 10_000}
    reply = json.loads(await gateway.ask(json.dumps(body).encode()))
    assert reply["status"] == "ok", reply
    result: dict[str, Any] = reply["result"]
    return result


async def state(gateway: Asked) -> str:
    (found,) = (await asked(gateway, "list", what="devices"))["devices"]
    return str(found["state"])


async def until_state(gateway: Asked, wanted: str, patience_s: float) -> None:
    async with asyncio.timeout(patience_s):
        while await state(gateway) != wanted:
            await asyncio.sleep(0.5)


async def marks(gateway: Asked, from_ms: int) -> dict[str, int]:
    """How many samples of quality bad_comm each series has."""
    names = [row["series"] for row in (await asked(gateway, "list", what="series"))["series"]]
    to_ms = time.time_ns() // 1_000_000 + 1_000
    found = await asked(gateway, "query", series=names, **{"from": from_ms, "to": to_ms})
    return {
        name: sum(count for count, code in column.get("q", []) if code == BAD_COMM)
        for name, column in found["columns"].items()
    }


@pytest.mark.slow("hub")
@pytest.mark.timeout(400)
async def test_a_bridge_that_hangs_is_marked_and_one_that_starts_again_is_not(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, *SMALL) as gateway:
        began_ms = time.time_ns() // 1_000_000
        await until_state(gateway, "ok", 30)
        pid = int(gateway.gateway.status()["components"][BRIDGE]["pid"])
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(70)
            assert await state(gateway) == "ok"
            await gateway.kill_hub()  # which then waits anew
            await until_state(gateway, "silent", 150)
            found = await marks(gateway, began_ms)
            assert set(found.values()) == {1}
        finally:
            os.kill(pid, signal.SIGCONT)
        await until_state(gateway, "ok", 30)
        gateway.gateway.kill(BRIDGE)
        await asyncio.sleep(5)
        await until_state(gateway, "ok", 30)
        assert await marks(gateway, began_ms) == found
