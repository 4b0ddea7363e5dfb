"""Real processes on a line that falls silent, breaks, and is gone while the nucleus restarts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway_sim.cloud import control
from gateway_sim.demo.watch import Account, Watch
from gateway_sim.runs.gateway import Plan, Profile, VirtualGateway
from gateway_sim.runs.processes import Processes
from gateway_sim.runs.rundir import make_run
from tests.support.asked_gateway import REPOSITORY

SMALL = ("--devices", "2", "--tags", "20", "--interval", "0.2")
PATIENCE_S = 150.0
MARGIN_MS = 15_000
"""What was served later may be on its way."""


@pytest.fixture(scope="session", autouse=True)
def build() -> None:
    subprocess.run([sys.executable, "-m", "devtools", "build"], cwd=REPOSITORY, check=True)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def outages(gateway: VirtualGateway) -> None:
    """One after the other, each with a moment of line behind it."""
    await gateway.line("silence")  # half open: both sides believe in it
    await asyncio.sleep(12)
    await gateway.line("pass")
    await asyncio.sleep(4)
    await gateway.line("reset")
    await asyncio.sleep(8)
    await gateway.stop_nucleus()  # with what classic has spooled
    await gateway.start_nucleus()
    await asyncio.sleep(4)
    await gateway.line("pass")
    await asyncio.sleep(4)
    for do, undo in (("drop_acks", "pass_acks"), ("pause", "resume")):
        await asyncio.to_thread(control.ask, gateway.run.cloud, do)
        await asyncio.sleep(8)
        await asyncio.to_thread(control.ask, gateway.run.cloud, undo)


async def settled(watch: Watch, since_ms: int, until_ms: int) -> Account:
    """The account once nothing is lost any more, or the last one."""
    end_s = time.monotonic() + PATIENCE_S
    while True:
        account = await watch.check(since_ms, until_ms)
        if (account.lost == account.windows_lost == 0) or time.monotonic() > end_s:
            return account
        await asyncio.sleep(2)


@pytest.mark.slow("outage")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("profile", ["classic", "lite"])
async def test_every_outage_ends_with_everything_in_the_cloud_once(tmp_path: Path, profile: Profile) -> None:
    environment = {"HEADGATE_RUNTIME_CACHE": str(REPOSITORY / ".cache" / "runtime")}
    async with Processes(make_run(tmp_path), environment) as processes:
        gateway = VirtualGateway(Plan(profile=profile, plant=SMALL), processes, REPOSITORY)
        await gateway.start()
        watch = Watch(gateway)
        await asyncio.sleep(8)
        since_ms = now_ms() - 2_000
        await outages(gateway)
        until_ms = now_ms()
        await asyncio.sleep(MARGIN_MS / 1_000)
        account = await settled(watch, since_ms, until_ms)
    assert account.served > 1_000
    assert (account.lost, account.doubled, account.wrong) == (0, 0, 0), account.examples
    assert (account.windows_lost, account.windows_wrong) == (0, 0), account.examples
