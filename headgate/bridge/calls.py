"""Serves what the cloud asks of a bridge's driver: request JSON in, reply JSON out (docs/requests.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from headgate.bus.api import Bus
from headgate.bus.rpc import OVERHEAD_BYTES
from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry

VERSION = 1
"""`v` of requests and replies."""
CALL_TOPIC = "hg/v1/local/call/{name}"


class Callee(Protocol):
    """The half of a driver that answers requests."""

    async def call(self, request: Request) -> Reply:
        """See `headgate.driver.Driver.call`."""


@contextmanager
def serve_calls(bus: Bus, bridge_name: str, driver: Callee, clock: Clock) -> Iterator[None]:
    """Answer the requests for one bridge while entered, one at a time in arrival order.

    What is no request at all is rejected at the caller; everything else gets a reply, at its deadline at the
    latest. One larger than the bus carries is refused as `too_many`.
    """
    limit_bytes = bus.max_local_bytes - OVERHEAD_BYTES

    async def serve(payload: bytes) -> bytes:
        request = decode_request(payload)
        reply = await call_in_time(driver, request, clock)
        wire = encode_reply(reply)
        if len(wire) > limit_bytes:
            detail = f"the answer has {len(wire)} B, the bus carries {limit_bytes} B: ask for less at a time"
            wire = encode_reply(Reply(request.id, "refused", "too_many", detail))
        return wire

    with bus.serve(CALL_TOPIC.format(name=bridge_name), serve):
        yield


async def call_in_time(driver: Callee, request: Request, clock: Clock) -> Reply:
    """The driver's reply; `expired` when the deadline has passed, `timeout` when it passes on the way."""
    left_ms = request.deadline_ms - clock.utc_ms()
    if left_ms <= 0:
        return Reply(request.id, "expired", "expired", f"the deadline passed {-left_ms} ms ago")
    async with asyncio.TaskGroup() as group:
        work = group.create_task(_answer(driver, request), name=f"call {request.id}")
        timer = group.create_task(clock.sleep_until(clock.boot_ms() + left_ms), name=f"deadline {request.id}")
        await asyncio.wait((work, timer), return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        if not work.done():
            work.cancel()
            return Reply(request.id, "failed", "timeout", f"not done within {left_ms} ms")
    return work.result()


def decode_request(payload: bytes) -> Request:
    """Read a request. Raises Reject for what cannot even be answered by id."""
    try:
        document = json.loads(payload)
        request = Request(
            id=document["id"],
            version=document["v"],
            op=document["op"],
            args=document.get("args", {}),
            deadline_ms=document["deadline_ms"],
            carrier="job" if document.get("carrier") == "job" else "direct",
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Reject(f"not a request: {payload[:80]!r}") from error
    if not (_is(str, request.id) and _is(str, request.op) and _is(int, request.deadline_ms)):
        raise Reject(f"not a request: {payload[:80]!r}")
    if not _is(Mapping, request.args):
        raise Reject(f"request {request.id}: args must be an object")
    if not _is(int, request.version) or request.version != VERSION:
        raise Reject(f"request {request.id}: version {request.version!r} is not known here")
    return request


def encode_request(request: Request) -> bytes:
    """Spell a request for a bridge; the inverse of `decode_request`."""
    return _text(
        {
            "v": request.version,
            "id": request.id,
            "op": request.op,
            "args": request.args,
            "deadline_ms": request.deadline_ms,
            "carrier": request.carrier,
        }
    )


def encode_reply(reply: Reply) -> bytes:
    """Spell a reply (`schemas/reply.v1.json`)."""
    return _text(
        {
            "v": VERSION,
            "id": reply.id,
            "status": reply.status,
            "code": reply.code or reply.status,
            "detail": reply.detail,
            "result": reply.result,
            "file_id": reply.file_id,
        }
    )


async def _answer(driver: Callee, request: Request) -> Reply:
    try:
        return await driver.call(request)
    except Reject as error:
        code = error.code if isinstance(error, Refused) else "bad_request"
        return Reply(request.id, "refused", code, str(error))
    except Retry as error:
        return Reply(request.id, "failed", "offline", str(error))


def _is(kind: type, value: object) -> bool:
    """Whether what JSON held where a field of `Request` belongs is of its type (true is no integer)."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
