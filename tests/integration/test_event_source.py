"""The simulated event source on a real queue, and the ends that the simulated cloud can come to."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from gateway_sim.cloud import aws, broker, child
from gateway_sim.cloud.certificates import make
from gateway_sim.cloud.counters import Counters
from gateway_sim.cloud.event_source import EventSource
from gateway_sim.cloud.run import TEMPLATE
from gateway_sim.cloud.stack import read
from gateway_sim.cloud.template import Template
from tests.integration.cloud_process import started, wait_until_ready


def test_failures_are_delivered_again_and_end_in_the_dead_letter_queue(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE.read_text().replace("maxReceiveCount: 5", "maxReceiveCount: 3"))
    stack = read(Template(template, {"RetryAfterS": "3"}))
    seen: Counter[str] = Counter()

    def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
        failed = []
        for record in event["Records"]:
            seen[record["body"]] += 1
            if record["body"] == "never" or (record["body"] == "second time" and seen["second time"] == 1):
                failed.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failed}

    async def story() -> tuple[list[str], Counters]:
        counters = Counters()
        async with aws.running(tmp_path / "moto.log") as ready:
            moto = await ready()
            keys = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
            dynamodb, sqs = (boto3.client(s, endpoint_url=moto.endpoint, **keys) for s in ("dynamodb", "sqs"))
            urls = replace(stack, buckets={}, _topics=()).deploy(dynamodb, sqs, None, None)
            queue, dead = urls["headgate-IngestQueue"], urls["headgate-IngestDeadLetters"]
            source = EventSource(stack.functions[0], handler, sqs, queue, counters)
            for body in ("at once", "second time", "never"):
                sqs.send_message(QueueUrl=queue, MessageBody=body)
            polling = asyncio.create_task(source.run(), name="event source")
            found: list[Any] = []
            async with asyncio.timeout(30):
                while not found:  # moto moves a message when somebody asks for it again
                    answer = await asyncio.to_thread(sqs.receive_message, QueueUrl=dead, WaitTimeSeconds=2)
                    found = answer.get("Messages", [])
            left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
            assert left["ApproximateNumberOfMessages"] == left["ApproximateNumberOfMessagesNotVisible"] == "0"
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        return [message["Body"] for message in found], counters

    dead, counters = asyncio.run(story())
    assert dead == ["never"]
    assert seen == {"at once": 1, "second time": 2, "never": 3}
    assert (counters.records, counters.redeliveries, counters.failed) == (6, 3, 4)


def test_a_killed_cloud_leaves_no_process(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        wait_until_ready(process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert {c.name() for c in children} >= {"mosquitto"}
        process.kill()
        gone, alive = psutil.wait_procs(children, timeout=10)
    assert (len(gone), alive) == (len(children), [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        said = process.communicate(timeout=30)
        assert (process.returncode, *said) == (0, "", "")
        _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_a_broker_that_is_missing_or_ends_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = make(tmp_path / "certificates", ["gw-1"])

    async def start() -> None:
        async with broker.running(tmp_path / "broker", certificates, ""):
            pass

    certificates.broker.key.write_text("no key")
    with pytest.raises(child.NotStarted, match=r"(?s)mosquitto ended with \d+; its log .*\.log ends:\n.*key"):
        asyncio.run(start())
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(child.NotStarted, match="apt-get install mosquitto"):
        asyncio.run(start())
