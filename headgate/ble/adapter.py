"""One adapter and all that is done with it: the scan, its watch, the connections; and what they cost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headgate.ble.adapters import AdapterConfig
from headgate.ble.gatt import Gatt
from headgate.ble.ladder import Step
from headgate.ble.radio import Controller, Heard, Overheard, Radio
from headgate.ble.scanner import Scanner
from headgate.clock import Clock

MakeStack = Callable[[str, Clock], tuple[Radio, Controller]]
"""The radio and the switches of the adapter of a name."""


def bluez(adapter: str, clock: Clock) -> tuple[Radio, Controller]:
    """BlueZ's, through bleak."""
    from headgate.ble.bleak_radio import BleakRadio
    from headgate.ble.bluez import BluezController

    return BleakRadio(adapter, clock), BluezController(adapter, clock)


@dataclass(frozen=True, slots=True)
class Counts:
    """What an adapter did so far."""

    adverts: int
    scans: int
    scan_failures: int
    silences: int
    steps: int
    power_cycles: int
    restarts: int
    reads: int
    writes: int
    connects: int
    failures: int


class Adapter:
    """The one owner of an adapter. `run` is its task."""

    def __init__(
        self,
        config: AdapterConfig,
        make: MakeStack,
        clock: Clock,
        notice: Callable[[str], None],
        rng: random.Random,
    ) -> None:
        self.config = config
        self._radio, self._controller = make(config.name, clock)
        self._scanner = Scanner(config, self._radio, self._controller, clock, notice, rng)
        self.gatt = Gatt(self._radio, clock, rng, config, self._scanner.paused)

    async def run(self, wanted: Container[str], heard: Heard, silence_ms: Callable[[], int]) -> None:
        """Scan, watched, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._controller.watch(self._scanner.look), name=f"watch {self.config.name}")
            group.create_task(self._scanner.run(wanted, heard, silence_ms), name=f"scan {self.config.name}")

    @contextmanager
    def overheard(self, hear: Callable[[Overheard], None]) -> Iterator[None]:
        """Have `hear` told of all that the scan hears while entered, of whomever; one at a time."""
        self._radio.overhear = hear
        try:
            yield
        finally:
            # Whoever came after this one is not cut off by it.
            if self._radio.overhear is hear:
                self._radio.overhear = None

    @property
    def up(self) -> bool:
        """Whether the adapter is there and switched on, as far as is known."""
        state = self._controller.state
        return state is None or state.powered

    def counts(self) -> Counts:
        """The counters of its parts."""
        scanner, gatt = self._scanner, self.gatt
        return Counts(
            adverts=self._radio.adverts,
            scans=scanner.starts,
            scan_failures=scanner.failures,
            silences=scanner.silences,
            steps=sum(scanner.steps.values()),
            power_cycles=scanner.steps[Step.POWER_CYCLE],
            restarts=scanner.steps[Step.RESTART],
            reads=gatt.reads,
            writes=gatt.writes,
            connects=gatt.connects,
            failures=gatt.failures,
        )
