"""Follows the hub's configuration to a site document: fetched, read, kept by digest, put in force."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.config.stateroot import StateRoot
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.roles.hub_config import HubConfig, Site, SiteStore, fetch_site, parse_config, parse_site
from headgate.roles.site_reading import read_site
from headgate.store.writer import Writer

log = logging.getLogger(__name__)

Put = Callable[[Site | None, Site], Awaitable[None]]
"""Puts a document (second) in force; the first is the one before it, if there was any."""


class Following:
    """`site` is the document in force; it stays so until another one is whole and valid."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        root: StateRoot,
        site: Site | None,
        writer: Writer,
        put: Put,
        *,
        retry_ms: int,
        retry_max_ms: int,
    ) -> None:
        self.site = site
        self._bus = bus
        self._clock = clock
        self._root = root
        self._sites = SiteStore(root)
        self._writer = writer
        self._put = put
        self._retry_ms = retry_ms
        self._retry_max_ms = retry_max_ms
        self._complaints = LimitedLog(log)

    @property
    def digest(self) -> str | None:
        """Of the document in force."""
        return self.site.sha256 if self.site else None

    async def run(self) -> None:
        """Apply each configuration as it comes; one that cannot be had yet is tried until the next comes."""
        latest: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(1)

        async def watch() -> None:
            async for values in self._bus.configs():
                if latest.full():
                    latest.get_nowait()
                latest.put_nowait(values)

        async with asyncio.TaskGroup() as group:
            group.create_task(watch(), name="hub watch configuration")
            values = await latest.get()
            while True:
                applying = group.create_task(self._apply(values), name="hub apply configuration")
                values = await latest.get()
                applying.cancel()

    async def _apply(self, values: Mapping[str, Any]) -> None:
        try:
            config = parse_config(values)
            if config.state_root != self._root.path:
                log.warning("stateRoot changed to %s: restart the component to use it", config.state_root)
            data, source = await self._document(config)
            if data is not None:
                await self._accept(data, source)
        except Reject as error:
            log.error("%s\n  the accepted site document stays in force: %s", error, self.digest or "none")

    async def _document(self, config: HubConfig) -> tuple[bytes | None, str]:
        if config.inline is not None:
            return config.inline, "configuration of headgate.Hub, inline"
        if config.site is None:
            if self.site is None:
                log.warning("no site document: set site or inline in the configuration of headgate.Hub")
            return None, ""
        held = self._sites.held(config.site.sha256)
        if held is not None:
            return held, config.site.uri
        wait_ms = self._retry_ms
        while True:
            try:
                return await fetch_site(config.site), config.site.uri
            except Retry as error:
                self._complaints.warning("fetch", "site document: %s; trying again", error)
            await self._clock.sleep_until(self._clock.boot_ms() + wait_ms)
            wait_ms = min(2 * wait_ms, self._retry_max_ms)

    async def _accept(self, data: bytes, source: str) -> None:
        site: Site = await read_site(parse_site, data, source)
        await self._writer.call(self._sites.accept, data)
        if site.sha256 != self.digest:
            log.info("site document %s accepted from %s", site.sha256, source)
        before, self.site = self.site, site
        await self._put(before, site)
