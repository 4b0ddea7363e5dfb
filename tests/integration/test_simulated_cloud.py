"""The simulated cloud as it runs: a gateway's envelopes over mutual TLS to rows and acknowledgements."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import boto3
import psutil
import pytest

from gateway_sim.cloud import control
from gateway_sim.cloud.certificates import Identity, client_context
from headgate_cloud.archive import Archive, Place
from tests.integration.cloud_process import ROOT, started, wait_until_ready

EPOCH = "8c0f3a5b77d01e42"
UP = "$aws/rules/hg_ingest_v1/hg/v1/{}/up/{}/json"
WAIT_S = 20.0


def report(seq: int, *, stream: str = "live", note: str = "") -> bytes:
    prev = {"prev": None} if seq == 1 else {}
    head = {"v": 1, "kind": "report", "stream": stream, "epoch": EPOCH, "seq": seq, "clock": "synced"}
    return json.dumps({**head, **prev, "report": {"type": "started", "note": note}}).encode()


@dataclass
class Cloud:
    """A running simulated cloud, as anything outside its process sees it."""

    directory: Path
    facts: dict[str, Any]

    def dynamodb(self) -> Any:
        return boto3.client(
            "dynamodb",
            endpoint_url=self.facts["aws_endpoint"],
            region_name=self.facts["region"],
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    def body(self, row: dict[str, Any]) -> bytes:
        """What the index says is in the archive."""
        s3 = boto3.client(
            "s3",
            endpoint_url=self.facts["s3_endpoint"],
            region_name=self.facts["region"],
            aws_access_key_id=self.facts["credentials"]["access_key"],
            aws_secret_access_key=self.facts["credentials"]["secret_key"],
        )
        place = Place(row["object"]["S"], int(row["line"]["N"]))
        return Archive(s3, self.facts["archive"]).body(place, row["digest"]["S"])

    def rows(self, table: str, thing: str) -> list[dict[str, Any]]:
        found = self.dynamodb().scan(TableName=self.facts["tables"][table])["Items"]
        return [row for row in found if f"{thing}/" in row.get("stream_key", row.get("topic"))["S"]]

    @contextlib.asynccontextmanager
    async def connect(self, thing: str, listens: str = "") -> AsyncIterator[aiomqtt.Client]:
        """The thing's own connection, subscribed to what comes down to it (or to `listens`)."""
        identity = self.facts["things"][thing]
        context = client_context(
            Path(self.facts["ca"]), Identity(Path(identity["cert"]), Path(identity["key"]))
        )
        broker = self.facts["broker"]
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as client:
            await client.subscribe(listens or f"hg/v1/{thing}/dn/#", qos=0)
            yield client


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    parameter = ("--parameter", "RetryAfterS=3")
    with started(directory, *parameter, things="gw-1,gw-2,gw-3,gw-4,gw-5") as process:
        wait_until_ready(process)
        children = psutil.Process(process.pid).children(recursive=True)
        # The handler's log goes on to the same pipe; unread it would fill up and block.
        with ThreadPoolExecutor(1) as drain:
            assert process.stdout is not None
            drain.submit(process.stdout.read)
            try:
                yield Cloud(directory, json.loads((directory / "cloud.json").read_text()))
                assert {child.environ()["HEADGATE_RUN"] for child in children} == {directory.name}
            finally:
                process.send_signal(signal.SIGTERM)
                returncode = process.wait(30)
    assert returncode == 0
    assert not any(child.is_running() for child in children)
    assert not (directory / "cloud.json").exists()


async def until_acknowledged(client: aiomqtt.Client, up_to: int) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            ack: dict[str, Any] = json.loads(message.payload)
            if ack["up_to"] >= up_to:
                return ack
    raise AssertionError("the connection ended")


def test_envelopes_become_rows_and_are_acknowledged(cloud: Cloud) -> None:
    async def story() -> None:
        async with cloud.connect("gw-1") as client:
            for seq in (2, 1, 4, 2):
                await client.publish(UP.format("gw-1", "live"), report(seq), qos=1)
            ack = await until_acknowledged(client, 2)
            assert ack == {"v": 1, "stream": "live", "epoch": EPOCH, "up_to": 2, "received": [[4, 4]]}
            await client.publish("hg/v1/gw-1/up/live/json", report(3), qos=1)  # without Basic Ingest
            assert (await until_acknowledged(client, 4))["received"] == []

    asyncio.run(story())
    rows = sorted(cloud.rows("Envelopes", "gw-1"), key=lambda row: int(row["seq"]["N"]))
    assert [cloud.body(row) for row in rows] == [report(seq) for seq in (1, 2, 3, 4)]
    (stream,) = cloud.rows("Streams", "gw-1")
    assert (stream["up_to"], stream["duplicates"]) == ({"N": "4"}, {"N": "1"})
    counters = control.ask(cloud.directory, "counters")["counters"]
    assert counters["received"] >= 5
    assert counters["metered_units"] >= 5


def test_another_content_under_the_same_key_is_kept_apart(cloud: Cloud) -> None:
    async def story() -> None:
        async with cloud.connect("gw-2") as client:
            for body in (report(1), report(1, note="another"), b"no envelope", report(2)):
                await client.publish(UP.format("gw-2", "live"), body, qos=1)
            await until_acknowledged(client, 2)

    asyncio.run(story())
    assert len(cloud.rows("Envelopes", "gw-2")) == 2
    rejected = {row["body"]["B"]: row["why"]["S"] for row in cloud.rows("Rejected", "gw-2")}
    assert rejected.keys() <= {report(1), report(1, note="another"), b"no envelope"}
    assert len(rejected) == 2  # of the two under one key, which came first is the queue's choice
    assert rejected[b"no envelope"].startswith("undecodable: $: not JSON")


def test_a_thing_cannot_speak_or_listen_for_another(cloud: Cloud) -> None:
    async def story() -> None:
        async with cloud.connect("gw-3", listens="hg/v1/+/dn/#") as spy, cloud.connect("gw-4") as honest:
            for topic in (UP, "hg/v1/{}/up/{}/json"):
                await spy.publish(topic.format("gw-4", "alarms"), report(1, stream="alarms"), qos=1)
            await honest.publish(UP.format("gw-4", "live"), report(1), qos=1)
            assert (await until_acknowledged(honest, 1))["stream"] == "live"
            await spy.publish(UP.format("gw-3", "live"), report(1), qos=1)
            async with asyncio.timeout(WAIT_S):
                first = await anext(spy.messages)
            assert str(first.topic) == "hg/v1/gw-3/dn/ack"  # the one for gw-4 came before, and not to the spy

    asyncio.run(story())
    assert [row["stream_key"]["S"] for row in cloud.rows("Envelopes", "gw-4")] == [f"gw-4/live/{EPOCH}"]


def test_a_foreign_sender_that_some_policy_let_through_is_refused_by_ingest(cloud: Cloud) -> None:
    keys = {"region_name": cloud.facts["region"], "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    sqs = boto3.client("sqs", endpoint_url=cloud.facts["aws_endpoint"], **keys)
    queue = sqs.get_queue_url(QueueName="headgate-IngestQueue")["QueueUrl"]
    rule = {"thing": "gw-4", "stream": "alarms", "codec": "json", "client": "gw-3", "received_ms": 1}
    body = base64.b64encode(report(1, stream="alarms")).decode()
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({**rule, "body": body}))

    async def rejected() -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while not (found := cloud.rows("Rejected", "gw-4")):
                await asyncio.sleep(0.05)
        return found[0]

    row = asyncio.run(rejected())
    assert (row["code"], row["why"]) == (
        {"S": "sender"},
        {"S": "sent by the client 'gw-3', which is not gw-4"},
    )
    assert not any("alarms" in row["stream_key"]["S"] for row in cloud.rows("Envelopes", "gw-4"))


def test_no_certificate_no_connection(cloud: Cloud) -> None:
    async def story() -> None:
        broker = cloud.facts["broker"]
        stranger = ssl.create_default_context(cafile=cloud.facts["ca"])
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=stranger, timeout=1):
            pass

    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(story())


def test_outages_are_made_on_request(cloud: Cloud) -> None:
    async def story() -> None:
        async with cloud.connect("gw-5") as client:
            topic = UP.format("gw-5", "backlog")
            control.ask(cloud.directory, "drop_acks")
            dropped = control.ask(cloud.directory, "counters")["counters"]["acks_dropped"]
            await client.publish(topic, report(1, stream="backlog"), qos=1)
            async with asyncio.timeout(WAIT_S):
                while control.ask(cloud.directory, "counters")["counters"]["acks_dropped"] == dropped:
                    await asyncio.sleep(0.05)
            control.ask(cloud.directory, "pass_acks")
            control.ask(cloud.directory, "pause")
            await client.publish(topic, report(2, stream="backlog"), qos=1)
            await client.publish(topic, report(1, stream="backlog"), qos=1)
            assert len(cloud.rows("Envelopes", "gw-5")) == 1
            control.ask(cloud.directory, "resume")
            await until_acknowledged(client, 2)

    asyncio.run(story())
    with pytest.raises(control.Refused, match="'fly' is none of pause, resume"):
        control.ask(cloud.directory, "fly")


def test_two_handlers_race_on_one_stream(cloud: Cloud) -> None:
    """Separate processes, the same records in opposite orders: stored once, and both end at the whole."""
    facts = cloud.facts
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **{f"{name.upper()}_TABLE": table for name, table in facts["tables"].items()},
        "ARCHIVE_BUCKET": facts["archive"],
        "FETCH_RULES": "[]",
        "AWS_ENDPOINT_URL": facts["aws_endpoint"],
        "AWS_ENDPOINT_URL_S3": facts["s3_endpoint"],
        "AWS_ENDPOINT_URL_IOT_DATA_PLANE": facts["iot_data_endpoint"],
        "AWS_DEFAULT_REGION": facts["region"],
        "AWS_ACCESS_KEY_ID": facts["credentials"]["access_key"],
        "AWS_SECRET_ACCESS_KEY": facts["credentials"]["secret_key"],
    }
    script = (
        "import base64, json, sys\n"
        "from headgate_cloud.ingest import handler\n"
        "for batch in json.load(sys.stdin):\n"
        "    answer = handler({'Records': batch}, None)\n"
        "    assert answer == {'batchItemFailures': []}, answer\n"
    )

    def record(seq: int) -> dict[str, str]:
        rule = {
            "body": base64.b64encode(report(seq)).decode(),
            "thing": "racer",
            "stream": "live",
            "codec": "json",
            "client": "racer",
        }
        return {"messageId": str(seq), "body": json.dumps({**rule, "received_ms": 1})}

    forth = [[record(seq) for seq in range(first, first + 10)] for first in range(1, 60, 10)]
    both = [json.dumps(forth), json.dumps(forth[::-1])]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in both
    ]
    with ThreadPoolExecutor(2) as threads:
        said = "".join(
            out
            for out, _ in threads.map(
                lambda pair: pair[0].communicate(pair[1], 60), zip(racers, both, strict=True)
            )
        )
    assert [racer.returncode for racer in racers] == [0, 0]
    batches = [json.loads(line) for line in said.splitlines()]
    assert sum(batch.get("new", 0) for batch in batches) == 60
    assert sum(batch.get("duplicate", 0) for batch in batches) == 60
    assert len(cloud.rows("Envelopes", "racer")) == 60
    (stream,) = cloud.rows("Streams", "racer")
    assert (stream["up_to"], stream["duplicates"]) == ({"N": "60"}, {"N": "60"})


def test_a_heartbeat_and_its_connection_are_kept_of_the_gateway(cloud: Cloud) -> None:
    def row() -> dict[str, Any]:
        table = cloud.facts["tables"]["Gateways"]
        found: dict[str, Any] = (
            cloud.dynamodb().get_item(TableName=table, Key={"thing": {"S": "gw-5"}}).get("Item", {})
        )
        return found

    async def until_row(name: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while name not in (found := row()):
                await asyncio.sleep(0.1)
        return found

    async def story() -> None:
        beat = {"type": "health", "t": 1_763_685_600_000, "config": None}
        body = json.loads(report(1, stream="health")) | {"report": beat}
        async with cloud.connect("gw-5") as client:
            await client.publish(UP.format("gw-5", "health"), json.dumps(body).encode(), qos=1)
            assert json.loads((await until_row("health"))["health"]["S"]) == beat
        said = {"clientId": "gw-5", "timestamp": 1_763_685_600_000, "sessionIdentifier": "s-1"}
        identity = cloud.facts["observer"]
        context = client_context(
            Path(cloud.facts["ca"]), Identity(Path(identity["cert"]), Path(identity["key"]))
        )
        broker = cloud.facts["broker"]
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as events:
            await events.publish("$aws/events/presence/connected/gw-5", json.dumps(said).encode(), qos=1)
            assert (await until_row("connected"))["connected"]["BOOL"] is True

    asyncio.run(story())


def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "template.yaml"
    text = (ROOT / "headgate_cloud" / "template.yaml").read_text()
    broken.write_text(text.replace("topic(3) AS thing", "principal() AS thing"))
    command = [sys.executable, "-m", "gateway_sim.cloud", "--dir", str(tmp_path / "run"), "--things", "gw-1"]
    refused = subprocess.run(
        [*command, "--template", str(broken)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    said = refused.stderr.splitlines()[-1]
    assert said == "simulated cloud: rule hg_ingest_v1: principal() is not in the subset"
