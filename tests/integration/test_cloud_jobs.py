"""AWS IoT Jobs of the simulated cloud, met as a device and an operator meet them: the official V2 jobs
client with a thing's certificate on one side, boto3's `iot` client on the other."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import boto3
import pytest
from awscrt import mqtt5
from awscrt.mqtt_request_response import ClientOptions, SubscriptionStatusEventType
from awsiot import ServiceStreamOptions, V2ServiceException, iotjobs, mqtt5_client_builder

from gateway_sim.cloud import control
from tests.integration.cloud_process import started, wait_until_ready

WAIT_S = 20.0
THING = "gw-1"
DOCUMENT = {"headgate": {"v": 1, "op": "list", "args": {"what": "devices"}}}


def operator(facts: dict[str, Any]) -> Any:
    return boto3.client(
        "iot",
        endpoint_url=facts["iot_endpoint"],
        region_name=facts["region"],
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    found = tmp_path_factory.mktemp("jobs")
    with started(found, things="gw-1,gw-2,gw-3") as process, ThreadPoolExecutor(1) as drain:
        wait_until_ready(process)
        assert process.stdout is not None
        drain.submit(process.stdout.read)  # unread it would fill up and block
        try:
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture(scope="module")
def facts(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "cloud.json").read_text())
    return found


@dataclass
class Device:
    """A thing with the official client; `next` and `listed` hold what it was told."""

    mqtt: mqtt5.Client  # kept: the service client does not keep it alive
    jobs: iotjobs.IotJobsClientV2
    next: Queue[Any]
    listed: Queue[Any]
    streams: list[Any]


@pytest.fixture
def device(facts: dict[str, Any]) -> Iterator[Device]:
    identity = facts["things"][THING]
    up: Future[None] = Future()
    down: Future[None] = Future()
    client = mqtt5_client_builder.mtls_from_path(
        identity["cert"],
        identity["key"],
        endpoint=facts["broker"]["host"],
        port=facts["broker"]["port"],
        ca_filepath=facts["ca"],
        client_id=THING,
        on_lifecycle_connection_success=lambda _: up.set_result(None),
        on_lifecycle_stopped=lambda _: down.set_result(None),
    )
    client.start()
    up.result(WAIT_S)
    jobs = iotjobs.IotJobsClientV2(client, ClientOptions(5, 2))
    made = Device(client, jobs, Queue(), Queue(), [])
    subscribed: Queue[Any] = Queue()
    for make, request, queue in (
        (
            jobs.create_next_job_execution_changed_stream,
            iotjobs.NextJobExecutionChangedSubscriptionRequest,
            made.next,
        ),
        (
            jobs.create_job_executions_changed_stream,
            iotjobs.JobExecutionsChangedSubscriptionRequest,
            made.listed,
        ),
    ):
        stream = make(request(thing_name=THING), ServiceStreamOptions(queue.put, subscribed.put))
        stream.open()
        made.streams.append(stream)
        assert subscribed.get(timeout=WAIT_S).type == SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED
    yield made
    made.streams.clear()
    client.stop()
    down.result(WAIT_S)


def create(facts: dict[str, Any], job_id: str, *things: str, **options: Any) -> Any:
    arns = [f"arn:aws:iot:{facts['region']}:123456789012:thing/{thing}" for thing in things or (THING,)]
    return operator(facts).create_job(
        jobId=job_id, targets=arns, document=json.dumps(DOCUMENT), targetSelection="SNAPSHOT", **options
    )


def update(device: Device, job_id: str, status: str, **more: Any) -> Any:
    request = iotjobs.UpdateJobExecutionRequest(thing_name=THING, job_id=job_id, status=status, **more)
    return device.jobs.update_job_execution(request).result(WAIT_S)


def test_a_job_from_its_creation_to_its_end(device: Device, facts: dict[str, Any]) -> None:
    create(facts, "whole", timeoutConfig={"inProgressTimeoutInMinutes": 5})
    told = device.next.get(timeout=WAIT_S).execution
    assert (told.job_id, told.status, told.version_number) == ("whole", "QUEUED", 1)
    assert told.job_document == DOCUMENT
    assert list(device.listed.get(timeout=WAIT_S).jobs) == ["QUEUED"]
    taken = device.jobs.start_next_pending_job_execution(
        iotjobs.StartNextPendingJobExecutionRequest(thing_name=THING, step_timeout_in_minutes=2)
    ).result(WAIT_S)
    assert (taken.execution.status, taken.execution.version_number) == ("IN_PROGRESS", 2)
    pending = device.jobs.get_pending_job_executions(
        iotjobs.GetPendingJobExecutionsRequest(thing_name=THING)
    ).result(WAIT_S)
    assert [one.job_id for one in pending.in_progress_jobs] == ["whole"]
    with pytest.raises(V2ServiceException) as stale:
        update(device, "whole", "SUCCEEDED", expected_version=1)
    refused = stale.value.modeled_error
    assert (refused.code, refused.execution_state.version_number) == ("VersionMismatch", 2)
    done = update(
        device,
        "whole",
        "SUCCEEDED",
        expected_version=2,
        status_details={"code": "ok"},
        include_job_execution_state=True,
        include_job_document=True,
    )
    assert done.execution_state.status == "SUCCEEDED"
    assert done.job_document == DOCUMENT
    assert device.next.get(timeout=WAIT_S).execution is None
    job = operator(facts).describe_job(jobId="whole")["job"]
    assert (job["status"], job["jobProcessDetails"]["numberOfSucceededThings"]) == ("COMPLETED", 1)
    execution = operator(facts).describe_job_execution(jobId="whole", thingName=THING)["execution"]
    assert execution["statusDetails"] == {"detailsMap": {"code": "ok"}}
    with pytest.raises(V2ServiceException) as over:
        device.jobs.describe_job_execution(
            iotjobs.DescribeJobExecutionRequest(thing_name=THING, job_id="whole")
        ).result(WAIT_S)
    assert over.value.modeled_error.code == "TerminalStateReached"


def test_an_operator_cancels_by_force_what_a_device_works_on(device: Device, facts: dict[str, Any]) -> None:
    create(facts, "canceled", THING, "gw-2")
    update(device, "canceled", "IN_PROGRESS")
    iot = operator(facts)
    with pytest.raises(iot.exceptions.InvalidStateTransitionException):
        iot.cancel_job_execution(jobId="canceled", thingName=THING)
    iot.cancel_job(jobId="canceled", force=True, reasonCode="TEST")
    with pytest.raises(V2ServiceException) as refused:
        update(device, "canceled", "SUCCEEDED")
    assert refused.value.modeled_error.code == "InvalidStateTransition"
    assert refused.value.modeled_error.execution_state.status == "CANCELED"
    found = iot.list_job_executions_for_job(jobId="canceled", status="CANCELED")["executionSummaries"]
    assert {one["thingArn"].rpartition("/")[2] for one in found} == {THING, "gw-2"}


def test_throttled_on_request(device: Device, directory: Path, facts: dict[str, Any]) -> None:
    create(facts, "throttled")
    control.ask(directory, "throttle_jobs")
    with pytest.raises(V2ServiceException) as refused:
        update(device, "throttled", "IN_PROGRESS")
    assert refused.value.modeled_error.code == "RequestThrottled"
    control.ask(directory, "pass_jobs")
    update(device, "throttled", "REJECTED")


def test_what_an_operator_gets_refused(facts: dict[str, Any]) -> None:
    iot = operator(facts)
    create(facts, "taken", "gw-2")
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        create(facts, "taken", "gw-2")
    with pytest.raises(iot.exceptions.ResourceNotFoundException, match="stranger"):
        create(facts, "nobody", "stranger")
    with pytest.raises(
        iot.exceptions.InvalidRequestException, match="jobExecutionsRolloutConfig is not simulated"
    ):
        create(facts, "slow", "gw-2", jobExecutionsRolloutConfig={"maximumPerMinute": 5})
    for call in (iot.describe_job, iot.cancel_job, iot.get_job_document):
        with pytest.raises(iot.exceptions.ResourceNotFoundException):
            call(jobId="nothing")


def test_a_group_is_resolved_and_pages_are_cut(facts: dict[str, Any]) -> None:
    """The registry is moto's, behind the same endpoint."""
    iot = operator(facts)
    group = iot.create_thing_group(thingGroupName="site")["thingGroupArn"]
    for thing in ("gw-2", "gw-3"):
        iot.add_thing_to_thing_group(thingGroupName="site", thingName=thing)
    for number in range(3):
        iot.create_job(jobId=f"group-{number}", targets=[group], document=json.dumps(DOCUMENT))
    first = iot.list_jobs(maxResults=2)
    assert [job["jobId"] for job in first["jobs"]] == ["group-2", "group-1"]
    assert iot.list_jobs(maxResults=1, nextToken=first["nextToken"])["jobs"][0]["jobId"] == "group-0"
    found = iot.list_job_executions_for_thing(thingName="gw-3")["executionSummaries"]
    assert [one["jobId"] for one in found] == ["group-2", "group-1", "group-0"]
    iot.delete_job(jobId="group-2", force=True)
    assert (
        len(iot.list_job_executions_for_thing(thingName="gw-3", status="QUEUED")["executionSummaries"]) == 2
    )
