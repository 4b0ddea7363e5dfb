"""All adapters at work: who scans, who listens to whom, and the adverts on their way to be decoded."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable

from headgate.ble.adapter import Adapter, MakeStack
from headgate.ble.config import BleConfig
from headgate.ble.decoders.quantity import Advert
from headgate.ble.gatt import Gatt
from headgate.ble.listener import Listener, Notice
from headgate.clock import Clock
from headgate.driver import Emit
from headgate.sleeper import Sleeper

MAX_WAITING = 4_096
"""Adverts that wait to be decoded: about a second of the busiest air that a controller reports."""
GATHER_MS = 250
ENOUGH = 1_024
"""A packet waits so long, or until so many wait, stamped as it came: of many at a time each costs less."""
SILENT_INTERVALS = 3
"""The watchdog waits for as many of the shortest interval, where all sensors are slow."""


class Air:
    """The adapters in use, each with its one scan. `overrun`: adverts dropped because too many waited."""

    def __init__(self, stack: MakeStack, clock: Clock, notice: Notice, rng: random.Random) -> None:
        self.adapters: dict[str, Adapter] = {}
        self._stack, self._clock, self._notice, self._rng = stack, clock, notice, rng
        self._listeners: dict[str, dict[str, list[Listener]]] = {}
        self.overrun = 0
        self._waiting: deque[tuple[Listener, int, int, Advert | bytes]] = deque()
        self._some = asyncio.Event()
        self._sleeper = Sleeper(clock)
        self._over = False
        self._emit: Emit | None = None
        self._group: asyncio.TaskGroup | None = None
        self._scans: dict[str, asyncio.Task[None]] = {}

    def use(self, config: BleConfig) -> None:
        """Take the adapters of a configuration, anew those of which something else is said now."""
        used = {device.adapter: config.adapter(device.adapter) for device in config.devices}
        for name in {*used, *self.adapters}:
            adapter = self.adapters.get(name)
            if adapter is not None and adapter.config == used.get(name):
                continue
            self.adapters.pop(name, None)
            if name in used:
                notice, rng = self._notice, self._rng
                self.adapters[name] = Adapter(used[name], self._stack, self._clock, notice, rng)
            self._renew(name)

    def aim(self, listeners: Iterable[Listener]) -> None:
        """Hand adverts to these listeners and no others."""
        self.catch_up()  # with those who listened when it came
        for heard in self._listeners.values():
            heard.clear()  # the scans under way keep looking at these very tables
        for listener in listeners:
            self._heard_by(listener.device.adapter).setdefault(listener.device.address, []).append(listener)

    def want(self, adapter: str, address: str) -> None:
        """Look out for a device that is not listened to but connected to."""
        self._heard_by(adapter).setdefault(address, [])

    def gatt(self, adapter: str) -> Gatt:
        """The connections of an adapter in use."""
        return self.adapters[adapter].gatt

    def start(self, group: asyncio.TaskGroup) -> None:
        """Scan, as tasks of a group, until `end`."""
        self._group = group
        for name in self.adapters:
            self._renew(name)

    async def end(self) -> None:
        """End every scan; what was heard until then is still decoded, then `decode` returns."""
        self._group = None
        for scan in self._scans.values():
            scan.cancel()
        if self._scans:
            await asyncio.wait(self._scans.values())
        self._over = True
        self._some.set()
        self._sleeper.wake()

    async def decode(self, emit: Emit) -> None:
        """Outside bleak's callback, where an error would only be logged; in order of arrival."""
        self._emit = emit
        while True:
            self.catch_up()
            if self._over:
                return
            self._some.clear()
            await self._some.wait()
            if len(self._waiting) < ENOUGH and not self._over:
                await self._sleeper.until(self._clock.boot_ms() + GATHER_MS)

    def catch_up(self) -> None:
        """Decode what waits now: for those who ask what was heard last, and when."""
        waiting, emit = self._waiting, self._emit
        if emit is None:
            return
        while waiting:
            listener, boot_ms, rssi_dbm, wanted = waiting.popleft()
            frame = listener.hear(wanted, boot_ms, rssi_dbm)
            if frame is not None:
                emit(frame)

    def _heard_by(self, adapter: str) -> dict[str, list[Listener]]:
        return self._listeners.setdefault(adapter, {})

    def _renew(self, name: str) -> None:
        if self._group is None:
            return
        before = self._scans.get(name)
        if before is not None:
            before.cancel()
        adapter = self.adapters.get(name)
        self._scans[name] = self._group.create_task(self._scan(name, adapter, before), name=f"ble {name}")

    async def _scan(self, name: str, adapter: Adapter | None, before: asyncio.Task[None] | None) -> None:
        """Scan once the scan before has ended: BlueZ gives a process one for each adapter."""
        if before is not None:
            await asyncio.wait([before])
        if adapter is None:
            return

        listeners, waiting = self._heard_by(name), self._waiting

        def heard(advert: Advert) -> None:
            for listener in listeners.get(advert.address, ()):
                wanted = listener.wanted(advert)
                if wanted is not None:  # all else is freed at once: what is kept leaves the machine's caches
                    waiting.append((listener, advert.boot_ms, advert.rssi_dbm, wanted))
            count = len(waiting)
            if count == 1:
                self._some.set()
            elif count >= ENOUGH:
                self._sleeper.wake()
                while len(waiting) > MAX_WAITING:
                    waiting.popleft()
                    self.overrun += 1

        await adapter.run(listeners, heard, lambda: self._silence_ms(name, adapter))

    def _silence_ms(self, name: str, adapter: Adapter) -> int:
        """How long an adapter may hear nothing: nobody at all, not just the devices of this gateway."""
        listeners = [listener for heard in self._heard_by(name).values() for listener in heard]
        interval_ms = min((each.device.interval_ms for each in listeners), default=0)
        return max(round(adapter.config.silence_s * 1000), SILENT_INTERVALS * interval_ms)
