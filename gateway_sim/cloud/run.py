"""The whole simulated cloud: starts the parts at once, joins them, says when it is ready, stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiomqtt
import boto3
from botocore.config import Config

from gateway_sim.cloud import (
    aws,
    broker,
    certificates,
    child,
    control,
    iot_endpoint,
    iotdata,
    jobs_mqtt,
    rights,
    schedule,
)
from gateway_sim.cloud.certificates import Certificates, Identity
from gateway_sim.cloud.counters import Counters, write_json
from gateway_sim.cloud.engine import RuleEngine, receive, sender
from gateway_sim.cloud.event_source import EventSource, load
from gateway_sim.cloud.jobs_protocol import Protocol
from gateway_sim.cloud.jobs_state import Jobs
from gateway_sim.cloud.s3 import faults as s3_faults
from gateway_sim.cloud.s3 import server as s3_server
from gateway_sim.cloud.s3.server import S3Server
from gateway_sim.cloud.s3.signature import Verifier
from gateway_sim.cloud.stack import Stack, read
from gateway_sim.cloud.template import REGION, Template

TEMPLATE: Final = Path(__file__).parents[2] / "headgate_cloud" / "template.yaml"
READY: Final = "cloud.json"
COUNTERS_INTERVAL_S: Final = 1.0
KEY: Final = "simulated"  # access key and secret; S3 checks them, moto takes any
BUCKET: Final = "Uploads"  # its name in the template
ARCHIVE: Final = "Archive"  # likewise


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is started with; `parameters` override the template's defaults."""

    directory: Path
    things: tuple[str, ...]
    template: Path = TEMPLATE
    parameters: Mapping[str, str] | None = None


CANCEL_AGAIN_S: Final = 0.5


class Acknowledgements:
    """Publishes for the data plane, and loses acknowledgements when told to."""

    def __init__(self, client: aiomqtt.Client, counters: Counters) -> None:
        self._client, self._counters = client, counters
        self.dropping = False

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        if self.dropping and topic.endswith("/dn/ack"):
            self._counters.acks_dropped += 1
            return
        await self._client.publish(topic, payload, qos=qos)
        self._counters.acks_sent += topic.endswith("/dn/ack")


async def run(options: Options, stop: asyncio.Event) -> None:
    """Run until `stop` is set. Raises child.NotStarted, template.Unsupported or rules.BadRule, before it is
    ready; a broker or moto that ends by itself ends the whole with child.NotStarted."""
    stack = read(Template(options.template, options.parameters))
    logs = options.directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as parts:
        moto_ready = await parts.enter_async_context(aws.running(logs / "moto.log"))
        certs = await asyncio.to_thread(certificates.make, options.directory / "certificates", options.things)
        mqtt = await parts.enter_async_context(
            broker.running(options.directory / "broker", certs, rights.acl(stack.gateway_policy))
        )
        moto = await moto_ready()
        client = await parts.enter_async_context(_connect(mqtt, certs))
        counters = Counters()
        acks = Acknowledgements(client, counters)
        iot_data = await parts.enter_async_context(iotdata.serving(acks.publish))
        s3 = parts.enter_context(s3_server.running(options.directory, Verifier(KEY, KEY, REGION)))
        _set_environment(stack.environment, moto.endpoint, iot_data, s3.endpoint)
        dynamodb, sqs, iot, s3_client, sns = await asyncio.to_thread(_clients)
        await asyncio.to_thread(_register, iot, options.things)
        jobs = Protocol(Jobs(time.time))
        plane = await parts.enter_async_context(jobs_mqtt.connected(jobs, mqtt, certs))
        control_plane = iot_endpoint.serving(jobs.jobs, moto.endpoint, iot, plane.changed)
        iot_endpoint_url = await parts.enter_async_context(control_plane)
        urls = await asyncio.to_thread(stack.deploy, dynamodb, sqs, s3_client, sns)
        engines = _engines(stack, sqs, urls, counters)
        for engine in engines:
            await engine.subscribe(client)
        sources = await asyncio.to_thread(_sources, stack, sqs, urls, counters)
        schedules = {
            function.logical: schedule.Schedule(function, load(function)) for function in stack.scheduled
        }
        count = _counting(counters, s3)
        commands = _commands(sources, acks, count, jobs, options.directory) | s3_faults.commands(s3)
        commands |= schedule.commands(schedules)
        await parts.enter_async_context(control.serving(options.directory, commands))
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(receive(client, engines), name="receive"),
                *(group.create_task(engine.forward(), name="forward") for engine in engines),
                *(group.create_task(source.run(), name="event source") for source in sources),
                *(group.create_task(each.run(), name="schedule") for each in schedules.values()),
                group.create_task(plane.receive(), name="jobs"),
                group.create_task(plane.keep_time(), name="jobs' time"),
                group.create_task(_keep_counters(count, options.directory), name="counters"),
                group.create_task(_watch(moto.process, "moto"), name="moto"),
                group.create_task(_watch(mqtt.process, "mosquitto"), name="mosquitto"),
            ]
            endpoints = {
                "aws": moto.endpoint,
                "iot": iot_endpoint_url,
                "iot_data": iot_data,
                "s3": s3.endpoint,
            }
            ready = _describe(options, stack, mqtt, moto, endpoints, certs)
            write_json(options.directory / READY, ready)
            sys.stdout.write(f"simulated cloud: ready, see {options.directory / READY}\n")
            sys.stdout.flush()
            await stop.wait()
            # What waits for S3 must not keep the handlers from ending.
            await _end(tasks, meanwhile=s3.cut)
        write_json(options.directory / "counters.json", count())


async def _end(tasks: Sequence[asyncio.Task[None]], *, meanwhile: Callable[[], None]) -> None:
    """Cancel until all have ended: asyncio.wait_for of Python 3.11, which aiomqtt publishes with, loses a
    cancellation that comes together with what it waits for.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        meanwhile()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


def _engines(stack: Stack, sqs: Any, urls: Mapping[str, str], counters: Counters) -> list[RuleEngine]:
    """One for each rule; what comes in through ingest's, the first, is metered."""
    return [
        RuleEngine(rule, sender(sqs, urls[queue]), counters, _now_ms, metered=number == 0)
        for number, (rule, queue) in enumerate(stack.rules)
    ]


def _sources(stack: Stack, sqs: Any, urls: Mapping[str, str], counters: Counters) -> list[EventSource]:
    """One for each function; the first, ingest's, is counted in `counters`."""
    tallies = [counters, *(Counters() for _ in stack.queued[1:])]
    return [
        EventSource(function, load(function), sqs, urls[function.queue], tally)
        for function, tally in zip(stack.queued, tallies, strict=True)
    ]


def _counting(counters: Counters, s3: S3Server) -> Callable[[], dict[str, int]]:
    def count() -> dict[str, int]:
        stored = dataclasses.asdict(s3.record.counts)
        return {**counters.as_dict(), **{f"s3_{name}": value for name, value in stored.items()}}

    return count


def _connect(mqtt: broker.Broker, certs: Certificates) -> aiomqtt.Client:
    """The cloud's own connection: the rule engine and the data plane share it."""
    return aiomqtt.Client(
        mqtt.host,
        mqtt.port,
        identifier=certificates.CLOUD_IDENTITY,
        tls_context=certificates.client_context(certs.ca, certs.cloud),
    )


def _set_environment(
    variables: Mapping[str, str], aws_endpoint: str, iot_data_endpoint: str, s3_endpoint: str
) -> None:
    """This process is the handlers' environment, as Lambda's would be; the user's AWS settings stay out."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    direct = ",".join(filter(None, [os.environ.get("no_proxy"), os.environ.get("NO_PROXY"), "127.0.0.1"]))
    os.environ.update(
        variables,
        AWS_ENDPOINT_URL=aws_endpoint,
        AWS_ENDPOINT_URL_IOT_DATA_PLANE=iot_data_endpoint,
        AWS_ENDPOINT_URL_S3=s3_endpoint,
        AWS_DEFAULT_REGION=REGION,
        AWS_REGION=REGION,
        AWS_ACCESS_KEY_ID=KEY,
        AWS_SECRET_ACCESS_KEY=KEY,
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY=direct,
        no_proxy=direct,
    )


def _clients() -> tuple[Any, ...]:
    # No retries: when moto is stopped, a long poll must end with it, at once.
    once = Config(retries={"total_max_attempts": 1})
    return tuple(boto3.client(name, config=once) for name in ("dynamodb", "sqs", "iot", "s3", "sns"))


def _register(iot: Any, things: Sequence[str]) -> None:
    """Jobs are for things that the registry knows."""
    for thing in things:
        iot.create_thing(thingName=thing)


def _commands(
    sources: Sequence[EventSource],
    acks: Acknowledgements,
    counted: Callable[[], dict[str, int]],
    jobs: Protocol,
    directory: Path,
) -> dict[str, control.Command]:
    def pause() -> dict[str, object]:
        for source in sources:
            source.pause()
        return {}

    def resume() -> dict[str, object]:
        for source in sources:
            source.resume()
        return {}

    def drop_acks() -> dict[str, object]:
        acks.dropping = True
        return {}

    def pass_acks() -> dict[str, object]:
        acks.dropping = False
        return {}

    def throttle_jobs() -> dict[str, object]:
        jobs.throttling = True
        return {}

    def pass_jobs() -> dict[str, object]:
        jobs.throttling = False
        return {}

    def count() -> dict[str, object]:
        write_json(directory / "counters.json", counted())
        return {"counters": counted()}

    return {
        "pause": pause,
        "resume": resume,
        "drop_acks": drop_acks,
        "pass_acks": pass_acks,
        "throttle_jobs": throttle_jobs,
        "pass_jobs": pass_jobs,
        "counters": count,
    }


async def _keep_counters(counted: Callable[[], dict[str, int]], directory: Path) -> None:
    written: dict[str, int] | None = None
    while True:
        now = counted()
        if now != written:
            write_json(directory / "counters.json", now)
            written = now
        await asyncio.sleep(COUNTERS_INTERVAL_S)


async def _watch(process: asyncio.subprocess.Process, name: str) -> None:
    raise child.NotStarted(f"{name} ended by itself with {await process.wait()}")


def _describe(
    options: Options,
    stack: Stack,
    mqtt: broker.Broker,
    moto: aws.Aws,
    endpoints: Mapping[str, str],
    certs: Certificates,
) -> dict[str, object]:
    return {
        "broker": {"host": mqtt.host, "port": mqtt.port},
        **{f"{name}_endpoint": url for name, url in endpoints.items()},
        "region": REGION,
        "ca": str(certs.ca),
        "things": {thing: _files(identity) for thing, identity in certs.things.items()},
        "observer": _files(certs.cloud),
        "tables": dict(stack.tables),
        "bucket": stack.buckets[BUCKET],
        "archive": stack.buckets[ARCHIVE],
        "credentials": {"access_key": KEY, "secret_key": KEY},
        "rule": stack.rules[0][0].name,
        "pids": {"cloud": os.getpid(), "mosquitto": mqtt.process.pid, "moto": moto.process.pid},
    }


def _files(identity: Identity) -> dict[str, str]:
    return {"cert": str(identity.cert), "key": str(identity.key)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def check_things(things: Sequence[str]) -> None:
    """Names become files, topics and ACL lines; raises ValueError naming a bad one."""
    for thing in things:
        if not all((c.isalnum() and c.isascii()) or c in ":_-" for c in thing) or not 0 < len(thing) <= 64:
            raise ValueError(f"{thing!r} is no name for a thing: 1 to 64 of A-Z a-z 0-9 : _ -")
