"""The steps of the demo: what is done to the gateway, and what must then be true of the records.

Every claim is checked against what the devices say they served, never against what the gateway says it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_sim.demo.operator import Operator
from gateway_sim.demo.report import Samples
from gateway_sim.demo.tap import unacknowledged
from gateway_sim.demo.watch import Account, Watch
from gateway_sim.runs.gateway import VirtualGateway

WATCHED_S = 12.0
"""How long the gateway is watched before the first check: two windows and a few envelopes of every series."""
OUTAGE_S = 10.0
SETTLE_S = 45.0
"""How long what was served may take to arrive once nothing is broken."""
PAUSE_S = 0.5
UNWRITTEN_MS = 2_000
"""How old a sample in memory alone may be: a bridge gathers for 0.5 s, the hub commits every second."""
IN_FLIGHT_MS = 100
RATE_OVER_MS = 4_000
MIN_RATE = 2_000.0
"""Values per second that must be flowing when the hub is killed."""


class StepFailed(Exception):
    """What should have been true and was not, in words."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a stable name for programs, a title for people, and what to do."""

    name: str
    title: str
    tell: Callable[[Story], Coroutine[None, None, str]]


class Story:
    """Runs the steps against one gateway; `since_ms` is when its story began, `note` takes what goes on."""

    def __init__(
        self, gateway: VirtualGateway, watch: Watch, since_ms: int, note: Callable[[str], None]
    ) -> None:
        self.gateway = gateway
        self.watch = watch
        self.since_ms = since_ms
        self.note = note
        self.operator = Operator(gateway.repository, gateway.run.cloud)

    async def telemetry(self) -> str:
        """Every series arrives with the devices' own values, units and times."""
        self.note(f"watching for {WATCHED_S:g} s")
        await asyncio.sleep(WATCHED_S)
        account = await self._settle()
        if account.missing_series:
            raise StepFailed(
                f"{len(account.missing_series)} series never arrived: {account.missing_series[:3]}"
            )
        return f"{account.series} series, {account.arrived:,} values equal to the devices' records"

    async def windows(self) -> str:
        """The windows in the cloud equal those computed from the devices' records by other code."""
        account = await self._settle()
        if account.windows < account.series:
            raise StepFailed(f"only {account.windows} windows could be checked, of {account.series} series")
        return f"{account.windows:,} windows equal to their recomputation"

    async def broker_reset(self) -> str:
        """The line to the broker is reset for ten seconds."""
        return await self._cut("reset")

    async def broker_silence(self) -> str:
        """The line to the broker goes silent for ten seconds, its connections left open."""
        return await self._cut("silence")

    async def hub_killed(self) -> str:
        """The hub dies with batches on the way that it has not acknowledged."""
        rate = await self.watch.served_rate(now_ms() - RATE_OVER_MS, now_ms())
        if rate < MIN_RATE:
            raise StepFailed(f"only {rate:,.0f} values/s are flowing; at least {MIN_RATE:,.0f} were promised")
        alone = self.gateway.plan.all_in_one
        flying = "" if alone else f" with {await self._in_flight()} batches unacknowledged"
        excused = (await self.watch.check(self.since_ms, now_ms())).excused
        pid, after = await self.kill(self.gateway.hub)
        account = await self._settle()
        gone = f"; {account.excused - excused:,} values went with it, not on disk yet" if alone else ""
        return (
            f"pid {pid} killed at {rate:,.0f} values/s{flying}, back as pid {after['pid']}{gone};"
            f" {account.arrived:,} values, none lost or doubled"
        )

    async def nucleus_restarted(self) -> str:
        """The nucleus, and with it every component, goes down and comes back."""
        before = self.gateway.status()["components"]
        self.note("the nucleus stops its components, and itself")
        code = await self.gateway.stop_nucleus()
        if code != 0:
            raise StepFailed(f"the nucleus exited with {code}")
        await self.gateway.start_nucleus()
        after = self.gateway.status()["components"]
        hub = self.gateway.hub
        if before[hub]["pid"] == after[hub]["pid"]:
            raise StepFailed("the hub kept its pid: it was not restarted")
        account = await self._settle()
        return f"all components restarted; {account.arrived:,} values, none lost or doubled"

    async def kill(self, component: str) -> tuple[int, Mapping[str, Any]]:
        """Kill a component with -9; returns its pid and the state it is back in."""
        starts = int(self.gateway.status()["components"][component]["starts"])
        killed_ms = now_ms()
        pid = self.gateway.kill(component)
        if (
            self.gateway.plan.all_in_one
        ):  # what it had read and not written is gone with it, and is counted apart
            await self.watch.excuse(killed_ms - UNWRITTEN_MS, now_ms() + IN_FLIGHT_MS)
        after = await self._restarted(component, starts)
        if after["exit_codes"][-1:] != [-9]:
            raise StepFailed(
                f"{component} was to die of signal 9; the nucleus saw {after['exit_codes'][-1:]}"
            )
        return pid, after

    async def account(self) -> Samples:
        """The whole run's sums, over everything served up to now; waits for what is on its way."""
        until_ms = now_ms()
        with contextlib.suppress(StepFailed):
            await self._settle(until_ms)
        account = await self.watch.check(self.since_ms, until_ms)
        buses = {
            name: Samples(bus.served, bus.arrived, bus.lost, bus.doubled)
            for name, bus in account.buses.items()
        }
        counted = (account.served, account.arrived, account.lost, account.doubled, account.excused)
        return Samples(*counted, buses)

    async def _cut(self, how: str) -> str:
        await self.gateway.line("reset" if how == "reset" else "silence")
        start = time.monotonic()
        self.note(f"the line to the broker is cut for {OUTAGE_S:g} s")
        # What was already with the rule engine may still land; after a moment nothing may.
        await asyncio.sleep(OUTAGE_S / 4)
        frozen = await self.watch.envelopes()
        await asyncio.sleep(OUTAGE_S - (time.monotonic() - start))
        if await self.watch.envelopes() != frozen:
            raise StepFailed("envelopes arrived although the line was cut: the cut was none")
        cut_at_ms = now_ms()
        await self.gateway.line("pass")
        await self._settle()
        behind_s = (now_ms() - cut_at_ms) / 1000
        return f"{OUTAGE_S:g} s without the broker, all there {behind_s:.0f} s after; none lost, none doubled"

    async def _settle(self, until_ms: int | None = None) -> Account:
        """Wait until all that was served until then (now) has arrived; what is lost or wrong fails."""
        until_ms = until_ms or now_ms()
        end = time.monotonic() + SETTLE_S
        while True:
            account = await self.watch.check(self.since_ms, until_ms)
            self.note(f"{account.served:,} values served, {account.lost:,} of them still on their way")
            examples = "; ".join(account.examples[:3])
            if account.doubled or account.wrong or account.windows_wrong:
                values = f"{account.doubled} values doubled, {account.wrong} wrong"
                raise StepFailed(f"{values}, {account.windows_wrong} windows wrong: {examples}")
            if account.served and not (account.lost or account.windows_lost):
                return account
            if time.monotonic() > end:
                missing = f"{account.lost:,} of {account.served:,} values, {account.windows_lost} windows"
                raise StepFailed(f"{missing} had not arrived {SETTLE_S:g} s later: {examples}")
            await asyncio.sleep(PAUSE_S)

    async def _in_flight(self) -> int:
        """Wait for a moment with batches published and not acknowledged, and say how many."""
        async with asyncio.timeout(SETTLE_S):
            while not (count := unacknowledged(self.gateway.tap)):
                await asyncio.sleep(0.02)
        return count

    async def _restarted(self, component: str, starts: int) -> dict[str, Any]:
        try:
            async with asyncio.timeout(SETTLE_S):
                while True:
                    state: dict[str, Any] = self.gateway.status()["components"][component]
                    if state["starts"] > starts and state["state"] == "RUNNING":
                        return state
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StepFailed(f"the nucleus did not restart {component} within {SETTLE_S:g} s") from None


def now_ms() -> int:
    return time.time_ns() // 1_000_000
