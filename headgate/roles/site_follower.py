"""What bridges and the courier share: their component's configuration, and the site document in force."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from headgate.bus.api import Bus
from headgate.config.accepted import read_accepted
from headgate.config.reader import Problems, Section
from headgate.config.site import load_document
from headgate.config.stateroot import DEFAULT, StateRoot
from headgate.errors import Reject
from headgate.roles.site_reading import Read, read_site

COMPONENT_SCHEMA = 1

log = logging.getLogger(__name__)

T = TypeVar("T")


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


class SiteFollower(Generic[T]):
    """Hands over the site document in force: the component's own, or the one that the hub accepted.

    `read` makes of its text what `apply` goes over to; both raise Reject for what cannot be. `apply` says
    what changed, in words. Call `look` at the start, `wake` whenever the hub announces itself, and run
    `follow` as a task of the role.
    """

    def __init__(
        self,
        name: str,
        component: ComponentConfig,
        bus: Bus,
        read: Read[T],
        apply: Callable[[T, str], str],
    ) -> None:
        self._name = name
        self._component = component
        self._bus = bus
        self._read = read
        self._apply = apply
        self._digest = ""
        self._said = ""
        self._woken = asyncio.Event()

    async def follow(self) -> None:
        """Follow the component's configuration and the hub until cancelled; what cannot be used is said."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_component(), name="component configuration")
            while True:
                await self._woken.wait()
                self._woken.clear()
                await self.look()

    def wake(self) -> None:
        """Have `follow` look again. A document may take seconds to read: whoever says so need not wait."""
        self._woken.set()

    async def look(self) -> None:
        """Go over to the document in force. One that cannot be used is reported and changes nothing."""
        try:
            found = self._document()
            if found is None:
                self._say(logging.INFO, "no site document yet: waiting for the hub")
                return
            digest, source, text = found
            if digest == self._digest:
                return
            changed = self._apply(await read_site(self._read, text, source), source)
        except Reject as error:
            self._say(logging.ERROR, f"{error}\nthe site document before it stays in force")
            return
        self._digest, self._said = digest, ""
        log.info("%s: %s", source, changed)

    async def _follow_component(self) -> None:
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
                self.wake()

    def _document(self) -> tuple[str, str, bytes] | None:
        """Its digest, what it is called, its text. Raises Reject."""
        inline = self._component.inline
        if inline is not None:
            text = json.dumps(inline, default=str).encode()
            return hashlib.sha256(text).hexdigest(), "site document (inline)", text
        accepted = read_accepted(self._component.root)
        if accepted is None:
            return None
        return accepted.digest, f"site document {accepted.digest[:12]}", accepted.text

    def _say(self, level: int, text: str) -> None:
        """Log what holds until it changes, once: the hub's announcements repeat themselves."""
        if text != self._said:
            self._said = text
            log.log(level, "%s", text)
