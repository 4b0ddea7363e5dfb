"""The courier without its bus: answers what is asked about files, and has them announced and sent."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.files.announced import Announced
from headgate.files.backoff import Backoff
from headgate.files.catalogue import Offer
from headgate.files.config import FilesConfig
from headgate.files.messages import parse_down
from headgate.files.offers import Offers, Report
from headgate.files.sender import Means, SayUp, Tally
from headgate.files.transfer import TransferTuning
from headgate.files.uploads import Tell, Uploads
from headgate.limited_log import LimitedLog
from headgate.threads import in_thread

log = logging.getLogger(__name__)

PAGE_BYTES = 6_000
"""Of the files in one answer to `list`; a local message carries 7,000 B."""


@dataclass(frozen=True, slots=True)
class CourierTuning:
    """`waiting` files wait to be sent, the next is refused as `too_many`."""

    waiting: int = 64
    report_ms: int = 500
    report_most_ms: int = 60_000
    transfer: TransferTuning = field(default_factory=TransferTuning)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the courier does with others."""

    clock: Clock
    say: SayUp
    report: Report
    tell: Tell
    rng: random.Random = field(default_factory=random.Random)


class Courier:
    """Call `start` first, then `run` until cancelled; `configure` at any time.

    `state` is the state root, `replies` the folder of large replies, `folder` the courier's own.
    """

    def __init__(
        self, state: Path, replies: Path, folder: Path, outside: Outside, tuning: CourierTuning | None = None
    ) -> None:
        tuning = tuning or CourierTuning()
        self.tally = Tally()
        self._announced = Announced(folder / "announced")
        self._notices = LimitedLog(log)
        backoff = Backoff(tuning.report_ms, tuning.report_most_ms, outside.rng)
        self.offers = Offers(outside.clock, state, replies, self._announced, outside.report, backoff)
        means = Means(
            clock=outside.clock,
            say=outside.say,
            announce=self.offers.announce_again,
            notice=self._notice,
            rng=outside.rng,
            tuning=tuning.transfer,
            tally=self.tally,
        )
        self.uploads = Uploads(folder, self.offers, means, outside.tell, tuning.waiting)
        self.offers.known = self.uploads.records.keys()

    def configure(self, config: FilesConfig) -> None:
        """Go over to a configuration. What is under way goes on, from where it was configured."""
        self.offers.configure(config)
        self.uploads.look()

    async def start(self) -> None:
        """Take up what a former process left. Raises OSError."""
        await self.uploads.load()
        await in_thread(lambda _: self._announced.load(), "courier announced")

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.offers.scan_regularly(), name="courier folders")
            group.create_task(self.offers.announce_regularly(), name="courier announcements")
            group.create_task(self.uploads.run(), name="courier uploads")

    def heard(self, payload: bytes) -> None:
        """A message came on `dn/file`. Raises Reject for what is none."""
        self.uploads.hear(parse_down(payload))

    def status(self) -> str:
        """A line for the log."""
        tally, catalogue, uploads = self.tally, self.offers.catalogue, self.uploads
        ended = ", ".join(f"{state} {count}" for state, count in sorted(tally.ended.items())) or "none"
        return (
            f"offered {len(catalogue.offers)}, not stable {catalogue.unstable}; "
            f"sending {len(uploads.senders)}, waiting {len(uploads.waiting)}, refused {uploads.refused}; "
            f"hashed {tally.hashed_bytes} B, sent {tally.sent_bytes} B in {tally.parts} parts; "
            f"denied {tally.denied}, outages {tally.outages}; ended: {ended}"
        )

    async def call(self, request: Request) -> Reply:
        """Answer `list`, `fetch`, `status` or, asked by the hub, `capture` at once: uploads go on alone.

        Raises Refused or Retry.
        """
        match request.op, dict(request.args):
            case "list", {"what": "files", **rest} if rest.keys() <= {"after"}:
                return self._listed(request, rest.get("after", ""))
            case "fetch", {"file_id": str(file_id), **rest} if rest.keys() <= {"wait"}:
                return await self._fetch(request, await self._named(file_id))
            case "fetch", {"source": str(source), "path": str(path), **rest} if rest.keys() <= {"wait"}:
                return await self._fetch(request, await self.offers.by_path(source, path))
            case "status", {"file_id": str(file_id), **rest} if not rest:
                return self._status(request, file_id)
            case "capture", {"source": str(source), "newest": int(newest), "wait": bool(wait)}:
                found = await self.offers.capture(source, newest, wait=wait)
                return _ok(request, {"files": [offer.file_id for offer in found]})
        raise Refused("bad_request", "the courier knows list (files), fetch and status")

    def state_of(self, offer: Offer) -> str:
        """One word for a file: new, announced, waiting, uploading, complete, changed or failed."""
        record = self.uploads.records.get(offer.file_id)
        if record is not None and record.end is not None:
            return record.end.state
        if record is not None:
            return "uploading" if offer.file_id in self.uploads.senders else "waiting"
        return "announced" if self.offers.is_announced(offer) else "new"

    def _listed(self, request: Request, after: object) -> Reply:
        if not isinstance(after, str):
            raise Refused("bad_request", "list: after is the text that an answer gave as next")
        files: list[dict[str, Any]] = []
        size_bytes = 0
        for offer in self.offers.catalogue.after(after):
            # A character takes at most 6 B in JSON (\u0001), or 4 in UTF-8.
            size_bytes += 200 + 6 * len(offer.path)
            if files and size_bytes > PAGE_BYTES:
                last = files[-1]
                return _ok(request, {"files": files, "next": f"{last['source']}/{last['path']}"})
            files.append(self._row(offer))
        return _ok(request, {"files": files})

    def _row(self, offer: Offer) -> dict[str, Any]:
        return {
            "file_id": offer.file_id,
            "source": offer.source,
            "path": offer.path,
            "size": offer.mark.size_bytes,
            "mtime_ms": offer.mark.mtime_ns // 1_000_000,
            "state": self.state_of(offer),
        }

    async def _named(self, file_id: str) -> Offer:
        offer = await self.offers.by_id(file_id)
        record = self.uploads.records.get(file_id)
        if offer is None and record is not None and (record.end is None or record.end.state == "complete"):
            want = record.want  # on its way, or sent and gone since
            return Offer(want.file_id, want.source, want.path, want.mark)
        if offer is None:
            raise Refused(
                "unknown_file", f"there is no file {file_id[:40]!r}; one that changes gets another id"
            )
        return offer

    async def _fetch(self, request: Request, offer: Offer) -> Reply:
        record = await self.uploads.ask_for(offer)
        if record.end is not None:
            return _ok(request, {"file_id": offer.file_id, "upload": record.end.upload_id})
        result = {"file_id": offer.file_id, "upload": record.upload_id or None}
        return replace(_ok(request, result), code="started")

    def _status(self, request: Request, file_id: str) -> Reply:
        record = self.uploads.records.get(file_id)
        if record is None:
            raise Refused("unknown_file", f"file {file_id[:40]!r} was not asked for")
        end, want = record.end, record.want
        result: dict[str, Any] = {
            "file_id": file_id,
            "upload": (end.upload_id if end else record.upload_id) or None,
            "state": self.state_of(Offer(file_id, want.source, want.path, want.mark)),
            "size": want.mark.size_bytes,
        }
        if end is None and record.plan is not None:
            result |= {"parts": record.plan.parts, "done": len(record.done)}
        if end is not None and end.state != "complete":
            return Reply(request.id, "failed", end.code, end.detail[:1_000], result)
        reply = _ok(request, result)
        return reply if end else replace(reply, code="started")

    def _notice(self, text: str) -> None:
        self._notices.warning(text.partition(":")[0], "%s", text)


def _ok(request: Request, result: Mapping[str, Any]) -> Reply:
    return Reply(request.id, "ok", "ok", result=result)
