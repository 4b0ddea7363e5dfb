"""Hub and bridge under load are killed with -9 over and over: what was acknowledged arrives once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway_sim.checker.checker import Checker
from gateway_sim.checker.result import Result
from gateway_sim.checker.tables import cloud_of
from gateway_sim.runs.gateway import HUB, Plan, VirtualGateway
from gateway_sim.runs.processes import Processes
from gateway_sim.runs.rundir import make_run
from tests.support.tapped import Tapped

REPOSITORY = Path(__file__).resolve().parents[2]
BRIDGE_COMPONENT, BRIDGE = "headgate.ModbusBridge", "modbus"
WINDOW_S = 10
IN_A_BATCH_MS = 1_000
"""A batch holds what was acquired in the half second before it went out; twice that for a slow machine."""
PATIENCE_S = 120.0


@pytest.fixture(scope="session", autouse=True)
def build() -> None:
    subprocess.run([sys.executable, "-m", "devtools", "build"], cwd=REPOSITORY, check=True)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Crashes:
    """One gateway, and what of it may be missing: what a killed bridge had not yet been told to be safe."""

    def __init__(self, gateway: VirtualGateway) -> None:
        self.gateway = gateway
        self.kills: Counter[str] = Counter()
        cloud = cloud_of(gateway.run.cloud / "cloud.json")
        self.checker = Checker(gateway.run.plant, cloud, thing=gateway.plan.thing, window_s=WINDOW_S)
        self._tapped = Tapped(gateway.tap)

    async def kill(self, component: str) -> None:
        """Kill it, and wait until the nucleus has started it again."""
        if component == BRIDGE_COMPONENT:
            safe_ms = self._tapped.acknowledged_ms(BRIDGE) - IN_A_BATCH_MS
        self.gateway.kill(component)
        if component == BRIDGE_COMPONENT:
            self.checker.excuse(safe_ms, now_ms() + 50)
        self.kills[component] += 1
        await asyncio.sleep(0.5)
        await self.gateway.wait_running()

    async def settled(self, since_ms: int, until_ms: int) -> Result:
        """The result once all is there, or what is missing after the patience's end."""
        end = time.monotonic() + PATIENCE_S
        while True:
            await asyncio.to_thread(self.checker.look)
            result = self.checker.result(since_ms, until_ms)
            if (result.telemetry.ok and result.windows.ok) or time.monotonic() > end:
                return result
            await asyncio.sleep(2)


async def crash(folder: Path, seed: int, kills: int) -> None:
    rng = random.Random(seed)
    environment = {"HEADGATE_RUNTIME_CACHE": str(REPOSITORY / ".cache" / "runtime")}
    async with Processes(make_run(folder), environment) as processes:
        gateway = VirtualGateway(Plan(thing="gw-crash", window_s=WINDOW_S), processes, REPOSITORY)
        await gateway.start()
        await asyncio.sleep(5)
        began_ms = now_ms()
        crashes = Crashes(gateway)
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0, 4))
            await crashes.kill(rng.choice((HUB, BRIDGE_COMPONENT)))
        ended_ms = now_ms()
        await asyncio.sleep(2 * WINDOW_S)
        result = await crashes.settled(began_ms, ended_ms)
    telemetry, windows = result.telemetry, result.windows
    print(f"{dict(crashes.kills)}: {telemetry.served:,} served, {telemetry.excused:,} excused,", end=" ")
    print(f"{windows.expected:,} rows of windows")
    assert crashes.kills.total() == kills
    assert telemetry.ok, result
    assert windows.ok, result
    assert windows.expected > 0
    assert telemetry.excused < telemetry.served / 2


@pytest.mark.slow("crash")
@pytest.mark.timeout(1_800)
async def test_a_hundred_kills_under_load(tmp_path: Path, seed: int) -> None:
    await crash(tmp_path, seed, 100)
