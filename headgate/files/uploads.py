"""The uploads that were asked for: a bounded queue on disk, and senders that work it off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from headgate.driver import Refused
from headgate.errors import Reject, Retry
from headgate.files.catalogue import Offer
from headgate.files.folder import Folder
from headgate.files.messages import Down
from headgate.files.offers import Offers
from headgate.files.record import KEEP_ENDED, Record, Want, forget, load_all
from headgate.files.sender import Means, Sender
from headgate.limited_log import LimitedLog
from headgate.threads import in_thread

log = logging.getLogger(__name__)

Tell = Callable[[str, str], Awaitable[None]]
"""Tells the other roles that a file (id) has come to a state. Raises Retry or Reject."""


class Uploads:
    """Records by file id. `records` holds those under way and the last that ended."""

    def __init__(self, folder: Path, offers: Offers, means: Means, tell: Tell, waiting: int) -> None:
        self.records: dict[str, Record] = {}
        self.waiting: dict[str, Record] = {}
        self.senders: dict[str, Sender] = {}
        self.refused = 0
        self._folder = folder
        self._offers = offers
        self._means = means
        self._tell = tell
        self._limit = waiting
        self._work = asyncio.Event()
        self._notices = LimitedLog(log)

    async def load(self) -> None:
        """Take up what a former process left. Raises OSError."""
        records, faults = await in_thread(lambda _: load_all(self._folder), "courier records")
        for fault in faults:
            log.warning("%s; it was removed", fault)
        for record in records:
            self.records[record.want.file_id] = record
            if record.end is None:
                self.waiting[record.want.file_id] = record
        if self.waiting:
            log.info("going on with %d uploads", len(self.waiting))
        self.look()

    def look(self) -> None:
        """Something may be sent that could not before."""
        self._work.set()

    def hear(self, message: Down) -> None:
        """The cloud says something about a file; about one that is not being sent it is late."""
        sender = self.senders.get(message.file_id)
        if sender is not None:
            sender.hear(message)

    async def ask_for(self, offer: Offer) -> Record:
        """Have a file sent, unless it was; its record is on disk then. Raises Refused or OSError."""
        record = self.records.get(offer.file_id)
        if record is not None and (record.end is None or record.end.state == "complete"):
            return record
        if len(self.waiting) >= self._limit:
            self.refused += 1
            raise Refused("too_many", f"{len(self.waiting)} files wait to be sent already: ask again later")
        want = Want(offer.file_id, offer.source, offer.path, offer.mark)
        record = await in_thread(lambda _: Record.begin(self._folder, want), "courier record")
        self.records.pop(offer.file_id, None)
        self.records[offer.file_id] = self.waiting[offer.file_id] = record
        self.look()
        return record

    async def run(self) -> None:
        """Send what waits, so many at once as are configured, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                self._work.clear()
                for file_id, record in list(self.waiting.items()):
                    folder = self._offers.folders.get(record.want.source)
                    if len(self.senders) >= self._offers.config.uploads or folder is None:
                        continue
                    del self.waiting[file_id]
                    sender = Sender(record, folder, self._offers.config.part_bytes, self._means)
                    self.senders[file_id] = sender
                    group.create_task(self._send(sender, folder), name=f"courier upload {file_id}")

    async def _send(self, sender: Sender, folder: Folder) -> None:
        want = sender.record.want
        place = f"{want.source}/{want.path}"
        log.info("sending %s (%d B), file %s", place, want.mark.size_bytes, want.file_id)
        try:
            end = await sender.run()
        finally:
            del self.senders[want.file_id]
            self.look()
        log.info("%s is %s%s", place, end.state, f": {end.detail}" if end.detail else "")
        if end.state == "complete" and folder.source.delete:
            await self._remove(folder, want)
        await self._forget_oldest()
        try:
            await self._tell(want.file_id, end.state)
        except (Retry, Reject) as error:
            self._notices.warning("tell", "word of %s: %s", place, error)

    async def _remove(self, folder: Folder, want: Want) -> None:
        """The cloud has confirmed that it has the file, and it is configured to go then."""
        try:
            removed = await in_thread(lambda _: folder.remove(want.path, want.mark), "courier remove")
        except (OSError, Refused) as error:
            log.warning("%s/%s could not be removed: %s", want.source, want.path, error)
            return
        if not removed:
            log.info("%s/%s has changed since it was sent: it stays", want.source, want.path)

    async def _forget_oldest(self) -> None:
        ended = [record for record in self.records.values() if record.end is not None]
        for record in ended[: max(0, len(ended) - KEEP_ENDED)]:
            del self.records[record.want.file_id]
            await in_thread(partial(_forget, record), "courier record")


def _forget(record: Record, _: object) -> None:
    forget(record)
