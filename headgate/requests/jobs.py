"""IoT Jobs as a state machine: what came goes in, what to do comes out. Pure; time is told.

It follows the device-side MQTT API ($aws/things/{thing}/jobs/...), one job at a time, and has at most one
question under way. https://docs.aws.amazon.com/iot/latest/developerguide/jobs-mqtt-api.html
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from headgate.driver import Reply
from headgate.requests.job_actions import Action, Begin, Cancel, Publish, Say, details_of, version_of

ANSWER_MS = 10_000
"""How long an answer of the cloud may take, before the question is put again."""
BACK_OFF_MAX_MS = 300_000
ASK_EVERY_MS = 900_000
"""A notification may be lost while the gateway is offline; so often it asks by itself."""
SILENCE_MS = 120_000
"""After so long without a word of the cloud, its next word makes the gateway ask."""
THROTTLED = ("RequestThrottled", "InternalError")
GONE = ("InvalidStateTransition", "TerminalStateReached", "ResourceNotFound")
ACTIVE = ("QUEUED", "IN_PROGRESS")
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ENDS = {"ok": "SUCCEEDED", "refused": "REJECTED", "failed": "FAILED", "expired": "FAILED"}


class Phase(Enum):
    """Where the one job stands."""

    IDLE = "there is none"
    CLAIMING = "IN_PROGRESS was sent"
    WORKING = "it is being done"
    ENDING = "its last status was sent"


Question = Literal["get", "list", "look", "claim", "check", "end"]
MAX_FOREIGN = 1_000
"""Jobs of others that are remembered, so that none is looked at twice."""
MAX_BEHIND = 50
"""Jobs behind others' that are looked at after one list."""


@dataclass(slots=True)
class _Job:
    id: str
    version: int
    document: Mapping[str, Any]
    reply: Reply | None = None


@dataclass(slots=True)
class _Asked:
    kind: Question
    token: str
    due_ms: int


class JobMachine:
    """`nonce` tells this process' questions from others'; `step_minutes` gives a document's step timeout."""

    def __init__(
        self, nonce: str, step_minutes: Callable[[Mapping[str, Any]], int | None] = lambda document: None
    ) -> None:
        self.phase = Phase.IDLE
        self.done = 0
        self.cancelled = 0
        self._nonce = nonce
        self._step_minutes = step_minutes
        self._count = 0
        self._job: _Job | None = None
        self._asked: _Asked | None = None
        self._failures = 0
        self._ask_ms = 0
        self._heard_ms: int | None = None
        self._foreign: set[str] = set()
        self._behind: deque[str] = deque()
        self._hidden = False

    @property
    def job_id(self) -> str:
        """The job at hand; empty when there is none."""
        return self._job.id if self._job is not None else ""

    # Time and the connection.

    def wake_ms(self) -> int:
        """When `tick` has something to do, although nothing came."""
        if self._asked is not None:
            return self._asked.due_ms
        return self._ask_ms

    def tick(self, now_ms: int) -> list[Action]:
        """The time has come: ask what there is to do, or ask again what was not answered."""
        if self._asked is not None:
            if now_ms < self._asked.due_ms:
                return []
            self._failures += 1
            return self._put(self._asked.kind, now_ms)
        if now_ms < self._ask_ms:
            return []
        if self.phase is Phase.IDLE:
            return self._put("get", now_ms)
        self._ask_ms = now_ms + ASK_EVERY_MS
        return self._put("check", now_ms) if self.phase is Phase.WORKING else []

    def heard(self, now_ms: int) -> list[Action]:
        """Anything came from the cloud. After a silence, what was lost in it is asked for."""
        silent = self._heard_ms is None or now_ms - self._heard_ms >= SILENCE_MS
        self._heard_ms = now_ms
        if not silent:
            return []
        if self._asked is not None:
            return self._put(self._asked.kind, now_ms) if self._failures else []
        if self.phase is Phase.IDLE:
            return self._put("get", now_ms)
        return self._put("check", now_ms) if self.phase is Phase.WORKING else []

    def not_published(self, token: object, now_ms: int) -> None:
        """The nucleus could not take a question: put it again later."""
        if self._asked is not None and self._asked.token == token:
            self._failures += 1
            self._asked.due_ms = now_ms + self._back_off_ms()

    # What the cloud says.

    def notified(self, execution: object, now_ms: int) -> list[Action]:
        """`notify-next`: the next pending job is another one."""
        self._heard_ms = now_ms
        if self.phase is Phase.IDLE:
            self._asked = None
            self._behind.clear()
            return self._consider(execution, now_ms)
        ours = isinstance(execution, Mapping) and execution.get("jobId") == self.job_id
        if self.phase is Phase.WORKING and not ours and self._asked is None:
            return self._put("check", now_ms)  # cancelled, or is another one only older than ours?
        return []

    def changed(self, now_ms: int) -> list[Action]:
        """`notify`: other jobs are pending. Behind somebody else's job that is all that tells."""
        self._heard_ms = now_ms
        if self.phase is Phase.IDLE and self._hidden and self._asked is None:
            return self._put("list", now_ms)
        return []

    def listed(self, token: object, message: Mapping[str, Any], now_ms: int) -> list[Action]:
        """`get/accepted`: look at those pending that are not known as others'."""
        if not self._answers(("list",), token, now_ms) or self.phase is not Phase.IDLE:
            return []
        rows = [row for key in ("inProgressJobs", "queuedJobs") for row in message.get(key) or ()]
        ids = [row.get("jobId") for row in rows if isinstance(row, Mapping)]
        wanted = [i for i in ids if isinstance(i, str) and _JOB_ID.fullmatch(i) and i not in self._foreign]
        self._behind = deque(wanted[:MAX_BEHIND])
        return self._look(now_ms)

    def got(self, token: object, execution: object, now_ms: int) -> list[Action]:
        """`$next/get/accepted`, or `{jobId}/get/accepted` of a job that is not next."""
        kind = self._answers(("get", "look"), token, now_ms)
        if kind is None:
            return []
        if kind == "look":
            self._behind.popleft()
            return self._consider(execution, now_ms, behind=True) or self._look(now_ms)
        if self.phase is Phase.IDLE or self._job is None:
            return self._consider(execution, now_ms)
        if isinstance(execution, Mapping) and execution.get("jobId") == self._job.id:
            self._job.version = version_of(execution, self._job.version)
            return self._put("end", now_ms) if self.phase is Phase.ENDING else []
        return self._lost("another job is next", now_ms)

    def updated(self, token: object, state: object, now_ms: int) -> list[Action]:
        """`{jobId}/update/accepted`."""
        kind = self._answers(("claim", "check", "end"), token, now_ms)
        if kind is None or self._job is None:
            return []
        self._job.version = version_of(state, self._job.version + 1)
        if kind == "claim":
            return self._begin(now_ms)
        if kind == "check":  # begun again it joins itself, or is what was lost on the way here
            return [Begin(self._job.id, self._job.document)]
        self.done += 1
        return self._drop(now_ms)

    def rejected(self, token: object, code: object, state: object, now_ms: int) -> list[Action]:
        """`$next/get/rejected` or `{jobId}/update/rejected`."""
        if self._asked is None or self._asked.token != token:
            return []
        kind, self._heard_ms = self._asked.kind, now_ms
        if code in THROTTLED:
            self._failures += 1
            self._asked.due_ms = now_ms + self._back_off_ms()
            return []
        self._asked = None
        if code == "VersionMismatch" and kind in ("check", "end") and self._job is not None:
            return self._otherversion_of(kind, state, now_ms)
        if kind == "look":
            self._behind.popleft()
            return self._look(now_ms)
        if code in GONE or code == "VersionMismatch":
            return self._drop(now_ms) if kind == "claim" else self._lost(f"the cloud says {code}", now_ms)
        said = Say(f"jobs {code}", f"jobs: {kind} of {self.job_id or 'the next job'} was refused: {code}")
        if kind == "check":
            return [said]
        self._forget()
        self._ask_ms = now_ms + BACK_OFF_MAX_MS
        return [said]

    # What the gateway says.

    def work_done(self, job_id: str, reply: Reply, now_ms: int) -> list[Action]:
        """The job's reply is durable: tell the cloud how it ended."""
        if self.phase is not Phase.WORKING or self._job is None or self._job.id != job_id:
            return []
        self.phase, self._job.reply = Phase.ENDING, reply
        self._failures = 0
        return self._put("end", now_ms)

    # The parts.

    def _consider(self, execution: object, now_ms: int, *, behind: bool = False) -> list[Action]:
        """Take up a job that is ours; behind one of others' that is next there may be some."""
        if not behind:
            self._hidden = False
        self._ask_ms = now_ms + ASK_EVERY_MS
        if not isinstance(execution, Mapping) or not execution:
            return []
        job_id, document = execution.get("jobId"), execution.get("jobDocument")
        if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
            return []
        if execution.get("status") not in ACTIVE:
            return []
        if not isinstance(document, Mapping) or "headgate" not in document:
            said = self._leave_alone(job_id)
            if behind:
                return said and [*said, *self._look(now_ms)]
            self._hidden = True
            return [*said, *self._put("list", now_ms)]
        self._job = _Job(job_id, version_of(execution, 1), document)
        if execution.get("status") == "IN_PROGRESS":  # ours, from before a crash
            return self._begin(now_ms)
        self.phase = Phase.CLAIMING
        return self._put("claim", now_ms)

    def _leave_alone(self, job_id: str) -> list[Action]:
        if job_id in self._foreign:
            return []
        if len(self._foreign) >= MAX_FOREIGN:
            self._foreign.clear()
        self._foreign.add(job_id)
        return [Say(f"foreign {job_id}", f"job {job_id} is not for Headgate: left alone")]

    def _look(self, now_ms: int) -> list[Action]:
        """Ask for the next of the jobs that are behind others'."""
        return self._put("look", now_ms) if self._behind else []

    def _begin(self, now_ms: int) -> list[Action]:
        assert self._job is not None
        self.phase = Phase.WORKING
        self._ask_ms = now_ms + ASK_EVERY_MS
        return [Begin(self._job.id, self._job.document)]

    def _otherversion_of(self, kind: Question, state: object, now_ms: int) -> list[Action]:
        assert self._job is not None
        if not isinstance(state, Mapping):
            return self._put("get", now_ms)
        if state.get("status") not in ACTIVE:
            return self._lost(f"it is {state.get('status')}", now_ms)
        self._job.version = version_of(state, self._job.version)
        return self._put("end", now_ms) if kind == "end" else []

    def _lost(self, why: str, now_ms: int) -> list[Action]:
        """The job is no longer ours."""
        actions: list[Action] = []
        if self.phase is Phase.WORKING and self._job is not None:
            self.cancelled += 1
            actions.append(Cancel(self._job.id, f"the job was taken back: {why}"))
        return actions + self._drop(now_ms)

    def _drop(self, now_ms: int) -> list[Action]:
        self._forget()
        return self._put("get", now_ms)

    def _forget(self) -> None:
        self.phase, self._job, self._asked = Phase.IDLE, None, None

    def _answers(self, kinds: tuple[Question, ...], token: object, now_ms: int) -> Question | None:
        """Which question of ours this answers; None for an answer that is not awaited (any more)."""
        asked = self._asked
        if asked is None or asked.token != token or asked.kind not in kinds:
            return None
        self._asked, self._failures, self._heard_ms = None, 0, now_ms
        return asked.kind

    def _put(self, kind: Question, now_ms: int) -> list[Action]:
        self._count += 1
        token = f"{self._nonce}-{self._count}"
        self._asked = _Asked(kind, token, now_ms + max(ANSWER_MS, self._back_off_ms()))
        if kind == "list":
            return [Publish("get", {"clientToken": token})]
        if kind == "look" and self._behind:
            return [Publish(f"{self._behind[0]}/get", {"clientToken": token, "includeJobDocument": True})]
        if kind == "get" or self._job is None:
            self._asked.kind = "get"
            return [Publish("$next/get", {"clientToken": token, "includeJobDocument": True})]
        payload: dict[str, Any] = {
            "status": "IN_PROGRESS",
            "expectedVersion": self._job.version,
            "includeJobExecutionState": True,
            "clientToken": token,
        }
        if kind == "end" and self._job.reply is not None:
            payload["status"] = _ENDS[self._job.reply.status]
            payload["statusDetails"] = details_of(self._job.reply)
        elif (minutes := self._step_minutes(self._job.document)) is not None:
            payload["stepTimeoutInMinutes"] = minutes
        return [Publish(f"{self._job.id}/update", payload)]

    def _back_off_ms(self) -> int:
        return min(ANSWER_MS << min(self._failures, 8), BACK_OFF_MAX_MS) if self._failures else 0
