"""A radio and an adapter's switches that a test holds in its hand, on the test's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from dataclasses import replace

from headgate.ble.decoders.quantity import Advert
from headgate.ble.radio import AdapterState, Heard, Overheard, Session
from headgate.clock import ManualClock
from headgate.errors import Retry

WELL = AdapterState(service=True, present=True, powered=True)


class StillController:
    """Switches that nothing is known of."""

    state: AdapterState | None = None

    async def watch(self, changed: Callable[[], None]) -> None:
        await asyncio.Event().wait()

    async def power(self, on: bool) -> None:
        raise AssertionError("nobody asked for it")

    async def restart_service(self) -> None:
        raise AssertionError("nobody asked for it")


class Bench:
    """A Radio and a Controller in one: what is asked of them is in `log`; `refusals` are what `start` raises.

    `deaf`: nothing that is sent is heard. `cures`: what of the log makes it hear again.
    `services`: what its devices offer.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.state: AdapterState | None = WELL
        self.log: list[str] = []
        self.refusals: list[Retry] = []
        self.cures = ""
        self.services: tuple[str, ...] = ()
        self.deaf = False
        self.heard_ms: int | None = None
        self.adverts = 0
        self.overhear: Callable[[Overheard], None] | None = None
        self._clock = clock
        self._heard: Heard | None = None
        self._changed: Callable[[], None] = lambda: None

    def becomes(self, **changes: bool) -> None:
        """Change the adapter's state and say so."""
        assert self.state is not None
        lost = any(not value for name, value in changes.items() if name != "discovering")
        self.state = replace(self.state, **changes, losses=self.state.losses + lost)
        if lost:
            self._heard = None
            self.state = replace(self.state, discovering=False)
        self._changed()

    def send(self, advert: Advert) -> None:
        if self._heard is not None and not self.deaf:
            self.heard_ms = self._clock.boot_ms()
            self.adverts += 1
            if self.overhear is not None:
                self.overhear(Overheard(advert, self.services, "public"))
            self._heard(advert)

    @property
    def scanning(self) -> bool:
        return self._heard is not None

    async def watch(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        await asyncio.Event().wait()

    async def power(self, on: bool) -> None:
        self._log("on" if on else "off")
        self.becomes(powered=on)

    async def restart_service(self) -> None:
        self._log("restart")

    async def start(self, wanted: Container[str], heard: Heard, *, passive: bool) -> None:
        self._log("passive" if passive else "start")
        if self.refusals:
            raise self.refusals.pop(0)
        self._heard = heard
        self.becomes(discovering=True)

    async def stop(self) -> None:
        if self._heard is not None:
            self._log("stop")
            self._heard = None
            self.becomes(discovering=False)

    def forget(self) -> None:
        return None

    async def found(self, address: str, timeout_s: float) -> None:
        raise Retry("nobody is in reach")

    async def connect(self, address: str, timeout_s: float, *, pair: bool) -> Session:
        raise Retry("nobody is in reach")

    def _log(self, what: str) -> None:
        self.log.append(what)
        if what == self.cures:
            self.deaf = False
            self.refusals.clear()
