"""The bridge: runs a driver with the site document that the hub accepted and hands its frames to the hub."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.bridge.calls import serve_calls
from headgate.bridge.handover import HUB_TOPIC, Handover, Options
from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.config.accepted import read_accepted
from headgate.config.reader import Problems, Section
from headgate.config.site import load_document, parse_sections
from headgate.config.stateroot import DEFAULT, StateRoot
from headgate.driver import Change, Driver
from headgate.errors import Reject
from headgate.roles.process import Run, main

COMPONENT_SCHEMA = 1
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
"""Bridges by name; the name is also the site document's section, and part of the bridge's topics.

A driver is imported where it is made: a bridge to one field bus never loads the library of another.
"""


@dataclass(frozen=True, slots=True)
class ComponentConfig:
    """The component's own configuration. `inline`: a site document given there, before the hub's."""

    root: StateRoot
    inline: Mapping[str, Any] | None = field(default=None)


def parse_component(config: Mapping[str, Any], source: str) -> ComponentConfig:
    """Read the component configuration. Raises Reject with all faults."""
    problems = Problems(source)
    top = Section(config, "", problems)
    schema = top.integer("schema", COMPONENT_SCHEMA, low=0, high=1 << 31)
    if schema != COMPONENT_SCHEMA:
        top.fault("schema", f"{schema} is not known here", f"this version reads schema {COMPONENT_SCHEMA}")
    path = top.text(
        "stateRoot",
        str(DEFAULT),
        pattern=r"/.+|[A-Za-z]:[\\/].+",
        hint="an absolute path, the same as the hub's",
    )
    inline = config.get("inline")
    if top.has("inline") and not isinstance(inline, str | Mapping):
        top.fault("inline", "is neither a mapping nor text", "put the site document here, or leave it out")
        inline = None
    top.close()
    problems.reject_if_any()
    if isinstance(inline, str):
        inline = load_document(inline, f"{source}, inline") if inline.strip() else None
    return ComponentConfig(StateRoot.at(path), inline or None)


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
        self._component = component
        self._bus = bus
        self._clock = clock
        self._options = options
        self._driver = DRIVERS[name](clock, log.warning)
        self._handover = Handover(name, bus, clock, self._driver.table, options)
        self._digest = ""
        self._epoch: object = None
        self._said = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then end the transactions under way and hand over or keep every sample.

        However it ends, what the hub has not acknowledged is left in the state root.
        """
        self._component.root.create()
        self._handover.restore(self._component.root)
        try:
            with (
                self._handover.attached(),
                self._bus.subscribe(HUB_TOPIC, self._on_hub),
                serve_calls(self._bus, self._name, self._driver, self._clock),
            ):
                self._load()
                async with asyncio.TaskGroup() as group:
                    driving = group.create_task(self._driver.run(self._handover.take), name="driver")
                    helpers = [
                        group.create_task(self._handover.send(), name="sender"),
                        group.create_task(self._handover.flush_regularly(), name="flush"),
                        group.create_task(self._watch_config(), name="configuration"),
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

    async def _on_hub(self, topic: str, payload: bytes) -> None:
        """The hub announces itself now and then; only a new epoch is a hub that may have lost something."""
        try:
            epoch = json.loads(payload)["epoch"]
        except (ValueError, TypeError, KeyError) as error:
            raise Reject(f"not a hub's announcement: {payload[:80]!r}") from error
        if epoch != self._epoch:
            self._epoch = epoch
            self._handover.hub_is_up()
        self._load()

    async def _watch_config(self) -> None:
        """Follow the component's configuration; what it cannot follow it says, and stays as it is."""
        async for config in self._bus.configs():
            try:
                component = parse_component(config, f"configuration of {self._name}")
            except Reject as error:
                log.error("%s", error)
                continue
            if component.root != self._component.root:
                log.error("stateRoot changed: restart the component to move to %s", component.root.path)
            elif component.inline != self._component.inline:
                self._component = component
                self._load()

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

    def _load(self) -> None:
        """Go over to the document in force. One that cannot be used is reported and changes nothing."""
        try:
            found = self._document()
            if found is None:
                self._say(logging.INFO, "no site document yet: waiting for the hub")
                return
            digest, source, document = found
            if digest == self._digest:
                return
            change = self._plan(source, document)
        except Reject as error:
            self._say(logging.ERROR, f"{error}\nthe site document before it stays in force")
            return
        self._driver.apply(change)
        self._digest, self._said = digest, ""
        log.info("%s: %s", source, change)

    def _say(self, level: int, text: str) -> None:
        """Log what holds until it changes, once: the hub's announcements repeat themselves."""
        if text != self._said:
            self._said = text
            log.log(level, "%s", text)

    def _plan(self, source: str, document: Mapping[str, Any]) -> Change:
        parse_sections(document, source, {}, whole=False)
        try:
            section = document.get(self._name)
            return self._driver.plan({} if section is None else section)
        except Reject as error:
            raise Reject(f"{source}, {error.args[0]}", error.problems) from error

    def _document(self) -> tuple[str, str, Mapping[str, Any]] | None:
        inline = self._component.inline
        if inline is not None:
            return repr(inline), "site document (inline)", inline
        accepted = read_accepted(self._component.root)
        if accepted is None:
            return None
        source = f"site document {accepted.digest[:12]}"
        return accepted.digest, source, load_document(accepted.text, source)


async def first_config(name: str, bus: Bus, stop: asyncio.Event) -> ComponentConfig | None:
    """The configuration to start with; None when stopped before there is one. Raises Reject."""
    configs = bus.configs()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(anext(configs, None), name="first configuration")
        stopped = group.create_task(stop.wait(), name="stop")
        await asyncio.wait({first, stopped}, return_when=asyncio.FIRST_COMPLETED)
        config = first.result() if first.done() else None
        first.cancel()
        stopped.cancel()
    return None if config is None else parse_component(config, f"configuration of {name}")


def _main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in DRIVERS:
        print(f"usage: python -m headgate.roles.bridge {{{','.join(DRIVERS)}}}", file=sys.stderr)
        return 64
    return main(arguments[0], bridge(arguments[0]))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
