"""A whole virtual gateway that a test asks things, by MQTT as the cloud and by the operator's command."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import boto3

from gateway_sim.cloud.certificates import Identity, client_context
from gateway_sim.demo.operator import Operator, Told
from gateway_sim.runs.gateway import Plan, VirtualGateway
from gateway_sim.runs.processes import Processes
from gateway_sim.runs.rundir import make_run

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0


@dataclass
class Asked:
    """The running gateway, and a connection of somebody who may publish to it."""

    gateway: VirtualGateway
    client: aiomqtt.Client
    replies: list[bytes] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def thing(self) -> str:
        return self.gateway.plan.thing

    async def publish(self, topic: str, payload: bytes) -> None:
        await self.client.publish(topic, payload, qos=1)

    async def ask(self, payload: bytes, *, topic: str = "dn/req/read") -> bytes:
        """Send a request once and return the next reply."""
        count = len(self.replies)
        await self.publish(f"hg/v1/{self.thing}/{topic}", payload)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._until_more_than(count)
        except TimeoutError:
            raise AssertionError(f"no reply to {payload[:200]!r} on {topic}") from None
        return self.replies[count]

    async def until_listening(self) -> None:
        """Wait until the gateway answers: what is sent before its hub has subscribed is lost."""
        for number in range(int(PATIENCE_S)):
            body = {"v": 1, "id": f"up-{time.time_ns()}-{number}", "op": "list", "args": {"what": "devices"}}
            deadline_ms = time.time_ns() // 1_000_000 + 10_000
            payload = json.dumps({**body, "deadline_ms": deadline_ms}).encode()
            count = len(self.replies)
            await self.publish(f"hg/v1/{self.thing}/dn/req/read", payload)
            try:
                async with asyncio.timeout(1):
                    await self._until_more_than(count)
            except TimeoutError:
                continue
            return
        raise AssertionError("the gateway does not answer")

    async def _until_more_than(self, count: int) -> None:
        while len(self.replies) <= count:
            self._came.clear()
            await self._came.wait()

    async def listen(self) -> None:
        """Collect replies until cancelled."""
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.replies.append(message.payload)
            self._came.set()

    async def operator(self, *words: str) -> Told:
        return await Operator(REPOSITORY, self.gateway.run.cloud).run(*words)

    def iot(self) -> Any:
        """boto3's client of IoT (untyped)."""
        facts = self.gateway.cloud
        return boto3.client(
            "iot",
            endpoint_url=facts["iot_endpoint"],
            region_name=facts["region"],
            aws_access_key_id=facts["credentials"]["access_key"],
            aws_secret_access_key=facts["credentials"]["secret_key"],
        )

    async def kill_hub(self) -> None:
        """Kill the hub with -9, and wait until it is back."""
        starts = self.gateway.status()["components"]["headgate.Hub"]["starts"]
        self.gateway.kill("headgate.Hub")
        await until(
            "the hub's new start",
            lambda: self.gateway.status()["components"]["headgate.Hub"]["starts"] > starts,
        )
        await self.gateway.wait_running()
        await self.until_listening()

    def reads(self, address: int) -> int:
        """How often the device says it answered a read that began there and was none of its polls."""
        return sum(row["group"] is None and row["address"] == address for row in self._served())

    def writes(self) -> list[tuple[int, int, list[int]]]:
        """The writes that devices say they carried out: function, address, cells."""
        return [(row["function"], row["address"], row["wrote"]) for row in self._served() if "wrote" in row]

    def _served(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for path in self.gateway.run.plant.glob("*.served.jsonl")
            for line in path.read_bytes().split(b"\n")[:-1]
        ]

    def audit(self) -> Counter[tuple[str, str, str]]:
        """The gateway's audit: how many lines of each (id, op, code)."""
        rows = [
            json.loads(line)
            for path in (self.gateway.run.state / "audit").glob("*.jsonl")
            for line in path.read_text().splitlines()
        ]
        return Counter((row["id"], row["op"], row["code"]) for row in rows if row["id"][:3] != "up-")


async def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


@asynccontextmanager
async def asked_gateway(base: Path, *plant: str, writes: bool = False) -> AsyncIterator[Asked]:
    """A gateway with its plant and cloud, asked through the observer's certificate."""
    environment = {"HEADGATE_RUNTIME_CACHE": str(REPOSITORY / ".cache" / "runtime")}
    async with Processes(make_run(base), environment) as processes:
        gateway = VirtualGateway(Plan(plant=plant, writes=writes), processes, REPOSITORY)
        await gateway.start()
        observer, broker = gateway.cloud["observer"], gateway.cloud["broker"]
        context = client_context(
            Path(gateway.cloud["ca"]), Identity(Path(observer["cert"]), Path(observer["key"]))
        )
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as client:
            await client.subscribe(f"hg/v1/{gateway.plan.thing}/up/reply", qos=1)
            async with asyncio.TaskGroup() as group:
                asked = Asked(gateway, client)
                listening = group.create_task(asked.listen())
                await asked.until_listening()
                yield asked
                listening.cancel()
