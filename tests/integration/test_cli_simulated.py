"""The command line as an operator runs it, over the real simulated cloud, with a scripted gateway behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from gateway_sim.cloud import control
from tests.integration.cloud_process import ROOT, started, wait_until_ready
from tests.support.scripted_gateway import Running, ScriptedGateway, serving

VALUE = {"series": "meter-a/voltage_l1", "value": 230.4, "unit": "V", "quality": 0}
HISTORY = {
    "times": [[1_763_685_600_000, 100, 100]],
    "columns": {
        "meter-a/voltage_l1": {
            "u": "V",
            "k": "f64",
            "d": 1,
            "r": 1,
            "t": 0,
            "last": 230.4,
            "v": [2301, 2, 1],
        }
    },
}


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Operator:
    """Runs `bin/headgate --sim RUN ...`."""

    run: Path
    folder: Path

    def __call__(self, *words: str, thing: str = "gw-1") -> Said:
        command = [str(ROOT / "bin" / "headgate"), "--sim", str(self.run), "--thing", thing, *words]
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("cli")
    with started(directory, things="gw-1,gw-2,gw-3") as process, ThreadPoolExecutor(1) as drain:
        wait_until_ready(process)
        assert process.stdout is not None
        drain.submit(process.stdout.read)
        try:
            yield directory
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def headgate(run: Path, tmp_path: Path) -> Operator:
    return Operator(run, tmp_path)


@pytest.fixture
def gateway(run: Path) -> Iterator[Running]:
    facts = json.loads((run / "cloud.json").read_text())
    with serving(ScriptedGateway(facts, "gw-1")) as running:
        yield running


def test_a_read_is_answered(headgate: Operator, gateway: Running) -> None:
    now_ms = time.time_ns() // 1_000_000
    gateway.gateway.results["read"] = {"result": {"values": [{**VALUE, "t": now_ms}]}}
    said = headgate("read", "meter-a/voltage_l1")
    assert (said.code, said.err) == (0, "")
    assert "meter-a/voltage_l1   230.4 V   good" in said.out
    (line,) = headgate("read", "meter-a/voltage_l1", "--register", "m:holding:0:2", "--json").lines()
    assert line["reply"]["result"]["values"][0]["value"] == 230.4
    first, second = gateway.gateway.asked
    assert first["args"] == {"series": ["meter-a/voltage_l1"]}
    assert first["id"] != second["id"]
    assert now_ms + 9_000 < first["deadline_ms"] < now_ms + 30_000


def test_a_scan_has_time_to_be_made(headgate: Operator, gateway: Running) -> None:
    row = {"unit": 3, "answer": "answers", "devices": ["meter-a"]}
    result = {"source": "modbus", "device": "meter-a", "first": 1, "last": 3, "asked": 3, "found": [row]}
    gateway.gateway.results["scan"] = {"result": result}
    now_ms = time.time_ns() // 1_000_000
    said = headgate("scan", "modbus", "meter-a", "--last", "3", "--seconds", "60")
    assert (said.code, said.err) == (0, "")
    assert "units 1 to 3, 3 asked" in said.out
    (asked,) = gateway.gateway.asked
    assert asked["args"] == {"source": "modbus", "device": "meter-a", "last": 3, "seconds": 60}
    assert asked["deadline_ms"] >= now_ms + 80_000


def test_a_lost_request_is_sent_again_with_its_id(headgate: Operator, gateway: Running) -> None:
    gateway.gateway.results["list"] = {"result": {"devices": []}}
    gateway.gateway.deaf = 1
    said = headgate("list", "devices")
    assert said.code == 0
    assert len(gateway.gateway.asked) == 1


def test_refused_and_unanswered_have_their_codes(headgate: Operator, gateway: Running) -> None:
    said = headgate("read", "m/v")
    assert said.code == 1
    assert "gw-1  refused (unknown_op): no read" in said.out
    gateway.gateway.results["read"] = {"result": {"values": []}}
    said = headgate("read", "m/v", "--timeout", "1s", thing="gw-1,gw-2")
    assert said.code == 3
    assert said.err == "headgate: gw-2 did not answer within 1.0 s\n"
    assert said.out.startswith("gw-1")


def test_a_write_goes_on_its_own_topic_and_asks_before_it_goes_to_many(
    headgate: Operator, gateway: Running
) -> None:
    row = {"series": "m/t", "value": 7, "unit": "V", "old": 3, "outcome": "verified", "t": 1}
    gateway.gateway.results["write"] = {"result": {"writes": [row]}}
    said = headgate("write", "m/t=7")
    assert (said.code, said.err) == (0, "")
    assert ["m/t", "3", "V", "7", "V", "verified"] in [line.split() for line in said.out.splitlines()]
    (asked,) = gateway.gateway.asked
    assert (asked["op"], asked["args"]) == ("write", {"values": [{"series": "m/t", "value": 7}]})
    said = headgate("write", "m/t=7", thing="gw-1,gw-2")
    assert (said.code, said.err) == (2, "headgate: this writes to 2 gateways; add --yes if that is meant\n")
    said = headgate("jobs", "create", "write", "m/t=7", "--group", "all")
    assert (said.code, said.err) == (2, "headgate: this writes to group all; add --yes if that is meant\n")
    assert len(gateway.gateway.asked) == 1
    gateway.gateway.results["write"] = {"status": "failed", "code": "unknown", "detail": "m/t: no reply"}
    assert headgate("write", "m/t=7").code == 1


def test_which_gateway_is_asked_back(headgate: Operator) -> None:
    said = headgate("read", "m/v", thing="")
    assert said.code == 2
    assert said.err == "headgate: which gateway? Name it with --thing (there are gw-1, gw-2, gw-3)\n"


def test_history_as_csv(headgate: Operator, gateway: Running) -> None:
    gateway.gateway.results["query"] = {"result": HISTORY}
    said = headgate("query", "meter-a/voltage_l1", "--from", "-1h", "--csv")
    assert said.code == 0
    assert said.out.splitlines()[:2] == [
        "thing,time,series,value,unit,quality",
        "gw-1,2025-11-21T00:40:00.000+00:00,meter-a/voltage_l1,230.1,V,good",
    ]


def test_what_the_cloud_stored_is_read_from_the_archive(headgate: Operator, run: Path) -> None:
    facts = json.loads((run / "cloud.json").read_text())
    sqs_message = {"thing": "gw-1", "stream": "live", "codec": "json", "client": "gw-1"}
    now_ms = time.time_ns() // 1_000_000
    column = {"u": "V", "k": "f64", "d": 1, "r": 1, "t": 0, "last": 230.4, "v": [2301, 2, 1]}
    row = {"u": "V", "d": 1, "r": 1, "n": 3, "min": 230.1, "max": 230.4, "mean": 230.3, "std": 0.1}
    row |= {"first": 230.1, "last": 230.4}
    start_ms = now_ms - now_ms % 10_000 - 10_000
    head = {"v": 1, "stream": "live", "epoch": "8c0f3a5b77d01e42", "clock": "synced"}
    windows = [{"start": start_ms, "length_ms": 10_000, "rows": {"meter-a/voltage_l1": row}}]
    bodies = [
        {**head, "kind": "samples", "seq": 2, "times": [[now_ms - 5_000, 100, 100]],
         "columns": {"meter-a/voltage_l1": column, "meter-b/voltage_l1": column}},
        {**head, "kind": "windows", "seq": 3, "windows": windows},
        {**head, "kind": "windows", "seq": 4, "windows": [{**windows[0], "rev": 1}]},
    ]  # fmt: skip
    records = [
        {
            "messageId": str(i),
            "body": json.dumps(
                sqs_message
                | {"body": base64.b64encode(json.dumps(body).encode()).decode(), "received_ms": now_ms}
            ),
        }
        for i, body in enumerate(bodies)
    ]
    ingested(facts, records)
    said = headgate("archive", "gw-1", "--series", "meter-a/*", "--csv", "--from", "-1m", "--to", "now")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "series,t_ms,time,value,unit,quality"
    assert [line.split(",")[3] for line in lines[1:]] == ["230.1", "230.3", "230.4"]
    said = headgate("archive", "gw-1", "--windows", "--json", "--from", "-1m")
    assert [(found["start_ms"], found["correction"], found["mean"]) for found in said.lines()] == [
        (start_ms, 1, 230.3)
    ]
    said = headgate("archive", "gw-1", "--from", "-1m")
    assert "meter-b/voltage_l1" in said.out
    assert headgate("archive", "gw-none", "--json").out == ""
    assert headgate("archive", "gw-1", "--from", "yesterday").code == 2


def ingested(facts: dict[str, Any], records: list[dict[str, str]]) -> None:
    """Through the ingest handler, in a process of its own."""
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
        "import json, sys\n"
        "from headgate_cloud.ingest import handler\n"
        "answer = handler({'Records': json.load(sys.stdin)}, None)\n"
        "assert answer == {'batchItemFailures': []}, answer\n"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=ROOT, env=env, input=json.dumps(records), text=True, check=True, timeout=60)


def test_a_file_is_fetched_whole_and_checked(headgate: Operator, gateway: Running) -> None:
    data = os.urandom(7 * 1024**2)
    file_id = gateway.announce("logs", "today/a.log", data)
    wait_until_listed(headgate, file_id)
    said = headgate("files")
    assert f"{file_id}   logs/today/a.log   7.0 MiB" in said.out
    said = headgate("fetch", file_id)
    assert (said.code, said.out) == (0, "")
    assert "a.log: 7.0 MiB in" in said.err
    assert (headgate.folder / "a.log").read_bytes() == data
    said = headgate("fetch", file_id)
    assert said.code == 2
    assert "a.log exists; --force writes over it" in said.err
    (line,) = headgate("fetch", file_id, "-o", "b.log", "--json").lines()
    assert (line["state"], line["local_path"]) == ("complete", "b.log")
    assert len(gateway.gateway.asked) == 1  # the cloud has it; the gateway is not asked again


def test_a_result_too_large_comes_as_a_file(headgate: Operator, gateway: Running) -> None:
    whole = {
        "v": 1,
        "id": "x",
        "status": "ok",
        "code": "ok",
        "detail": "",
        "result": HISTORY,
        "file_id": None,
    }
    file_id = gateway.announce("replies", "x.json", json.dumps(whole).encode())
    wait_until_listed(headgate, file_id)
    gateway.gateway.results["query"] = {"result": None, "file_id": file_id}
    (line,) = headgate("query", "meter-a/voltage_l1", "--json").lines()
    assert line["reply"]["result"] == HISTORY


def test_a_job_from_create_to_its_replies(headgate: Operator, gateway: Running) -> None:
    gateway.gateway.results["read"] = {"result": {"values": [{**VALUE, "t": 1}]}}
    said = headgate("jobs", "create", "read", "meter-a/voltage_l1", "--id", "j-1", "--wait")
    assert said.code == 0, said.err
    assert "j-1  COMPLETED" in said.out
    assert "230.4 V" in said.out
    assert gateway.gateway.asked[0]["op"] == "read"
    (line,) = headgate("jobs", "show", "j-1", "--json").lines()
    assert (line["status"], line["details"]["code"]) == ("SUCCEEDED", "ok")
    assert line["reply"]["result"]["values"][0]["unit"] == "V"
    said = headgate("jobs", "create", "read", "m/v", "--id", "j-1")
    assert (said.code, said.err) == (2, "headgate: job j-1 exists already; headgate jobs show j-1\n")


def test_a_refused_job_and_one_that_is_taken_back(headgate: Operator, gateway: Running) -> None:
    said = headgate("jobs", "create", "list", "devices", "--id", "j-2", "--wait")
    assert said.code == 1
    assert "REJECTED" in said.out
    assert headgate("jobs", "create", "read", "m/v", "--id", "j-3", thing="gw-2,gw-3").code == 0
    assert headgate("jobs", "create", "read", "m/v", "--wait", "--timeout", "1s", thing="gw-3").code == 3
    assert headgate("jobs", "cancel", "j-3", "--json", thing="").lines() == [
        {"job": "j-3", "canceled": "all"}
    ]
    said = headgate("jobs", "cancel", "j-3", thing="gw-1")
    assert (said.code, said.err) == (2, "headgate: job j-3: gw-1 has no execution of job j-3\n")
    found = headgate("jobs", "show", "j-3", "--json", thing="").lines()
    assert {line["thing"]: line["status"] for line in found} == {"gw-2": "CANCELED", "gw-3": "CANCELED"}
    assert "j-3" in headgate("jobs", "list", "--limit", "5").out
    said = headgate("jobs", "show", "nothing")
    assert (said.code, said.err) == (2, "headgate: job nothing: there is no job nothing\n")
    said = headgate("jobs", "create", "read", "m/v", thing="stranger")
    assert (said.code, said.err) == (4, "headgate: the registry has no thing stranger\n")


def test_a_cloud_that_is_gone_is_named(run: Path, tmp_path: Path) -> None:
    facts = json.loads((run / "cloud.json").read_text())
    facts["broker"]["port"] = 1
    (tmp_path / "cloud.json").write_text(json.dumps(facts))
    said = Operator(tmp_path, tmp_path)("read", "m/v")
    assert said.code == 4
    assert said.err.startswith("headgate: no MQTT connection to 127.0.0.1:1: ")


def wait_until_listed(headgate: Operator, file_id: str) -> None:
    """The announcement goes through rule, queue and handler."""
    end = time.monotonic() + 30
    while file_id not in headgate("files", "--json").out:
        assert time.monotonic() < end
    assert control.ask(headgate.run, "counters")["counters"]["received"] > 0


def test_names_come_from_the_stack_of_an_account(run: Path, tmp_path: Path) -> None:
    """The AWS way as far as moto goes: session, stack, table. SigV4 MQTT has nothing here to connect to."""
    facts = json.loads((run / "cloud.json").read_text())
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": facts["aws_endpoint"],
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": "S"} for name in ("thing", "file_id")
            ],
            "KeySchema": [
                {"AttributeName": "thing", "KeyType": "HASH"},
                {"AttributeName": "file_id", "KeyType": "RANGE"},
            ],
        },
    }
    where = {"endpoint_url": facts["aws_endpoint"], "region_name": "eu-west-1"}
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    boto3.client("cloudformation", **where, **keys).create_stack(
        StackName="house", TemplateBody=json.dumps({"Resources": {"Files": table}})
    )

    def headgate(*words: str) -> Said:
        command = [str(ROOT / "bin" / "headgate"), "files", "--thing", "gw-1", *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        return Said(done.returncode, done.stdout, done.stderr)

    assert headgate("--region", "eu-west-1", "--stack", "house").out == "gw-1  no files announced\n"
    said = headgate("--region", "eu-west-1")
    assert said.code == 4
    assert said.err.startswith("headgate: stack headgate, Files: ")
    said = headgate()
    assert (said.code, said.err) == (
        2,
        "headgate: which region? Name it with --region, or in the profile\n",
    )
