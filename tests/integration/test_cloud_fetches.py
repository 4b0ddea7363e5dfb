"""The queue of fetches through the whole simulated cloud: operators ask, the cloud fetches when it suits."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import os
import signal
import subprocess
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import boto3
import pytest

from gateway_sim.cloud import control
from gateway_sim.cloud.certificates import Identity, client_context
from headgate_cloud.fetchtable import STARTED, FetchTable
from tests.integration.cloud_process import ROOT, started, wait_until_ready

EPOCH = "8c0f3a5b77d01e42"
WAIT_S = 20.0


def content(file_id: str) -> bytes:
    return file_id.encode() * 10


def http_call(method: str, url: str, body: bytes = b"", **headers: str) -> bytes:
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=WAIT_S)
    try:
        connection.request(method, f"{where.path}?{where.query}", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read()
    finally:
        connection.close()


@dataclass
class Gateway:
    """A scripted gateway that uploads whatever it is asked for, one part a file."""

    client: aiomqtt.Client
    thing: str
    asked: list[str] = field(default_factory=list)
    seq: int = 0

    async def announce(self, *file_ids: str) -> None:
        for file_id in file_ids:
            self.seq += 1
            report = {"type": "file", "file_id": file_id, "source": "logs", "path": f"day/{file_id[-1]}"}
            sized = {**report, "size": len(content(file_id)), "mtime_ms": 5}
            head = {"v": 1, "kind": "report", "stream": "reports", "epoch": EPOCH, "seq": self.seq}
            prev = {"prev": None} if self.seq == 1 else {}
            body = json.dumps({**head, **prev, "clock": "synced", "report": sized})
            topic = f"$aws/rules/hg_ingest_v1/hg/v1/{self.thing}/up/reports/json"
            await self.client.publish(topic, body, qos=1)
        while (await self._next("ack"))["up_to"] < self.seq:
            pass

    async def fetched(self) -> str:
        """Serve one request, to its confirmation."""
        file_id: str = (await self._next("read"))["args"]["file_id"]
        self.asked.append(file_id)
        piece = content(file_id)
        digest = hashlib.sha256(piece).digest()
        sha256 = base64.b64encode(digest).decode()
        composite = base64.b64encode(hashlib.sha256(digest).digest()).decode() + "-1"
        head = {"v": 1, "file_id": file_id}
        plan = {"size": len(piece), "part_size": 5 * 1024**2, "sha256": composite, "page": 0, "pages": 1}
        await self._say({**head, "kind": "parts", **plan, "parts": [[1, sha256]]})
        urls = await self._next("file")
        listed = json.loads(await asyncio.to_thread(http_call, "GET", urls["list"]))
        put = {"x-amz-checksum-sha256": sha256}
        await asyncio.to_thread(http_call, "PUT", listed["urls"]["1"], piece, **put)
        await self._say({**head, "kind": "sent", "upload_id": urls["upload_id"]})
        assert (await self._next("file"))["kind"] == "confirmed"
        return file_id

    async def _say(self, message: dict[str, object]) -> None:
        await self.client.publish(f"hg/v1/{self.thing}/up/file", json.dumps(message), qos=1)

    async def _next(self, last: str) -> dict[str, Any]:
        """The next message on a topic that ends so."""
        async with asyncio.timeout(WAIT_S):
            async for message in self.client.messages:
                if str(message.topic).endswith(f"/{last}"):
                    assert isinstance(message.payload, bytes)
                    found: dict[str, Any] = json.loads(message.payload)
                    return found
        raise AssertionError("the connection ended")


@dataclass
class Cloud:
    """A running simulated cloud, and an operator at it."""

    directory: Path
    facts: dict[str, Any]

    def table(self) -> FetchTable:
        keys = self.facts["credentials"]
        dynamodb = boto3.client(
            "dynamodb",
            endpoint_url=self.facts["aws_endpoint"],
            region_name=self.facts["region"],
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
        )
        return FetchTable(dynamodb, self.facts["tables"]["Fetches"])

    async def tick(self, function: str = "FetchFunction") -> int:
        """Let the schedule's minute be over; returns how many fetches run then."""
        before = control.ask(self.directory, f"run_{function}")["runs"]
        async with asyncio.timeout(WAIT_S):
            while control.ask(self.directory, f"runs_{function}")["runs"] == before:
                await asyncio.sleep(0.02)
        return len(list(self.table().queue(STARTED)))

    def headgate(self, *words: str) -> tuple[int, str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        command = [str(ROOT / "bin" / "headgate"), "--sim", str(self.directory), *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    @contextlib.asynccontextmanager
    async def gateway(self, thing: str) -> AsyncIterator[Gateway]:
        files = self.facts["things"][thing]
        identity = Identity(Path(files["cert"]), Path(files["key"]))
        context = client_context(Path(self.facts["ca"]), identity)
        broker = self.facts["broker"]
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as client:
            await client.subscribe(f"hg/v1/{thing}/dn/#", qos=0)
            yield Gateway(client, thing)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    rules = '[{"source": "captures", "priority": 9}]'
    options = ("--parameter", "MaxFetches=2", "--parameter", f"FetchRules={rules}")
    with started(tmp_path, *options, things="gw-on,gw-off") as process, ThreadPoolExecutor(1) as drain:
        wait_until_ready(process)
        assert process.stdout is not None
        drain.submit(process.stdout.read)
        try:
            yield Cloud(tmp_path, json.loads((tmp_path / "cloud.json").read_text()))
        finally:
            process.send_signal(signal.SIGTERM)
            returncode = process.wait(30)
    assert returncode == 0


def test_five_files_two_at_once_by_priority_past_a_gateway_that_is_gone(cloud: Cloud) -> None:
    files = {n: f"{n:032x}" for n in range(1, 6)}

    async def story() -> None:
        async with cloud.gateway("gw-off") as off:
            await off.announce(files[5])
        async with cloud.gateway("gw-on") as on:
            await on.announce(*(files[n] for n in range(1, 5)))
            assert cloud.headgate("files", "fetch", "gw-off", files[5], "--priority", "9")[0] == 0
            assert (
                cloud.headgate("files", "fetch", "gw-on", files[1], "logs/day/2", "--priority", "1")[0] == 0
            )
            assert cloud.headgate("files", "fetch", "gw-on", files[4], "--priority", "7")[0] == 0
            assert cloud.headgate("files", "fetch", "gw-on", files[3])[0] == 0
            for _ in range(4):
                assert await cloud.tick() == 2  # one slot is held for gw-off, which does not answer
                await on.fetched()
            assert await cloud.tick() == 1
            assert on.asked == [files[4], files[3], files[1], files[2]]

    asyncio.run(story())
    code, out, _ = cloud.headgate("fetches", "list", "--json")
    (left,) = map(json.loads, out.splitlines())
    assert (code, left["thing"], left["state"], left["tries"]) == (0, "gw-off", "started", 1)
    assert cloud.headgate("fetches", "cancel", "gw-off", files[5])[0] == 0
    code, _, err = cloud.headgate("fetches", "cancel", "gw-off", files[5])
    assert (code, err) == (1, f"headgate: {files[5]} of gw-off neither waits nor runs\n")
    assert cloud.headgate("fetches", "list")[1] == "nothing is wanted\n"
    ended = cloud.headgate("fetches", "list", "--thing", "gw-on")[1]
    assert ended.count("done") == 4


def test_the_watch_runs_on_its_schedule_and_gateways_are_muted(cloud: Cloud) -> None:
    async def story() -> None:
        async with cloud.gateway("gw-on") as on:
            await on.announce("0" * 32)
        assert cloud.headgate("mute", "gw-on")[2] == "headgate: gw-on may be silent from now on\n"
        await cloud.tick("WatchFunction")
        assert cloud.headgate("mute", "gw-on", "--off")[2] == "headgate: gw-on is watched again\n"

    asyncio.run(story())
