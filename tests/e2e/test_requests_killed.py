"""What the cloud asks is done once, whatever is repeated or killed; what may not be is refused, audited."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.asked_gateway import REPOSITORY, Asked, asked_gateway, until

SMALL = ("--devices", "1", "--tags", "20", "--interval", "0.5")
SLOW = ("--devices", "1", "--tags", "20", "--interval", "3", "--delay", "0.6")
DEVICE = "meter-001"
ESCAPES = ("../b", "a/../../b", "/etc/shadow", "a//b", "./a", "C:b", "a\\..\\b")


@pytest.fixture(scope="session", autouse=True)
def build() -> None:
    subprocess.run([sys.executable, "-m", "devtools", "build"], cwd=REPOSITORY, check=True)


def request(request_id: str, address: int, **changes: Any) -> bytes:
    registers = [{"device": DEVICE, "table": "holding", "address": address, "count": 2}]
    deadline_ms = time.time_ns() // 1_000_000 + 60_000
    body = {"v": 1, "id": request_id, "op": "read", "args": {"registers": registers}}
    return json.dumps({**body, "deadline_ms": deadline_ms, **changes}).encode()


def register(address: int) -> list[str]:
    return ["--register", f"{DEVICE}:holding:{address}:2"]


async def job(asked: Asked, job_id: str) -> dict[str, Any]:
    """The job on this gateway, once it has ended and its reply is in."""
    found: dict[str, Any] = {}
    for _ in range(100):
        told = await asked.operator("jobs", "show", job_id)
        (found,) = (dict(record) for record in told.records)
        if found["status"] not in ("QUEUED", "IN_PROGRESS") and found["reply"]:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"the job has not ended: {found}")


async def test_a_direct_request_repeated_after_a_crash_gets_the_same_reply(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, *SMALL) as asked:
        payload = request("r-1", 5)
        first = await asked.ask(payload)
        assert json.loads(first)["status"] == "ok"
        await asked.kill_hub()
        assert await asked.ask(payload) == first
        assert asked.reads(5) == 1
        other = json.loads(await asked.ask(request("r-1", 7)))
        assert (other["status"], other["code"]) == ("refused", "id_reused")
        assert asked.reads(7) == 0
        assert asked.audit()["r-1", "read", "ok"] == 1


async def test_a_hub_killed_within_a_request_answers_it_when_it_comes_again(tmp_path: Path) -> None:
    """A read may be repeated: the device is asked at most once more, and then never again."""
    async with asked_gateway(tmp_path, *SLOW) as asked:
        payload = request("r-1", 5)
        await asked.publish(f"hg/v1/{asked.thing}/dn/req/read", payload)
        await asyncio.sleep(0.3)  # the device takes its time: the read is under way
        assert json.loads(asked.replies[-1])["id"] != "r-1"
        await asked.kill_hub()
        first = await asked.ask(payload)
        assert json.loads(first)["status"] == "ok"
        reads = asked.reads(5)
        assert reads in (1, 2)
        assert await asked.ask(payload) == first
        assert asked.reads(5) == reads
        assert asked.audit() == {("r-1", "read", "ok"): 1}


async def test_a_job_ends_once_though_its_hub_is_killed_and_it_is_delivered_twice(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, *SLOW) as asked:
        await asked.operator("jobs", "create", "read", *register(5), "--id", "job-1")
        await until("the job's begin", lambda: (asked.gateway.run.state / "state.db").exists())
        await asyncio.sleep(0.3)
        await asked.kill_hub()
        ended = await job(asked, "job-1")
        assert (ended["status"], ended["reply"]["code"]) == ("SUCCEEDED", "ok")
        reads = asked.reads(5)
        assert reads in (1, 2)
        now_s = time.time_ns() // 1_000_000_000
        execution = {
            "jobId": "job-1",
            "status": "QUEUED",
            "queuedAt": now_s,
            "lastUpdatedAt": now_s,
            "versionNumber": 1,
            "executionNumber": 1,
            "jobDocument": {"headgate": json.loads(request("-", 5))},
        }
        again = json.dumps({"timestamp": now_s, "execution": execution}).encode()
        for _ in range(2):
            await asked.publish(f"$aws/things/{asked.thing}/jobs/notify-next", again)
        # What comes after has been dealt with, so what came before it has.
        await asked.operator("jobs", "create", "read", *register(9), "--id", "job-2")
        assert (await job(asked, "job-2"))["status"] == "SUCCEEDED"
        assert await job(asked, "job-1") == ended
        assert asked.reads(5) == reads
        lines = asked.audit()
        assert (lines["job-1", "read", "ok"], lines["job-2", "read", "ok"]) == (1, 1)


async def test_a_job_of_ours_is_done_behind_one_of_somebody_elses(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, *SMALL) as asked:
        iot = asked.iot()
        things = [iot.describe_thing(thingName=asked.thing)["thingArn"]]
        iot.create_job(jobId="theirs", targets=things, document=json.dumps({"operation": "reboot"}))
        await asked.operator("jobs", "create", "read", *register(5), "--id", "ours")
        assert (await job(asked, "ours"))["status"] == "SUCCEEDED"
        told = await asked.operator("jobs", "show", "theirs")
        assert [record["status"] for record in told.records] == ["QUEUED"]


async def test_a_write_is_done_once_and_read_back_by_whoever_asks(tmp_path: Path) -> None:
    """By the operator's command, by a direct request that comes twice, and by a job."""
    async with asked_gateway(tmp_path, writes=True) as asked:
        told = await asked.operator("write", "boiler/setpoint=21.5", "boiler/pump=true")
        rows = told.records[0]["reply"]["result"]["writes"]
        assert [(row["old"], row["value"], row["outcome"]) for row in rows] == [
            (0.0, 21.5, "verified"),
            (False, True, "verified"),
        ]
        values = {"values": [{"series": "boiler/hold_until", "value": 70_000}]}
        payload = request("w-1", 0, op="write", args=values)
        first = await asked.ask(payload, topic="dn/req/write")
        assert await asked.ask(payload, topic="dn/req/write") == first
        await asked.operator("jobs", "create", "write", "boiler/away=true", "--id", "w-2")
        ended = await job(asked, "w-2")
        assert (ended["status"], ended["reply"]["result"]["writes"][0]["outcome"]) == (
            "SUCCEEDED",
            "verified",
        )
        told = await asked.operator("read", "boiler/setpoint", "boiler/pump")
        assert [row["value"] for row in told.records[0]["reply"]["result"]["values"]] == [21.5, True]
        told = await asked.operator("write", "boiler/setpoint=99", "boiler/vent=true")
        assert told.records[0]["reply"]["code"] == "out_of_range"
        expected = [(6, 200, [215]), (5, 0, [1]), (16, 204, [1, 4464]), (22, 206, [8])]
        assert asked.writes() == expected
        lines = asked.audit()
        assert (lines["w-1", "write", "started"], lines["w-1", "write", "ok"]) == (1, 1)


async def test_a_hub_killed_within_a_write_never_writes_again_and_says_what_it_does_not_know(
    tmp_path: Path,
) -> None:
    async with asked_gateway(tmp_path, "--delay", "0.6", writes=True) as asked:
        # Four values, each of them three slow transactions: the hub is gone before the last.
        wanted = {"setpoint": 30, "night_setpoint": 16, "pump": True, "vent": True}
        rows = [{"series": f"boiler/{name}", "value": value} for name, value in wanted.items()]
        payload = request("w-1", 0, op="write", args={"values": rows})
        await asked.publish(f"hg/v1/{asked.thing}/dn/req/write", payload)
        await until("the first write", lambda: len(asked.writes()) == 1)
        await asked.kill_hub()
        reply = json.loads(await asked.ask(payload, topic="dn/req/write"))
        assert (reply["status"], reply["code"]) == ("failed", "internal")
        assert "whether it was done is not known" in reply["detail"]
        # The bridge, which was not killed, ends what it had begun.
        every = [(6, 200, [300]), (6, 201, [160]), (5, 0, [1]), (5, 1, [1])]
        await until("the end of the write", lambda: len(asked.writes()) >= len(every))
        await asyncio.sleep(2)
        assert asked.writes() == every
        assert json.loads(await asked.ask(payload, topic="dn/req/write")) == reply
        assert asked.audit() == {("w-1", "write", "started"): 1, ("w-1", "write", "internal"): 1}


async def test_what_may_not_be_asked_is_refused_and_audited(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, *SMALL) as asked:
        now_ms = time.time_ns() // 1_000_000
        cases = [
            (request("w-1", 5, op="write"), "dn/req/write", "writes_off"),
            (request("w-2", 5, op="write"), "dn/req/read", "bad_request"),
            (request("w-3", 5), "dn/req/write", "bad_request"),
            (request("e-1", 5, deadline_ms=now_ms - 1_000), "dn/req/read", "expired"),
            (request("u-1", 5, op="format_disk"), "dn/req/read", "unknown_op"),
            (request("o-1", 5, padding="x" * 4_000), "dn/req/read", "bad_request"),
            (request("d-1", 5, args={"series": ["nobody/x"]}), "dn/req/read", "unknown_device"),
            *(
                (
                    request(f"p-{number}", 5, op="fetch", args={"source": "logs", "path": path}),
                    "dn/req/read",
                    "outside_roots",
                )
                for number, path in enumerate(ESCAPES)
            ),
        ]
        for payload, topic, code in cases:
            reply = json.loads(await asked.ask(payload, topic=topic))
            assert (reply["code"], reply["result"]) == (code, None), reply
        # Another gateway's topic, and what is no request at all, bring no reply; the gateway goes on.
        await asked.publish("hg/v1/gw-other/dn/req/read", request("f-1", 5))
        await asked.publish(f"hg/v1/{asked.thing}/dn/req/read", b"\x00" * 100_000)
        assert json.loads(await asked.ask(request("r-9", 9)))["status"] == "ok"
        assert asked.reads(5) == 0
        lines = asked.audit()
        codes = {request_id: code for request_id, _, code in lines}
        assert codes.keys() >= {"w-1", "w-2", "w-3", "e-1", "u-1", "o-1", "d-1", "p-0", "p-6", "r-9"}
        assert "f-1" not in codes
        assert max(lines.values()) == 1
