"""A gateway that answers as docs/requests.md says, with nothing behind it: for whoever asks gateways.

It has a thing's own certificate and an event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import secrets
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

from gateway_sim.cloud.certificates import Identity, client_context

PART_BYTES = 5 * 1024**2
WAIT_S = 20.0

Reply = Mapping[str, Any]


@dataclass
class ScriptedGateway:
    """`results` by op: what a reply says (status, code, detail, result, file_id), or None for no reply."""

    facts: Mapping[str, Any]
    thing: str
    results: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    deaf: int = 0  # direct requests that are lost before one is heard
    asked: list[dict[str, Any]] = field(default_factory=list)
    uploads_ended: int = 0
    _files: dict[str, bytes] = field(default_factory=dict)
    _epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    _seq: int = 0

    async def serve(self, up: Future[None], stop: asyncio.Event) -> None:
        identity = self.facts["things"][self.thing]
        context = client_context(
            Path(self.facts["ca"]), Identity(Path(identity["cert"]), Path(identity["key"]))
        )
        broker = self.facts["broker"]
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as client:
            for topic in (f"hg/v1/{self.thing}/dn/#", f"$aws/things/{self.thing}/jobs/notify-next"):
                await client.subscribe(topic, qos=1)
            self._client = client
            up.set_result(None)
            async with asyncio.TaskGroup() as group:
                receiving = group.create_task(self._receive(client))
                await stop.wait()
                receiving.cancel()

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            found = json.loads(message.payload)
            match str(message.topic).split("/")[-1]:
                case "read" | "write":
                    await self._direct(found)
                case "notify-next" if "execution" in found:
                    await self._job(found["execution"])
                case "file":
                    await self._file(found)

    async def _direct(self, request: dict[str, Any]) -> None:
        if self.deaf:
            self.deaf -= 1
            return
        self.asked.append(request)
        said = self._said(request["op"], request["args"])
        if said is not None:
            await self._up("reply", {"v": 1, "id": request["id"], **said})
        if request["op"] == "fetch" and said is not None and said["status"] == "ok":
            await self._offer(request["args"]["file_id"])

    async def _job(self, execution: dict[str, Any]) -> None:
        inner = execution["jobDocument"]["headgate"]
        self.asked.append(inner)
        said = self._said(inner["op"], inner["args"])
        if said is None:
            return
        reply = {"v": 1, "id": execution["jobId"], **said}
        await self.report({"type": "reply", "carrier": "job", "reply": reply})
        state = {"ok": "SUCCEEDED", "refused": "REJECTED"}.get(said["status"], "FAILED")
        details = {"code": said["code"], **({"detail": said["detail"]} if said["detail"] else {})}
        topic = f"$aws/things/{self.thing}/jobs/{execution['jobId']}/update"
        await self._client.publish(topic, json.dumps({"status": state, "statusDetails": details}), qos=1)

    def _said(self, op: str, args: Mapping[str, Any]) -> dict[str, Any] | None:
        if op == "fetch" and args.get("file_id") in self._files:
            said: Mapping[str, Any] | None = {"code": "started", "result": {"file_id": args["file_id"]}}
        else:
            said = self.results.get(op, {"status": "refused", "code": "unknown_op", "detail": f"no {op}"})
        whole = {"status": "ok", "code": "ok", "detail": "", "result": None, "file_id": None}
        return None if said is None else {**whole, **said}

    # ---- files
    async def announce(self, source: str, path: str, data: bytes) -> str:
        file_id = hashlib.sha256(f"{source}\0{path}\0{len(data)}\0{1}".encode()).hexdigest()[:32]
        self._files[file_id] = data
        await self.report(
            {
                "type": "file",
                "file_id": file_id,
                "source": source,
                "path": path,
                "size": len(data),
                "mtime_ms": 1,
            }
        )
        return file_id

    async def _offer(self, file_id: str) -> None:
        digests = [hashlib.sha256(part).digest() for part in self._parts(file_id)]
        whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
        await self._up(
            "file",
            {
                "v": 1,
                "kind": "parts",
                "file_id": file_id,
                "size": len(self._files[file_id]),
                "part_size": PART_BYTES,
                "sha256": f"{whole}-{len(digests)}",
                "page": 0,
                "pages": 1,
                "parts": [[n, base64.b64encode(digest).decode()] for n, digest in enumerate(digests, 1)],
            },
        )

    async def _file(self, message: dict[str, Any]) -> None:
        if message["kind"] == "confirmed":
            self.uploads_ended += 1
        elif message["kind"] == "urls":
            await asyncio.to_thread(self._send, message)
            sent = {"v": 1, "kind": "sent", "file_id": message["file_id"], "upload_id": message["upload_id"]}
            await self._up("file", sent)

    def _send(self, message: dict[str, Any]) -> None:
        listed = json.loads(http_call("GET", message["list"]))
        for number, part in enumerate(self._parts(message["file_id"]), 1):
            if str(number) in listed["urls"]:
                digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
                http_call("PUT", listed["urls"][str(number)], part, {"x-amz-checksum-sha256": digest})

    def _parts(self, file_id: str) -> list[bytes]:
        data = self._files[file_id]
        return [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)] or [b""]

    # ---- up
    async def report(self, report: Mapping[str, Any]) -> None:
        """An envelope of the stream `reports`, which the ingest keeps."""
        self._seq += 1
        envelope: dict[str, Any] = {
            "v": 1,
            "kind": "report",
            "stream": "reports",
            "epoch": self._epoch,
            "seq": self._seq,
            "clock": "synced",
            "report": report,
            **({"prev": None} if self._seq == 1 else {}),
        }
        await self._client.publish(
            f"$aws/rules/hg_ingest_v1/hg/v1/{self.thing}/up/reports/json", json.dumps(envelope), qos=1
        )

    async def _up(self, word: str, body: Mapping[str, Any]) -> None:
        await self._client.publish(f"hg/v1/{self.thing}/up/{word}", json.dumps(body), qos=1)


@dataclass
class Running:
    """A gateway that serves, and the loop it serves in."""

    gateway: ScriptedGateway
    loop: asyncio.AbstractEventLoop

    def announce(self, source: str, path: str, data: bytes) -> str:
        announced = self.gateway.announce(source, path, data)
        return asyncio.run_coroutine_threadsafe(announced, self.loop).result(WAIT_S)


@contextlib.contextmanager
def serving(gateway: ScriptedGateway) -> Iterator[Running]:
    """In a thread, until the block is left."""
    up: Future[None] = Future()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    def work() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(gateway.serve(up, stop))

    thread = threading.Thread(target=work, name=gateway.thing)
    thread.start()
    try:
        up.result(WAIT_S)
        yield Running(gateway, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_S)


def http_call(method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """One call, which must succeed."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=WAIT_S)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said
        return said
    finally:
        connection.close()
