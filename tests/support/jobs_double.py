"""The Jobs service for one gateway, as far as a hub test needs it: versions, states, notify-next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from headgate.bus.memory import MemoryCloud

TERMINAL = ("SUCCEEDED", "FAILED", "REJECTED", "CANCELED")


class JobsDouble:
    """`lose` may drop a message of the gateway, by its topic and payload, after it was acted on."""

    def __init__(self, thing: str, cloud: MemoryCloud) -> None:
        self.executions: dict[str, dict[str, Any]] = {}
        self.updates: list[tuple[str, str]] = []
        self.lose: Callable[[str, dict[str, Any]], bool] = lambda tail, message: False
        self._cloud = cloud
        self._prefix = f"$aws/things/{thing}/jobs/"
        self._changed = asyncio.Event()
        self._told: str | None = None

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Answer while entered."""
        with (
            self._cloud.attached(f"{self._prefix}get", self._list),
            self._cloud.attached(f"{self._prefix}+/get", self._get),
            self._cloud.attached(f"{self._prefix}+/update", self._update),
        ):
            yield

    def create(self, job_id: str, **inner: Any) -> None:
        """Queue a job of Headgate's."""
        self.executions[job_id] = {
            "jobId": job_id,
            "status": "QUEUED",
            "versionNumber": 1,
            "jobDocument": {"headgate": {"v": 1, "args": {}, **inner}},
        }
        self.notify()

    def cancel(self, job_id: str) -> None:
        """As `aws iot cancel-job --force`."""
        self._set(job_id, "CANCELED")
        self.notify()

    def notify(self) -> None:
        """Tell which job is next, where that changed."""
        found = self._next()
        if (found["jobId"] if found else None) != self._told:
            self._told = found["jobId"] if found else None
            self._send("notify-next", {"timestamp": 1, "execution": found} if found else {"timestamp": 1})
        self._send("notify", {"timestamp": 1, "jobs": {}})

    async def until(self, job_id: str, *states: str) -> dict[str, Any]:
        """Wait for a job's end (or other states)."""
        async with asyncio.timeout(30):
            while self.executions[job_id]["status"] not in (states or TERMINAL):
                self._changed.clear()
                await self._changed.wait()
        return self.executions[job_id]

    def _next(self) -> dict[str, Any] | None:
        for status in ("IN_PROGRESS", "QUEUED"):
            for execution in self.executions.values():
                if execution["status"] == status:
                    return execution
        return None

    def _get(self, topic: str, payload: bytes) -> None:
        message, job_id = json.loads(payload), topic.split("/")[-2]
        found = self._next() if job_id == "$next" else self.executions.get(job_id)
        answer = {"clientToken": message["clientToken"], "timestamp": 1}
        if found is None and job_id != "$next":
            self._send(f"{job_id}/get/rejected", {**answer, "code": "ResourceNotFound", "message": ""})
        else:
            self._send(f"{job_id}/get/accepted", {**answer, "execution": found} if found else answer)

    def _list(self, topic: str, payload: bytes) -> None:
        def rows(status: str) -> list[dict[str, Any]]:
            return [{"jobId": e["jobId"]} for e in self.executions.values() if e["status"] == status]

        answer = {"clientToken": json.loads(payload)["clientToken"], "timestamp": 1}
        pending = {"inProgressJobs": rows("IN_PROGRESS"), "queuedJobs": rows("QUEUED")}
        self._send("get/accepted", {**answer, **pending})

    def _update(self, topic: str, payload: bytes) -> None:
        message, job_id = json.loads(payload), topic.split("/")[-2]
        execution = self.executions.get(job_id)
        answer = {"clientToken": message["clientToken"], "timestamp": 1}
        code = None
        if execution is None:
            code = "ResourceNotFound"
        elif message["expectedVersion"] != execution["versionNumber"]:
            code = "VersionMismatch"
        elif execution["status"] in TERMINAL:
            code = "TerminalStateReached"
        if execution is not None:
            answer["executionState"] = {k: execution[k] for k in ("status", "versionNumber")}
        if code is not None:
            self._send(f"{job_id}/update/rejected", {**answer, "code": code, "message": code})
            return
        self._set(job_id, message["status"], message.get("statusDetails"))
        answer["executionState"] = {k: self.executions[job_id][k] for k in ("status", "versionNumber")}
        if not self.lose(job_id, message):
            self._send(f"{job_id}/update/accepted", answer)
        self.notify()

    def _set(self, job_id: str, status: str, details: dict[str, Any] | None = None) -> None:
        execution = self.executions[job_id]
        execution |= {"status": status, "versionNumber": execution["versionNumber"] + 1}
        if details is not None:
            assert all(0 < len(value) <= 1_024 for value in details.values())
            execution["statusDetails"] = details
        self.updates.append((job_id, status))
        self._changed.set()

    def _send(self, tail: str, message: dict[str, Any]) -> None:
        self._cloud.route(self._prefix + tail, json.dumps(message).encode())
