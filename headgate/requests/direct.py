"""The quick carrier: requests on two topics, replies on one. Authorisation is by topic."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.driver import Reply, Request
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.requests.desk import Desk
from headgate.requests.model import Unreadable, parse_direct, reply_json, spelled

log = logging.getLogger(__name__)

MAX_REPLIES = 64
"""Replies on their way at once. What is beyond is dropped: asking again brings the same reply."""
RETRY_FIRST_MS = 250
RETRY_MAX_MS = 10_000
GRACE_MS = 5_000
"""A reply is tried for at least so long, also past the deadline."""


@dataclass(slots=True)
class DirectCarrier:
    """Attach it, then run it until cancelled. `dropped` counts replies that never left."""

    bus: Bus
    clock: Clock
    thing: str
    desk: Desk
    dropped: int = 0
    _sending: int = 0
    _group: asyncio.TaskGroup | None = None
    _complaints: LimitedLog = field(default_factory=lambda: LimitedLog(log))

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Take requests while entered."""
        prefix = f"hg/v1/{self.thing}/dn/req"
        with (
            self.bus.subscribe_cloud(f"{prefix}/read", self._on_read),
            self.bus.subscribe_cloud(f"{prefix}/write", self._on_write),
        ):
            yield

    async def run(self) -> None:
        """Publish replies."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            await asyncio.get_running_loop().create_future()

    async def _on_read(self, topic: str, payload: bytes) -> None:
        self._take(payload, writes=False)

    async def _on_write(self, topic: str, payload: bytes) -> None:
        self._take(payload, writes=True)

    def _take(self, payload: bytes, *, writes: bool) -> None:
        """Hand a request in; never raises for what the cloud sends."""
        try:
            asked = parse_direct(payload)
        except Unreadable as error:
            request = Request(error.id, 1, error.op, {}, 0, "direct")
            reply = Reply(error.id, "refused", error.code, str(error))
            self.desk.refuse(request, hashlib.sha256(payload).hexdigest(), reply, self._deliver_to(0))
            return
        request = asked.request
        deliver = self._deliver_to(request.deadline_ms)
        if (request.op == "write") is not writes:
            topic = "write" if request.op == "write" else "read"
            reply = Reply(request.id, "refused", "bad_request", f"{request.op} belongs on dn/req/{topic}")
            self.desk.refuse(request, asked.digest, reply, deliver)
        else:
            self.desk.submit(asked, deliver)

    def _deliver_to(self, deadline_ms: int) -> _Deliver:
        return _Deliver(self, deadline_ms)

    def send(self, reply: Reply, deadline_ms: int) -> None:
        """Publish a reply, again and again until its deadline."""
        if not reply.id:
            return  # nobody to answer: it is in the log and in the audit
        if self._group is None or self._sending >= MAX_REPLIES:
            self.dropped += 1
            self._complaints.warning("dropped", "%d replies wait for the cloud; one was dropped", MAX_REPLIES)
            return
        self._sending += 1
        self._group.create_task(self._publish(reply, deadline_ms), name=f"reply {reply.id}")

    async def _publish(self, reply: Reply, deadline_ms: int) -> None:
        payload = spelled(reply_json(reply))
        now_ms = self.clock.boot_ms()
        until_ms = now_ms + max(GRACE_MS, deadline_ms - self.clock.utc_ms())
        wait_ms = RETRY_FIRST_MS
        try:
            while True:
                try:
                    await self.bus.publish_cloud(f"hg/v1/{self.thing}/up/reply", payload)
                    return
                except Retry as error:
                    now_ms = self.clock.boot_ms()
                    if now_ms >= until_ms:
                        self.dropped += 1
                        self._complaints.warning("late", "reply %s did not leave: %s", reply.id, error)
                        return
                await self.clock.sleep_until(min(until_ms, now_ms + wait_ms))
                wait_ms = min(2 * wait_ms, RETRY_MAX_MS)
        except Reject as error:
            self.dropped += 1
            self._complaints.warning("refused", "reply %s: %s", reply.id, error)
        finally:
            self._sending -= 1


@dataclass(frozen=True, slots=True)
class _Deliver:
    """Brings one request's reply to the cloud."""

    carrier: DirectCarrier
    deadline_ms: int

    def __call__(self, reply: Reply) -> None:
        self.carrier.send(reply, self.deadline_ms)
