"""The jobs data plane's messages, topic and payload in, topic and payload out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.cloud.jobs_protocol import Protocol
from gateway_sim.cloud.jobs_state import Jobs

AT_S = 1_763_685_600
BASE = "$aws/things/gw-1/jobs/"


def protocol(*job_ids: str) -> Protocol:
    jobs = Jobs(lambda: AT_S + 0.5)
    for job_id in job_ids:
        jobs.create(job_id, '{"do": "it"}', [], ["gw-1"])
    jobs.take_notices()
    return Protocol(jobs)


def ask(served: Protocol, topic: str, request: object) -> tuple[str, dict[str, Any]]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    reply = served.answer(BASE + topic, body)[0]
    assert reply.topic.startswith(f"{BASE}{topic}/")
    return reply.topic.removeprefix(f"{BASE}{topic}/"), json.loads(reply.payload())


def test_get_lists_summaries() -> None:
    served = protocol("a", "b")
    served.jobs.start_next("gw-1")
    said, body = ask(served, "get", {"clientToken": "t-1"})
    summary = {"queuedAt": AT_S, "lastUpdatedAt": AT_S, "executionNumber": 1}
    assert said == "accepted"
    assert body == {
        "clientToken": "t-1",
        "timestamp": AT_S,
        "inProgressJobs": [{"jobId": "a", **summary, "startedAt": AT_S, "versionNumber": 2}],
        "queuedJobs": [{"jobId": "b", **summary, "versionNumber": 1}],
    }


def test_start_next_gives_the_whole_execution_and_tells_of_it() -> None:
    served = protocol("a")
    request = json.dumps({"statusDetails": {"by": "x"}, "stepTimeoutInMinutes": 3}).encode()
    reply, *notices = served.answer(f"{BASE}start-next", request)
    assert reply.body == {
        "timestamp": AT_S,
        "execution": {
            "jobId": "a",
            "thingName": "gw-1",
            "status": "IN_PROGRESS",
            "statusDetails": {"by": "x"},
            "queuedAt": AT_S,
            "startedAt": AT_S,
            "lastUpdatedAt": AT_S,
            "versionNumber": 2,
            "executionNumber": 1,
            "approximateSecondsBeforeTimedOut": 180,
            "jobDocument": {"do": "it"},
        },
    }
    assert [notice.topic for notice in notices] == [f"{BASE}notify"]


@pytest.mark.parametrize("topic", ["start-next", "$next/get"])
def test_nothing_pending_is_accepted_without_an_execution(topic: str) -> None:
    assert ask(protocol(), topic, {}) == ("accepted", {"timestamp": AT_S})


def test_get_of_one_with_and_without_its_document() -> None:
    served = protocol("a")
    _, body = ask(served, "a/get", {})
    assert body["execution"]["jobDocument"] == {"do": "it"}
    _, body = ask(served, "$next/get", {"includeJobDocument": False})
    assert "jobDocument" not in body["execution"]


def test_update_gives_state_and_document_only_when_asked() -> None:
    served = protocol("a")
    _, body = ask(served, "a/update", {"status": "IN_PROGRESS", "expectedVersion": "1"})
    assert body == {"timestamp": AT_S}
    _, body = ask(
        served,
        "a/update",
        {
            "status": "SUCCEEDED",
            "statusDetails": {"code": "ok"},
            "expectedVersion": 2,
            "includeJobExecutionState": True,
            "includeJobDocument": True,
            "clientToken": "z",
        },
    )
    assert body == {
        "clientToken": "z",
        "timestamp": AT_S,
        "executionState": {"status": "SUCCEEDED", "statusDetails": {"code": "ok"}, "versionNumber": 3},
        "jobDocument": {"do": "it"},
    }


@pytest.mark.parametrize(
    ("topic", "request_", "code"),
    [
        ("a/update", {"status": "SUCCEEDED", "expectedVersion": 7}, "VersionMismatch"),
        ("a/update", {"statusDetails": {}}, "InvalidRequest"),
        ("a/update", {"status": "QUEUED"}, "InvalidRequest"),
        ("a/update", {"status": "FAILED", "statusDetails": {"code": "ok", "detail": ""}}, "InvalidRequest"),
        ("a/update", {"status": "FAILED", "includeJobDocument": "yes"}, "InvalidRequest"),
        ("a/update", {"status": "FAILED", "expectedVersion": True}, "InvalidRequest"),
        ("b/get", {}, "ResourceNotFound"),
        ("get", b"\xff", "InvalidJson"),
        ("get", b"", "InvalidJson"),
        ("get", b"[]", "InvalidRequest"),
        ("get", {"clientToken": 5}, "InvalidRequest"),
        ("get", {"clientToken": "x" * 65}, "InvalidRequest"),
        ("a/delete", {}, "InvalidTopic"),
        ("$next/update", {"status": "FAILED"}, "InvalidTopic"),
        ("a/b/get", {}, "InvalidTopic"),
        ("start", {}, "InvalidTopic"),
    ],
)
def test_refusals(topic: str, request_: object, code: str) -> None:
    said, body = ask(protocol("a"), topic, request_)
    assert (said, body["code"]) == ("rejected", code)
    assert body["timestamp"] == AT_S
    assert ("executionState" in body) == (code == "VersionMismatch")


def test_a_refusal_gives_the_token_back() -> None:
    assert ask(protocol(), "a/get", {"clientToken": "t"})[1]["clientToken"] == "t"


def test_throttled_on_demand() -> None:
    served = protocol("a")
    served.throttling = True
    assert ask(served, "start-next", {})[1]["code"] == "RequestThrottled"
    assert served.jobs.execution("gw-1", "a").status == "QUEUED"


@pytest.mark.parametrize(
    "topic", ["notify", "notify-next", "get/accepted", "a/update/rejected", "start-next/accepted"]
)
def test_what_aws_says_is_no_request(topic: str) -> None:
    assert protocol("a").answer(BASE + topic, b"{}") == []


@given(payload=st.binary(max_size=60), topic=st.sampled_from(["get", "start-next", "a/get", "a/update"]))
def test_any_bytes_get_one_answer(payload: bytes, topic: str) -> None:
    said, _ = ask(protocol("a"), topic, payload)
    assert said in ("accepted", "rejected")


@given(
    request=st.dictionaries(
        st.sampled_from(["status", "statusDetails", "expectedVersion", "executionNumber", "clientToken"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"k": "v"}),
    )
)
def test_any_fields_get_one_answer(request: dict[str, object]) -> None:
    said, _ = ask(protocol("a"), "a/update", request)
    assert said in ("accepted", "rejected")
