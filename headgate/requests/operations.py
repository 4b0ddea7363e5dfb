"""The operations that the hub offers, by the words that requests use; most of the work is others'."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry
from headgate.model import series_row
from headgate.requests.desk import Operation, Operations
from headgate.requests.directory import Directory
from headgate.requests.filenews import FileNews
from headgate.requests.history import History
from headgate.requests.model import parse_reply, request_json, short, spelled
from headgate.requests.permits import Permits
from headgate.requests.reading import Part, merge_read, plan_read
from headgate.requests.scanning import plan_scan, wait_ms
from headgate.requests.writing import plan_write

CALL_TOPIC = "hg/v1/local/call/{source}"
COURIER = "files"
COURIER_TIMEOUT_S = 10.0
"""It answers at once: one that is silent so long is not deployed, or restarts."""
MAX_PAGES = 200
"""Of a list of files or of a scan, each a message of the local bus."""
MIN_TIMEOUT_S = 0.05
STATUS_EVERY_MS = 10_000
"""How often an upload that is waited for is asked after, for the case that the news of its end was lost."""
STATUS_TIMEOUT_S = 10.0
TIME_PART = 0.9
"""Of the time left, for whom is asked; the rest is for saying that nobody answered."""

Answered = list[tuple[Part, Reply]]


@dataclass(frozen=True, slots=True)
class HubOperations:
    """What they need of the hub."""

    bus: Bus
    clock: Clock
    directory: Directory
    history: History
    news: FileNews
    permits: Permits
    usage: Callable[[], Sequence[Mapping[str, object]]] = tuple

    def mapping(self) -> Operations:
        """By the word that requests use. All but a write may be repeated: the courier sends a file once."""
        return {
            "read": Operation(self.read, at_once=4),
            "query": Operation(self.history.query, at_once=1),
            "list": Operation(self.list, at_once=2),
            "fetch": Operation(self.fetch, at_once=3),
            "scan": Operation(self.scan, at_once=1),
            "write": Operation(self.write, at_once=1, repeatable=False, barred=self._writes_off),
        }

    async def read(self, request: Request) -> Reply:
        """Ask the bridges that own the devices, part by part. Raises Refused."""
        asked: dict[str, list[Part]] = {}
        for part in plan_read(request.args, self.directory.source_of):
            asked.setdefault(part.source, []).append(part)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._ask(request, parts), name=f"request {request.id} to {source}")
                for source, parts in asked.items()
            ]
        parts = [answered for task in tasks for answered in task.result()]
        return merge_read(request.id, parts)

    async def list(self, request: Request) -> Reply:
        """Devices, series, the ledger's lines, or the courier's files. Raises Refused or Retry."""
        match dict(request.args):
            case {"what": "devices", **rest} if not rest:
                return Reply(request.id, "ok", "ok", result={"devices": self.directory.devices()})
            case {"what": "series", **rest} if not rest:
                series = await self.history.writer.call(self.history.store.series)
                keys = ("series", "unit", "kind", "decimals", "revision")
                rows = [dict(zip(keys, series_row(s), strict=True)) for s in series]
                return Reply(request.id, "ok", "ok", result={"series": rows})
            case {"what": "usage", **rest} if not rest:
                return Reply(request.id, "ok", "ok", result={"usage": self.usage()})
            case {"what": "files", **rest} if not rest:
                return await self._files(request)
        raise Refused("bad_request", "list: what must be devices, series, files or usage, and nothing else")

    async def fetch(self, request: Request) -> Reply:
        """Hand it to the courier; a job waits for the upload unless told otherwise. Raises as `_call`."""
        args = dict(request.args)
        wait = args.setdefault("wait", request.carrier == "job")
        named = args.keys() - {"wait"}
        texts = [args[key] for key in named]
        if (
            named not in ({"file_id"}, {"source", "path"})
            or not isinstance(wait, bool)
            or not all(isinstance(text, str) and 0 < len(text) <= 1_024 for text in texts)
        ):
            raise Refused("bad_request", "fetch: file_id, or source and path; wait may be true or false")
        if "path" in named and _leaves(args["path"]):
            raise Refused(
                "outside_roots", f"fetch: {short(args['path'])!r}: a path is relative, without . and .."
            )
        reply = await self._call(COURIER, replace(request, args=args), at_most_s=COURIER_TIMEOUT_S)
        file_id = (reply.result or {}).get("file_id")
        if not wait or reply.code != "started" or not isinstance(file_id, str):
            return reply
        return await self._uploaded(replace(request, op="status", args={"file_id": file_id}), file_id)

    async def write(self, request: Request) -> Reply:
        """Hand it to the bridge that owns the devices, once. Raises Refused."""
        source = plan_write(request.args, self.directory.source_of)
        try:
            return await self._call(source, request)
        except Retry as error:
            detail = f"bridge {source}: {error}; whether anything was written is not known"
            return Reply(request.id, "failed", "unknown", detail)
        except Refused:
            raise
        except Reject as error:
            detail = f"bridge {source}: {error}; whether anything was written is not known"
            return Reply(request.id, "failed", "unknown", detail)

    async def scan(self, request: Request) -> Reply:
        """Have a bridge look around, wait for it, and fetch what it found. Raises Refused or Retry."""
        source = plan_scan(request.args, self.directory.source_of)
        found: list[Any] = []
        args = dict(request.args)
        for _ in range(MAX_PAGES):
            reply = await self._call(source, replace(request, args=args))
            while reply.code == "started":
                await self.clock.sleep_until(self.clock.boot_ms() + wait_ms(reply))
                reply = await self._call(source, replace(request, args=args))
            if reply.status != "ok":
                return reply
            page = dict(reply.result or {})
            rows, after = page.pop("found", None), page.pop("next", None)
            found += rows if isinstance(rows, list) else []
            if not isinstance(after, int):
                return Reply(request.id, "ok", "ok", result={**page, "found": found})
            args["after"] = after
        return Reply(request.id, "refused", "too_many", f"bridge {source}: its list does not end")

    def _writes_off(self) -> tuple[str, str] | None:
        if self.permits.writes:
            return None
        return (
            "writes_off",
            "writes are off on this gateway (its site document has no requests: {writes: true})",
        )

    async def _uploaded(self, status: Request, file_id: str) -> Reply:
        """What became of an upload, however long it takes: the deadline ends the waiting, not the upload."""
        with self.news.awaited(file_id) as awaited:
            while True:
                try:
                    reply = await self._call(COURIER, status, at_most_s=STATUS_TIMEOUT_S)
                    if reply.code != "started":
                        result = {"file_id": file_id, "upload": (reply.result or {}).get("upload")}
                        return replace(reply, result=result)
                except Retry:
                    pass  # it restarts, and goes on with the upload
                await awaited.until(self.clock.boot_ms() + STATUS_EVERY_MS)

    async def _ask(self, request: Request, parts: Sequence[Part]) -> Answered:
        """One bridge's parts, one after the other."""
        answered = []
        for part in parts:
            try:
                reply = await self._call(part.source, replace(request, args=part.args))
            except Retry as error:
                reply = Reply(request.id, "failed", "offline", f"bridge {part.source}: {error}")
            except Reject as error:
                reply = Reply(request.id, "failed", "internal", f"bridge {part.source}: {error}")
            answered.append((part, reply))
        return answered

    async def _files(self, request: Request) -> Reply:
        files: list[Any] = []
        after: str | None = None
        for _ in range(MAX_PAGES):
            args: dict[str, Any] = {"what": "files"} | ({} if after is None else {"after": after})
            reply = await self._call(COURIER, replace(request, args=args), at_most_s=COURIER_TIMEOUT_S)
            if reply.status != "ok":
                return reply
            found = reply.result or {}
            page = found.get("files")
            files += page if isinstance(page, list) else []
            after = found.get("next")
            if not isinstance(after, str):
                break
        return Reply(request.id, "ok", "ok", result={"files": files})

    async def _call(self, source: str, request: Request, *, at_most_s: float = math.inf) -> Reply:
        """Ask a bridge or the courier. Raises Retry (away) or Reject (nobody's question, nobody's reply)."""
        left_s = min((request.deadline_ms - self.clock.utc_ms()) / 1000, at_most_s)
        topic = CALL_TOPIC.format(source=source)
        payload = spelled({**request_json(request), "carrier": request.carrier})
        wire = await self.bus.request(topic, payload, timeout_s=max(MIN_TIMEOUT_S, left_s * TIME_PART))
        reply = parse_reply(wire)
        if reply.id != request.id:
            raise Refused("internal", f"{source} answered request {short(reply.id)!r}")
        return reply


def _leaves(path: str) -> bool:
    """Whether a path could lead out of the folder it is meant in. The courier looks at links as well."""
    return bool({"", ".", ".."} & set(re.split(r"[/\\]", path)) or re.match(r"[A-Za-z]:", path))
