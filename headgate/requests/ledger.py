"""The durable side of requests: an id has one content, one effect, one reply. Runs in the store's thread."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

from headgate.driver import Reply, Request
from headgate.envelope import header
from headgate.model import ClockState
from headgate.requests import reports
from headgate.requests.audit import Audit, Entry
from headgate.requests.model import MAX_REPLY_BYTES, Asked, Carrier, parse_reply, reply_json, spelled
from headgate.requests.spool import ReplySpool
from headgate.store.requests import RequestRow
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.store.transaction import Tx

log = logging.getLogger(__name__)

MAX_REQUESTS = 1_000
"""Ids kept at once."""
KEEP_MS = 600_000
"""How long a reply is kept at least (docs/requests.md)."""
KEEP_JOB_MS = 7 * 86_400_000
"""The same for jobs: a job whose last update was lost comes again, however long the gateway was away."""


PERHAPS = "; whether it was done is not known"
"""Said of what may be done once only."""


class Found(Enum):
    """What the ledger knows of a request that came."""

    NEW = "new: it is noted as started, carry it out"
    STARTED = "it was started before a crash and not answered"
    ANSWERED = "it has a reply"
    OTHER = "its id belongs to a request with other content"
    FULL = "there is no room for its id"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request, for `close`. `remember`: its id is kept although it was not `open`ed."""

    request: Request
    digest: str
    reply: Reply
    took_ms: int
    remember: bool = False


class Ledger:
    """Requests over an open store. `max_requests` bounds the ids kept."""

    def __init__(
        self, store: Store, thing: str, audit: Audit, spool: ReplySpool, *, max_requests: int = MAX_REQUESTS
    ) -> None:
        self._store = store
        self._thing = thing
        self._audit = audit
        self._spool = spool
        self._max_requests = max_requests

    def recover(self, repeatable: Collection[str], utc_ms: int, clock: ClockState) -> list[Queued]:
        """Answer what a crash left started and what must not be done twice; the rest waits to come again."""
        queued: list[Queued] = []
        for row in self._store.state.requests.started():
            if row.op not in repeatable:
                carrier: Carrier = "job" if row.carrier == "job" else "direct"
                request = Request(row.id, 1, row.op, {}, row.deadline_ms, carrier)
                detail = f"interrupted: the hub ended while this was under way{PERHAPS}"
                reply = Reply(row.id, "failed", "internal", detail)
                queued += self.close(Answer(request, row.digest, reply, 0), utc_ms, clock)[1]
        return queued

    def open(self, asked: Asked, utc_ms: int, *, once: bool = False) -> tuple[Found, Reply | None]:
        """Look a request up, and note a new one as started, durably, before anything is done for it.

        `once`: it must not be done twice; that it was begun is audited too, in case its end never is.
        """
        rows, request = self._store.state.requests, asked.request
        if rows.overdue(utc_ms):
            with self._store.begin() as tx:
                tx.requests().forget(utc_ms)
        known = self.look(asked)
        if known[0] is not Found.NEW:
            return known
        if rows.count() >= self._max_requests:
            return Found.FULL, None
        if once:
            self._audit.write(_begun(request, utc_ms))
        with self._store.begin() as tx:
            tx.requests().put(_row(request, asked.digest, utc_ms, None))
        return Found.NEW, None

    def look(self, asked: Asked) -> tuple[Found, Reply | None]:
        """As `open`, but a new request is not noted."""
        row = self._store.state.requests.get(asked.request.id)
        if row is None:
            return Found.NEW, None
        if row.digest != asked.digest:
            return Found.OTHER, None
        return (Found.STARTED, None) if row.reply is None else (Found.ANSWERED, parse_reply(row.reply))

    def close(self, answer: Answer, utc_ms: int, clock: ClockState) -> tuple[Reply, list[Queued]]:
        """Audit a reply, keep it under its id, and queue its reports, in one transaction.

        Returns the reply as it goes out (a large result is a file by then) and the envelopes queued.
        """
        request, rows = answer.request, self._store.state.requests
        known = rows.get(request.id)
        ours = known is None or known.digest == answer.digest
        if known is not None and ours and known.reply is not None:
            return parse_reply(known.reply), []
        reply, announced = self._fitted(request, answer.reply)
        self._audit.write(
            Entry(
                utc_ms,
                request.id,
                request.carrier,
                request.op,
                request.args,
                reply,
                answer.took_ms,
                answer.reply.result if request.op == "write" else None,
            )
        )
        keep = ours and (known is not None or (answer.remember and rows.count() < self._max_requests))
        told = [] if announced is None else [announced]
        if request.carrier == "job" and ours:
            told.append(reports.of_job(reply))
        queued: list[Queued] = []
        if keep or told:
            with self._store.begin() as tx:
                if keep:
                    wire = spelled(reply_json(reply))
                    tx.requests().put(_row(request, answer.digest, utc_ms, wire))
                queued = [self._enqueue(tx, report, utc_ms, clock) for report in told]
        return reply, queued

    def report(self, report: Mapping[str, Any], utc_ms: int, clock: ClockState) -> Queued:
        """Queue a report durably. Raises Refused where it does not fit an envelope."""
        part = reports.part(report, clock, self._thing)
        with self._store.begin() as tx:
            return self._sealed(tx, part, utc_ms)

    def _enqueue(self, tx: Tx, report: Mapping[str, Any], utc_ms: int, clock: ClockState) -> Queued:
        return self._sealed(tx, reports.part(report, clock, self._thing), utc_ms)

    def _sealed(self, tx: Tx, part: header.Part, utc_ms: int) -> Queued:
        seal = partial(header.seal, part)
        return tx.enqueue(reports.STREAM, header.SCHEMA, seal, 0, live=True, sealed_ms=utc_ms)

    def _fitted(self, request: Request, reply: Reply) -> tuple[Reply, dict[str, Any] | None]:
        limit_bytes = reports.job_room_bytes(self._thing) if request.carrier == "job" else MAX_REPLY_BYTES
        wire = spelled(reply_json(reply))
        if len(wire) <= limit_bytes:
            return reply, None
        number, announced = self._spool.write(request.id, wire)
        return replace(reply, detail=_cut(reply.detail), result=None, file_id=number), announced


def _begun(request: Request, utc_ms: int) -> Entry:
    reply = Reply(request.id, "ok", "started")
    return Entry(utc_ms, request.id, request.carrier, request.op, request.args, reply, 0)


def _row(request: Request, digest: str, utc_ms: int, reply: bytes | None) -> RequestRow:
    keep_ms = KEEP_JOB_MS if request.carrier == "job" else KEEP_MS
    keep_until_ms = max(request.deadline_ms, utc_ms + keep_ms)
    return RequestRow(
        request.id, digest, request.op, request.carrier, request.deadline_ms, keep_until_ms, reply
    )


def _cut(detail: str) -> str:
    """Short enough for a reply without its result to fit everywhere, whatever is in it."""
    while len(json.dumps(detail)) > 1_500:
        detail = detail[: len(detail) // 2]
    return detail
