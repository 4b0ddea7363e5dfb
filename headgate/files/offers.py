"""The configured folders: looked at regularly, and every stable file in them announced once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headgate.clock import Clock
from headgate.driver import Refused
from headgate.errors import Reject, Retry
from headgate.files.announced import Announced
from headgate.files.backoff import Backoff
from headgate.files.catalogue import Catalogue, Offer
from headgate.files.config import REPLIES, FilesConfig, Source
from headgate.files.folder import Folder, Scan, inodes_below
from headgate.limited_log import LimitedLog
from headgate.sleeper import Sleeper
from headgate.threads import in_thread

log = logging.getLogger(__name__)

LOOK_AGAIN_MS = 200
"""A question for a file that is not known has the folders looked at, so long after the last look at least."""
FOR_EVER_MS = 3_600_000
STATE_DEPTH = 2
"""Directories of the state root that no source may be or hold: `spool/courier` is the deepest."""

Report = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Gets a report to the hub's outbox, durably. Raises Retry (away) or Reject (never)."""


class Offers:
    """What this gateway offers. `state` is the state root: nothing in it is offered but its replies.

    `known` are ids that are stable because somebody asked for them before.
    """

    def __init__(
        self,
        clock: Clock,
        state: Path,
        replies: Path,
        announced: Announced,
        report: Report,
        backoff: Backoff,
    ) -> None:
        self.known: Collection[str] = ()
        self.catalogue = Catalogue()
        self.config = FilesConfig()
        self.folders: dict[str, Folder] = {}
        self._clock = clock
        self._state = state
        self._builtin = Source(REPLIES, str(replies), "*.json", at_once=True, announced=True)
        self._announced = announced
        self._report = report
        self._backoff = backoff
        self._refused: set[str] = set()
        self._again: set[str] = set()
        self._began_ms: int | None = None
        self._looking = asyncio.Lock()
        self._scanner = Sleeper(clock)
        self._announcer = Sleeper(clock)
        self._announcing = asyncio.Lock()
        self._notices = LimitedLog(log)

    def configure(self, config: FilesConfig) -> None:
        """Go over to a configuration."""
        self.config = replace(config, sources=(self._builtin, *config.sources))
        closed = frozenset(inodes_below(self._state, STATE_DEPTH))
        self.folders = {
            source.name: Folder(source, frozenset() if source is self._builtin else closed)
            for source in self.config.sources
        }
        self._began_ms = None
        self._scanner.wake()

    async def scan_regularly(self) -> None:
        """Look at the folders until cancelled; sooner where a file is not stable yet."""
        while True:
            await self.look(0)
            pause_ms = self.config.scan_ms
            if self.catalogue.unstable:
                pause_ms = min(pause_ms, self.config.stable_ms)
            await self._scanner.until(self._clock.boot_ms() + pause_ms)

    async def look(self, after_last_ms: int = LOOK_AGAIN_MS) -> None:
        """Scan every folder: what is there when this is called is found, however shortly after a scan."""
        asked_ms = self._clock.boot_ms()
        async with self._looking:
            if self._began_ms is not None:
                if self._began_ms > asked_ms:
                    return
                await self._clock.sleep_until(self._began_ms + after_last_ms)
            self._began_ms = self._clock.boot_ms()
            config, folders = self.config, list(self.folders.values())
            scans = await in_thread(lambda _: [folder.scan() for folder in folders], "courier scan")
            looked_ms = self._clock.boot_ms()
            found = [file for scan in scans for file in scan.found]
            self.catalogue.scanned(found, config, looked_ms, self.known)
            for folder, scan in zip(folders, scans, strict=True):
                self._mind(folder, scan)
        self._announcer.wake()

    async def announce_regularly(self) -> None:
        """Announce what is not announced yet, one at a time, until cancelled."""
        while True:
            waiting = [offer for offer in self.catalogue.offers.values() if self._is_unannounced(offer)]
            for offer in waiting:
                async with self._announcing:
                    announced = not self._is_unannounced(offer) or await self._announce(offer)
                if not announced:
                    await self._clock.sleep_until(self._clock.boot_ms() + self._backoff.next_ms())
                    break
            if not waiting:
                await self._announcer.until(self._clock.boot_ms() + FOR_EVER_MS)

    async def _announce(self, offer: Offer) -> bool:
        """Whether the hub was there to take it, or to refuse it."""
        try:
            await self._report(announcement(offer))
        except Retry as error:
            self._notices.warning("announce", "announcement of %s: %s; trying again", offer.key, error)
            return False
        except Reject as error:
            log.error("the announcement of %s was refused: %s", offer.key, error)
            self._refused.add(offer.file_id)
        else:
            self._backoff.reset()
            self._again.discard(offer.file_id)
            await in_thread(partial(self._note, offer.file_id), "courier announced")
        return True

    def announce_again(self, file_id: str) -> None:
        """The cloud does not know a file that was announced."""
        self._again.add(file_id)
        self._announcer.wake()

    def is_announced(self, offer: Offer) -> bool:
        """Whether the hub has its announcement durably."""
        return offer.source == REPLIES or offer.file_id in self._announced

    async def by_id(self, file_id: str) -> Offer | None:
        """A stable file by its id."""
        if file_id not in self.catalogue.offers:
            await self.look()
        return self.catalogue.offers.get(file_id)

    async def by_path(self, source: str, path: str) -> Offer:
        """A stable file by its place. Raises Refused (outside_roots, unknown_file) or Retry (not stable)."""
        folder = self._folder(source)
        mark = await in_thread(lambda _: folder.look(path), "courier look")
        if not folder.offers(path):
            raise Refused("unknown_file", f"source {source} offers no file of that name: {path[:200]!r}")
        offer = self.catalogue.named(source, path)
        if offer is None or offer.mark != mark:
            await self.look()
            offer = self.catalogue.named(source, path)
        if offer is None or offer.mark != mark:
            stable_s = self.config.stable_ms / 1000
            raise Retry(f"source {source}: {path[:200]!r} has changed within {stable_s:g} s: ask again later")
        return offer

    async def capture(self, source: str, newest: int, *, wait: bool) -> list[Offer]:
        """The newest stable files of a source, each announced, newest first.

        Raises Refused (outside_roots) or Retry: a file is still written (with `wait`), or the hub is away.
        """
        self._folder(source)
        await self.look()
        if wait and self.catalogue.is_changing_in(source):
            raise Retry(f"source {source}: a file is still written")
        found = self.catalogue.newest(source, newest)
        for offer in found:
            async with self._announcing:
                if self._is_unannounced(offer) and not await self._announce(offer):
                    raise Retry(f"the announcement of {offer.key} did not reach the hub")
        return found

    def _folder(self, source: str) -> Folder:
        folder = self.folders.get(source)
        if folder is None:
            known = ", ".join(sorted(self.folders))
            raise Refused("outside_roots", f"there is no source {source[:80]!r}; known are {known}")
        return folder

    def _is_unannounced(self, offer: Offer) -> bool:
        if offer.file_id in self._refused:
            return False
        return offer.file_id in self._again or not self.is_announced(offer)

    def _note(self, file_id: str, _: object) -> None:
        if file_id not in self._announced:
            self._announced.add([file_id])

    def _mind(self, folder: Folder, scan: Scan) -> None:
        name = folder.source.name
        if scan.fault and folder.source is not self._builtin:
            self._notices.warning(f"scan {name}", "source %s cannot be read: %s", name, scan.fault)
        if scan.skipped:
            self._notices.warning(f"skip {name}", "source %s: %d entries are not offered", name, scan.skipped)


def announcement(offer: Offer) -> dict[str, Any]:
    """The report that makes a file known to the cloud."""
    return {
        "type": "file",
        "file_id": offer.file_id,
        "source": offer.source,
        "path": offer.path,
        "size": offer.mark.size_bytes,
        "mtime_ms": offer.mark.mtime_ns // 1_000_000,
    }
