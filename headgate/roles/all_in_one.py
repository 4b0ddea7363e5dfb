"""Every role in one process, over a bus in memory: for boards that have no room for five processes."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.bus.api import Bus
from headgate.bus.memory import MemoryBus
from headgate.bus.split import SplitBus
from headgate.clock import Clock
from headgate.config.accepted import read_accepted
from headgate.config.site import load_document
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject
from headgate.local import messages
from headgate.roles import hub, process
from headgate.roles.hub_config import state_root_of
from headgate.roles.hub_life import pause
from headgate.roles.process import Run, causes
from headgate.sleeper import Sleeper

HUB_TOPIC = "hg/v1/local/hub"
PUBLIC = (messages.LIVE, messages.WINDOWS, messages.ALARMS)
"""Topics for other people's components."""
SHARED_KEYS = ("schema", "stateRoot")
"""Of the component's configuration; the site document reaches the others once the hub has accepted it."""
AGAIN_FIRST_MS = 1_000
AGAIN_MAX_MS = 60_000
HEALTHY_MS = 600_000
"""A role that ran so long has its failures forgiven."""
LOOK_MS = 3_600_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guest:
    """A role beside the hub. `section`: what of the site document calls for it; none: it always runs."""

    name: str
    module: str
    factory: tuple[str, ...]
    section: str | None = None

    def load(self) -> Run:
        """Import it: what no device of this gateway needs takes no memory."""
        name, *arguments = self.factory
        found: Any = getattr(importlib.import_module(self.module), name)
        role: Run = found(*arguments) if arguments else found
        return role


GUESTS: tuple[Guest, ...] = (
    Guest("modbus", "headgate.roles.bridge", ("bridge", "modbus"), "modbus"),
    Guest("ble", "headgate.roles.bridge", ("bridge", "ble"), "ble"),
    *([Guest("files", "headgate.roles.courier", ("run",))] if os.open in os.supports_dir_fd else []),
)
"""The courier opens files as Windows cannot."""


async def run(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
    """Run until `stop` is set: then the others hand over to the hub, and it ends last.

    What ends the hub ends the process, as does any role's Fatal; anything else has a role started anew.
    """
    async with MemoryBus() as local:
        await _House(SplitBus(local, bus, public=PUBLIC), SplitBus(local, bus, keys=SHARED_KEYS), clock).run(
            stop
        )


class _House:
    """The hub and its guests. `whole` is the hub's bus, `shared` the others', who see less configuration."""

    def __init__(self, whole: Bus, shared: Bus, clock: Clock) -> None:
        self._whole = whole
        self._shared = shared
        self._clock = clock
        self._root: StateRoot | None = None
        self._changed = Sleeper(clock)
        self._news = True

    async def run(self, stop: asyncio.Event) -> None:
        hub_stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            host = group.create_task(hub.run(self._whole, self._clock, hub_stop), name="hub")
            with self._shared.subscribe(HUB_TOPIC, self._on_hub):
                guests = group.create_task(self._guests(stop), name="guests")
                await asyncio.wait((host, guests), return_when=asyncio.FIRST_COMPLETED)
                if not guests.done():
                    guests.cancel()
                hub_stop.set()
                await asyncio.wait((host, guests))

    async def _guests(self, stop: asyncio.Event) -> None:
        """Start each guest once the site document in force calls for it; return when all have ended."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch_root(), name="state root")
            opening = group.create_task(self._open(group, stop), name="who is needed")
            await stop.wait()
            opening.cancel()
            watching.cancel()

    async def _open(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        waiting = list(GUESTS)
        while waiting:
            sections = self._sections()
            for guest in [g for g in waiting if g.section is None or g.section in sections]:
                waiting.remove(guest)
                group.create_task(self._keep(guest, stop), name=guest.name)
            if not self._news:
                await self._changed.until(self._clock.boot_ms() + LOOK_MS)
            self._news = False

    async def _keep(self, guest: Guest, stop: asyncio.Event) -> None:
        """Run a guest, again after each failure. Raises Fatal."""
        again_ms = AGAIN_FIRST_MS
        while not stop.is_set():
            began_ms = self._clock.boot_ms()
            try:
                await guest.load()(self._shared, self._clock, stop)
            except Exception as error:  # noqa: BLE001  # a role's boundary: the others go on
                for cause in causes(error):
                    _report(guest, cause)
                if self._clock.boot_ms() - began_ms >= HEALTHY_MS:
                    again_ms = AGAIN_FIRST_MS
                log.error("%s starts again in %g s", guest.name, again_ms / 1000)
                await pause(stop, self._clock, again_ms)
                again_ms = min(2 * again_ms, AGAIN_MAX_MS)
            else:
                return

    def _sections(self) -> Mapping[str, Any]:
        """What the accepted site document holds; nothing while there is none that can be read."""
        try:
            accepted = read_accepted(self._root) if self._root else None
            document = load_document(accepted.text, "site document") if accepted else {}
        except Reject as error:
            log.error("%s", error)
            return {}
        return {name: section for name, section in document.items() if section}

    async def _watch_root(self) -> None:
        async for config in self._shared.configs():
            self._root = StateRoot(state_root_of(config))
            self._wake()

    async def _on_hub(self, topic: str, payload: bytes) -> None:
        self._wake()

    def _wake(self) -> None:
        self._news = True
        self._changed.wake()


def _report(guest: Guest, error: BaseException) -> None:
    """Say what ended a guest. Raises Fatal, which no new start can help."""
    if isinstance(error, Fatal):
        raise error
    known = isinstance(error, Reject | OSError) or type(error).__module__.startswith("headgate")
    log.error("%s: %s: %s", guest.name, type(error).__name__, error, exc_info=None if known else error)


if __name__ == "__main__":
    sys.exit(process.main("all-in-one", run))
