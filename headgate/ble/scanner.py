"""Keeps one scan alive on one adapter: watches it, and climbs a ladder of remedies when it is dead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager

from headgate.ble.adapters import AdapterConfig
from headgate.ble.ladder import REFUSED, SILENT, Ladder, Step
from headgate.ble.radio import Controller, Heard, NoPassiveScan, Radio
from headgate.clock import Clock
from headgate.errors import Retry
from headgate.sleeper import Sleeper

BACK_OFF_FIRST_MS, BACK_OFF_MAX_MS = 1_000, 30_000
DISCOVERY_GRACE_MS = 5_000
"""BlueZ may say for so long that it does not discover: while it connects, and between rounds of its own."""
POWER_GRACE_MS = 2_000
"""bluetoothd switches an adapter on by itself soon after it appeared (AutoEnable)."""
RECHECK_MS = 60_000
"""What is signalled is waited for; this is for a signal that was lost."""
SERVICE_PATIENCE_MS = 5_000
OFF_MS = 500
"""How long an adapter stays off in a power cycle."""


class Scanner:
    """The owner of an adapter's scan; `run` is its task. The counters are told in the health."""

    def __init__(
        self,
        config: AdapterConfig,
        radio: Radio,
        controller: Controller,
        clock: Clock,
        notice: Callable[[str], None],
        rng: random.Random,
    ) -> None:
        self.starts = 0
        self.failures = 0
        self.silences = 0
        self.steps: dict[Step, int] = dict.fromkeys(Step, 0)
        self._config = config
        self._radio = radio
        self._controller = controller
        self._clock = clock
        self._notice = notice
        self._rng = rng
        self._sleeper = Sleeper(clock)
        self._pauses = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._passive = config.scan == "passive"
        self._silent = Ladder(SILENT)
        self._refused = Ladder(REFUSED)
        self._back_off_ms = BACK_OFF_FIRST_MS
        self._said = ""
        self._listened_ms = 0

    def look(self) -> None:
        """Something changed: look at the adapter's state now."""
        self._sleeper.wake()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """No scan while this is entered."""
        self._pauses += 1
        self.look()
        try:
            await self._quiet.wait()
            yield
        finally:
            self._pauses -= 1
            self.look()

    async def run(self, wanted: Container[str], heard: Heard, silence_ms: Callable[[], int]) -> None:
        """Scan until cancelled; the scan has ended when this returns. `silence_ms`: what is waited for."""
        try:
            while True:
                if self._pauses:
                    await self._sleeper.until(self._clock.boot_ms() + RECHECK_MS)
                elif await self._ready() and await self._start(wanted, heard):
                    began_ms = self._clock.boot_ms()
                    cause = await self._until_dead(began_ms - self._listened_ms, silence_ms)
                    self._listened_ms += self._clock.boot_ms() - began_ms
                    await self._radio.stop()
                    self._quiet.set()
                    await self._died(cause)
        finally:
            await self._radio.stop()
            self._quiet.set()

    async def _ready(self) -> bool:
        """Whether the adapter can scan; if not, what can be done about it is done, or waited for."""
        state = self._controller.state
        if state is None or (state.service and state.present and state.powered):
            return True
        self._radio.forget()
        now_ms = self._clock.boot_ms()
        if not state.service:
            self._say("the Bluetooth service does not run")
            await self._sleeper.until(now_ms + SERVICE_PATIENCE_MS)
            after = self._controller.state
            return after is not None and not after.service  # then D-Bus may start it for a scan
        if not state.present:
            self._say("there is no such adapter")
            await self._sleeper.until(now_ms + RECHECK_MS)
        else:
            await self._sleeper.until(now_ms + POWER_GRACE_MS)
            after = self._controller.state
            if after is not None and after.present and not after.powered:
                await self._switch_on()
        return False

    async def _switch_on(self) -> None:
        if not self._config.power:
            self._say("it is switched off")
            await self._sleeper.until(self._clock.boot_ms() + RECHECK_MS)
            return
        try:
            await self._controller.power(True)
        except Retry as error:
            self._say(str(error))
            await self._back_off()

    async def _start(self, wanted: Container[str], heard: Heard) -> bool:
        self._quiet.clear()
        try:
            await self._radio.start(wanted, heard, passive=self._passive)
        except NoPassiveScan as error:
            self._quiet.set()
            self._passive = False
            self._notice(f"{self._config.name}: no passive scan, so an active one: {error}")
            return False
        except Retry as error:
            self._quiet.set()
            self.failures += 1
            self._say(f"no scan: {error}")
            await self._take(self._refused.climb(self._clock.boot_ms()))
            await self._back_off()
            return False
        self.starts += 1
        self._refused.well()
        self._back_off_ms = BACK_OFF_FIRST_MS
        return True

    async def _until_dead(self, since_ms: int, silence_ms: Callable[[], int]) -> str:
        """Watch a scan that began; return why it is to end: "" for a pause, "silent", or what was lost.

        `since_ms`: when it would have begun without pauses.
        """
        first = self._controller.state
        idle_ms: int | None = None
        while True:
            now_ms, state = self._clock.boot_ms(), self._controller.state
            heard_ms = self._radio.heard_ms
            if heard_ms is not None and heard_ms > since_ms:
                self._well()
            if self._pauses:
                return ""
            if first is None:
                first = state
            elif state is None or state.losses != first.losses:
                return "the Bluetooth service or the adapter's power went"
            due_ms = max(since_ms, heard_ms or 0) + (silence_ms() << self._silent.laps)
            if now_ms >= due_ms:
                return "silent"
            if state is not None and not state.discovering and not self._passive:
                idle_ms = now_ms if idle_ms is None else idle_ms
                if now_ms >= idle_ms + DISCOVERY_GRACE_MS:
                    return "BlueZ ended the discovery"
                due_ms = min(due_ms, idle_ms + DISCOVERY_GRACE_MS)
            else:
                idle_ms = None
            await self._sleeper.until(due_ms)

    async def _died(self, cause: str) -> None:
        if cause:
            self._listened_ms = 0
        if cause == "silent":
            self.silences += 1
            self._radio.forget()
            if self._passive:
                self._passive = False  # it may be the monitors that hear nothing
            step = self._silent.climb(self._clock.boot_ms())
            self._say(f"nothing was heard; {step.value}")
            await self._take(step)
        elif cause:
            self._radio.forget()
            self._say(cause)
            self.steps[Step.REBUILD] += 1

    async def _take(self, step: Step) -> None:
        self.steps[step] += 1
        try:
            if step is Step.POWER_CYCLE and self._config.power:
                self._radio.forget()
                await self._controller.power(False)
                await self._clock.sleep_until(self._clock.boot_ms() + OFF_MS)
                await self._controller.power(True)
            elif step is Step.RESTART and self._config.restart_service:
                self._radio.forget()
                await self._controller.restart_service()
            elif step is Step.RESTART:
                self._notice(f"{self._config.name}: bluetoothd needs a restart (systemctl restart bluetooth)")
        except Retry as error:
            self._notice(f"{self._config.name}: {error}")

    async def _back_off(self) -> None:
        wait_ms = round(self._back_off_ms * self._rng.uniform(0.75, 1.25))
        self._back_off_ms = min(2 * self._back_off_ms, BACK_OFF_MAX_MS)
        await self._sleeper.until(self._clock.boot_ms() + wait_ms)

    def _say(self, what: str) -> None:
        """Tell what is wrong once, until it is something else or all is well."""
        if what != self._said:
            self._said = what
            self._notice(f"{self._config.name}: {what}")

    def _well(self) -> None:
        self._silent.well()
        if self._said:
            self._said = ""
            self._notice(f"{self._config.name}: hears again")
