"""The durable carrier: brings IoT Jobs to the desk, and their replies back, through the state machine."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from headgate.bus.api import Bus
from headgate.clock import Clock, random_id
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.requests.desk import Desk
from headgate.requests.job_actions import Action, Begin, Cancel, Publish, Say, step_minutes
from headgate.requests.jobs import JobMachine
from headgate.requests.model import MAX_LOOK_BYTES, Unreadable, load_strictly, parse_job, spelled
from headgate.sleeper import Sleeper

log = logging.getLogger(__name__)


class JobCarrier:
    """Runs until cancelled; eight subscriptions of the connection's fifty."""

    def __init__(self, bus: Bus, clock: Clock, thing: str, desk: Desk) -> None:
        self.machine = JobMachine(
            f"hg-{random_id():016x}", lambda document: step_minutes(document, clock.utc_ms())
        )
        self._bus = bus
        self._clock = clock
        self._prefix = f"$aws/things/{thing}/jobs/"
        self._desk = desk
        self._actions: deque[Action] = deque()
        self._sleeper = Sleeper(clock)
        self._complaints = LimitedLog(log)

    async def run(self) -> None:
        """Ask for jobs, do them, answer."""
        subscribe, prefix = self._bus.subscribe_cloud, self._prefix
        with (
            subscribe(f"{prefix}notify-next", self._on_notify),
            subscribe(f"{prefix}notify", self._on_list_changed),
            subscribe(f"{prefix}get/accepted", self._on_listed),
            subscribe(f"{prefix}get/rejected", self._on_rejected),
            subscribe(f"{prefix}+/get/accepted", self._on_got),
            subscribe(f"{prefix}+/get/rejected", self._on_rejected),
            subscribe(f"{prefix}+/update/accepted", self._on_updated),
            subscribe(f"{prefix}+/update/rejected", self._on_rejected),
        ):
            while True:
                self._actions += self.machine.tick(self._clock.boot_ms())
                while self._actions:
                    await self._act(self._actions.popleft())
                if self.machine.wake_ms() > self._clock.boot_ms():
                    await self._sleeper.until(self.machine.wake_ms())

    def heard(self) -> None:
        """The cloud said something, whatever it was."""
        self._do(self.machine.heard(self._clock.boot_ms()))

    def _do(self, actions: list[Action]) -> None:
        self._actions += actions
        self._sleeper.wake()

    async def _act(self, action: Action) -> None:
        match action:
            case Publish(tail, payload):
                await self._publish(tail, payload)
            case Begin(job_id, document):
                self._begin(job_id, document)
            case Cancel(job_id, why):
                self._desk.cancel(job_id, why)
            case Say(key, text):
                self._complaints.warning(key, "%s", text)

    async def _publish(self, tail: str, payload: Mapping[str, Any]) -> None:
        try:
            await self._bus.publish_cloud(self._prefix + tail, spelled(payload))
        except (Retry, Reject) as error:
            self._complaints.warning("publish", "jobs: %s; trying again", error)
            self.machine.not_published(payload["clientToken"], self._clock.boot_ms())

    def _begin(self, job_id: str, document: Mapping[str, Any]) -> None:
        wire = spelled(document)

        def done(reply: Reply) -> None:
            self._do(self.machine.work_done(job_id, reply, self._clock.boot_ms()))

        try:
            asked = parse_job(job_id, document, len(wire))
        except Unreadable as error:
            request = Request(job_id, 1, error.op, {}, 0, "job")
            reply = Reply(job_id, "refused", error.code, str(error))
            self._desk.refuse(request, hashlib.sha256(wire).hexdigest(), reply, done)
        else:
            self._desk.submit(asked, done)

    async def _on_notify(self, topic: str, payload: bytes) -> None:
        message = self._read(topic, payload)
        if message is not None:
            self._do(self.machine.notified(message.get("execution"), self._clock.boot_ms()))

    async def _on_list_changed(self, topic: str, payload: bytes) -> None:
        self._do(self.machine.changed(self._clock.boot_ms()))

    async def _on_listed(self, topic: str, payload: bytes) -> None:
        message = self._read(topic, payload)
        if message is not None:
            self._do(self.machine.listed(message.get("clientToken"), message, self._clock.boot_ms()))

    async def _on_got(self, topic: str, payload: bytes) -> None:
        message = self._read(topic, payload)
        if message is not None:
            token = message.get("clientToken")
            self._do(self.machine.got(token, message.get("execution"), self._clock.boot_ms()))

    async def _on_updated(self, topic: str, payload: bytes) -> None:
        message = self._read(topic, payload)
        if message is not None:
            token, state = message.get("clientToken"), message.get("executionState")
            self._do(self.machine.updated(token, state, self._clock.boot_ms()))

    async def _on_rejected(self, topic: str, payload: bytes) -> None:
        message = self._read(topic, payload)
        if message is not None:
            token, state = message.get("clientToken"), message.get("executionState")
            self._do(self.machine.rejected(token, message.get("code"), state, self._clock.boot_ms()))

    def _read(self, topic: str, payload: bytes) -> Mapping[str, Any] | None:
        """A message of the Jobs service; what is none is logged and passed over."""
        try:
            if len(payload) > MAX_LOOK_BYTES:
                raise Refused("bad_request", f"{len(payload)} B")
            message = load_strictly(payload, topic)
        except Refused as error:
            self._complaints.warning("message", "jobs: %s", error)
            return None
        return message if isinstance(message, Mapping) else None
