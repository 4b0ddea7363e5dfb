"""The bridge: runs a driver with the site document that the hub accepted and hands its frames to the hub."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from headgate.bridge.calls import serve_calls
from headgate.bridge.handover import HUB_TOPIC, Handover, Options
from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.driver import Driver
from headgate.errors import Reject
from headgate.roles.process import Run, main
from headgate.roles.site_follower import ComponentConfig, SiteFollower, first_config
from headgate.roles.site_reading import Read, read_ble, read_modbus

STATUS_MS = 30_000

MakeDriver = Callable[[Clock, Callable[[str], None]], Driver]

log = logging.getLogger(__name__)


def _modbus(clock: Clock, notice: Callable[[str], None]) -> Driver:
    from headgate.modbus.driver import ModbusDriver

    # What a device does, the driver says in its own words; pymodbus would add a line for each request.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)
    return ModbusDriver(clock, notice=notice)


def _ble(clock: Clock, notice: Callable[[str], None]) -> Driver:
    from headgate.ble.driver import BleDriver

    logging.getLogger("bleak").setLevel(logging.CRITICAL + 1)
    return BleDriver(clock, notice=notice)


DRIVERS: dict[str, MakeDriver] = {"modbus": _modbus, "ble": _ble}
READERS: dict[str, Read[Any]] = {"modbus": read_modbus, "ble": read_ble}
"""What each reads of the site document."""
"""Bridges by name; the name is also the site document's section, and part of the bridge's topics.

A driver is imported where it is made: a bridge to one field bus never loads the library of another.
"""


def bridge(name: str, *, options: Options | None = None) -> Run:
    """The role of the bridge of that name, for `headgate.roles.process.main`."""

    async def run(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
        component = await first_config(name, bus, stop)
        if component is not None:
            await Bridge(name, component, bus, clock, options or Options()).run(stop)

    return run


class Bridge:
    """One bridge at work. The site document comes from the state root, again whenever the hub says so."""

    def __init__(
        self, name: str, component: ComponentConfig, bus: Bus, clock: Clock, options: Options
    ) -> None:
        self._name = name
        self._root = component.root
        self._site = SiteFollower(name, component, bus, READERS[name], self._apply)
        self._bus = bus
        self._clock = clock
        self._options = options
        self._driver = DRIVERS[name](clock, log.warning)
        self._handover = Handover(name, bus, clock, self._driver.table, options)
        self._epoch: object = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then end the transactions under way and hand over or keep every sample.

        However it ends, what the hub has not acknowledged is left in the state root.
        """
        self._root.create()
        self._handover.restore(self._root)
        try:
            with (
                self._handover.attached(),
                self._bus.subscribe(HUB_TOPIC, self._on_hub),
                serve_calls(self._bus, self._name, self._driver, self._clock),
            ):
                await self._site.look()
                async with asyncio.TaskGroup() as group:
                    driving = group.create_task(self._driver.run(self._handover.take), name="driver")
                    helpers = [
                        group.create_task(self._handover.send(), name="sender"),
                        group.create_task(self._handover.flush_regularly(), name="flush"),
                        group.create_task(self._site.follow(), name="configuration"),
                        group.create_task(self._report_regularly(), name="status"),
                    ]
                    await stop.wait()
                    await self._end(driving)
                    for helper in helpers:
                        helper.cancel()
        finally:
            self._handover.spill()

    async def _end(self, driving: asyncio.Task[None]) -> None:
        self._driver.stop()
        await driving
        self._handover.flush()
        await self._handover.drained(self._clock.boot_ms() + self._options.stop_wait_ms)
        await self._handover.say_alive(stopping=True)

    async def _on_hub(self, topic: str, payload: bytes) -> None:
        """The hub announces itself now and then; only a new epoch is a hub that may have lost something."""
        try:
            epoch = json.loads(payload)["epoch"]
        except (ValueError, TypeError, KeyError) as error:
            raise Reject(f"not a hub's announcement: {payload[:80]!r}") from error
        if epoch != self._epoch:
            self._epoch = epoch
            self._handover.hub_is_up()
        self._site.wake()
        await self._handover.say_alive()

    async def _report_regularly(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.boot_ms() + STATUS_MS)
            outgoing = self._handover.outgoing
            counters = [f"{name} {value:g}" for name, value in self._driver.health() if "/" not in name]
            silent = [name for name, value in self._driver.health() if name.startswith("up/") and not value]
            log.info(
                "status: %s; silent %s; kept %d batches %d B, sent again %d, dropped %d",
                ", ".join(counters),
                ", ".join(name.removeprefix("up/") for name in silent) or "none",
                len(outgoing),
                outgoing.size_bytes,
                outgoing.resends,
                outgoing.shed_batches,
            )

    def _apply(self, config: Any, source: str) -> str:
        """Go over to what was read. Raises Reject, which changes nothing."""
        try:
            change = self._driver.plan(config)
        except Reject as error:
            raise Reject(f"{source}, {error.args[0]}", error.problems) from error
        self._driver.apply(change)
        return str(change)


def _main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in DRIVERS:
        print(f"usage: python -m headgate.roles.bridge {{{','.join(DRIVERS)}}}", file=sys.stderr)
        return 64
    return main(arguments[0], bridge(arguments[0]))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
