"""The checker as the story uses it: off the loop, one look at a time, and flattened to what a step asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway_sim.checker.checker import Checker
from gateway_sim.checker.result import BusSums
from gateway_sim.checker.tables import cloud_of
from gateway_sim.runs.gateway import VirtualGateway


@dataclass(frozen=True, slots=True)
class Account:
    """What the records and the tables say of one interval. Numbers are values, windows are rows."""

    served: int
    arrived: int
    lost: int
    doubled: int
    wrong: int
    series: int
    missing_series: Sequence[str]
    windows: int
    windows_lost: int
    windows_wrong: int
    buses: Mapping[str, BusSums]
    excused: int
    examples: Sequence[str]


class Watch:
    """Looks at a running gateway's records; one checker for the whole story, so each look is cheap."""

    def __init__(self, gateway: VirtualGateway) -> None:
        self._gateway = gateway
        self._opened: Checker | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def _checker(self) -> Checker:
        """Opened at the first look: plant and cloud write what it needs when they are up."""
        if self._opened is None:
            run, plan = self._gateway.run, self._gateway.plan
            where = cloud_of(run.cloud / "cloud.json")
            ble = run.ble if plan.ble else None
            self._opened = Checker(
                run.plant, where, ble_directory=ble, thing=plan.thing, window_s=plan.window_s
            )
        return self._opened

    async def check(self, since_ms: int, until_ms: int) -> Account:
        """Judge what was served in [since_ms, until_ms), UTC ms."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._check, since_ms, until_ms)

    async def excuse(self, since_ms: int, until_ms: int) -> None:
        """What is served in the interval may be missing from now on."""
        async with self._one_at_a_time:
            self._checker.excuse(since_ms, until_ms)

    async def envelopes(self) -> int:
        """How many envelopes the cloud's table holds."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self._checker.look)
            return self._checker.result(0, 0).cloud.envelopes

    async def served_rate(self, since_ms: int, until_ms: int) -> float:
        """Values per second that the devices served in the interval."""
        account = await self.check(since_ms, until_ms)
        return account.served / ((until_ms - since_ms) / 1000)

    def _check(self, since_ms: int, until_ms: int) -> Account:
        self._checker.look()
        result = self._checker.result(since_ms, until_ms)
        telemetry, windows, cloud = result.telemetry, result.windows, result.cloud
        parts = (telemetry.examples, windows.examples, cloud.examples)
        return Account(
            served=telemetry.served,
            arrived=telemetry.arrived,
            lost=telemetry.lost + telemetry.unmatched,
            doubled=telemetry.doubled,
            wrong=telemetry.wrong + cloud.unreadable + cloud.rejected + len(telemetry.unknown),
            series=self._checker.series,
            missing_series=telemetry.missing,
            windows=windows.arrived,
            windows_lost=windows.lost + windows.unjudged,
            windows_wrong=windows.wrong + windows.doubled,
            buses=telemetry.buses,
            excused=telemetry.excused,
            examples=[words for part in parts for found in part.values() for words in found],
        )
