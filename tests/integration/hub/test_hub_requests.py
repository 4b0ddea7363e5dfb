"""What the cloud asks of a whole hub, between scripted bridge, courier, cloud and Jobs service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import Reject, Retry
from headgate.model import Frame
from tests.support.asked_hub import a_world


async def test_a_read_goes_to_the_bridge_in_parts_and_comes_back_whole(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        names = [f"meter-a/{'x' * 50}{i}" for i in range(60)]
        registers = [{"device": "meter-a", "table": "holding", "address": i, "count": 100} for i in range(8)]
        reply = await world.ask("r1", "read", args={"series": names[:20], "registers": registers[:1]})
        assert [value["series"] for value in reply["result"]["values"]] == names[:20]
        assert len(world.calls) == 1
        large = await world.ask("r2", "read", args={"series": names, "registers": registers})
        assert len(world.calls) > 3
        whole = json.loads((tmp_path / "spool/replies/r2.json").read_text())
        assert [value["series"] for value in whole["result"]["values"]] == names
        assert [found["address"] for found in whole["result"]["registers"]] == list(range(8))
        await world.cloud.until(lambda: bool(world.reports("file")))
        assert world.reports("file")[0]["file_id"] == large["file_id"]


async def test_a_bridge_that_is_away_or_refuses_is_told(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():

        async def away(request: dict[str, Any]) -> dict[str, Any]:
            raise Retry("not now")

        async def other(request: dict[str, Any]) -> dict[str, Any]:
            raise Reject("no")

        async def unknown(request: dict[str, Any]) -> dict[str, Any]:
            return {"status": "refused", "code": "unknown_series", "detail": "there is no meter-a/x"}

        expected = [
            (away, "failed", "offline"),
            (other, "failed", "internal"),
            (unknown, "refused", "unknown_series"),
        ]
        for i, (call, status, code) in enumerate(expected):
            world.on_call = call
            reply = await world.ask(f"r{i}", "read", args={"series": ["meter-a/x"]})
            assert (reply["status"], reply["code"]) == (status, code)
        reply = await world.ask("r9", "read", args={"series": ["nobody/x"]})
        assert (reply["status"], reply["code"]) == ("refused", "unknown_device")


async def test_history_comes_back_equal_to_what_was_sent(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        start_ms = world.clock.boot_ms() - 1_000
        offset_ms = world.clock.utc_ms() - world.clock.boot_ms()
        frames = [Frame(start_ms + 10 * i, (0, 1), (i / 10, i + 0.5), (0, i % 2)) for i in range(50)]
        await world.bridge.send(frames)
        await world.bridge.until_acked()
        args = {"series": ["meter-a/t0", "meter-a/t1"], "from": 0, "to": world.clock.utc_ms() + 1_000}
        first = start_ms + offset_ms
        for request_id, extra in (("q1", {}), ("q2", {"newest_first": True, "limit": 20})):
            reply = await world.ask(request_id, "query", args={**args, **extra})
            assert reply["status"] == "ok", reply
            column = reply["result"]["columns"]["meter-a/t0"]
            times = _summed(reply["result"]["times"][column["t"]])
            values = [n / 10 for n in _summed(column["v"])]
            wanted = list(range(50)) if not extra else list(range(49, 39, -1))
            assert abs(times[0] - (first + 10 * wanted[0])) <= 2
            assert [round((t - times[0]) / 10) for t in times] == [i - wanted[0] for i in wanted]
            assert values == [i / 10 for i in wanted]
            assert column["last"] == 4.9
            assert reply["result"]["more"] is bool(extra)
        assert (await world.ask("q3", "query", args={**args, "series": ["meter-a/no"]}))[
            "code"
        ] == "unknown_series"


async def test_lists_of_devices_series_and_files(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        await world.bridge.send([Frame(world.clock.boot_ms(), (0, 1), (1.0, 2.0))])
        await world.bridge.until_acked()
        (device,) = (await world.ask("l1", "list", args={"what": "devices"}))["result"]["devices"]
        assert (device["device"], device["source"], device["state"]) == ("meter-a", "modbus", "ok")
        assert abs(device["last_ms"] - world.clock.utc_ms()) < 10_000
        series = (await world.ask("l2", "list", args={"what": "series"}))["result"]["series"]
        assert series[0] == {"series": "meter-a/t0", "unit": "V", "kind": "f64", "decimals": 1, "revision": 1}

        async def pages(request: dict[str, Any]) -> dict[str, Any]:
            after = request["args"].get("after")
            return {"result": {"files": [after], "next": "p2"} if after is None else {"files": [after]}}

        world.on_call = pages
        assert (await world.ask("l3", "list", args={"what": "files"}))["result"] == {"files": [None, "p2"]}


async def test_fetch_waits_for_jobs_only(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():

        async def started(request: dict[str, Any]) -> dict[str, Any]:
            code = "ok" if request["args"]["wait"] else "started"
            return {"code": code, "result": {"file_id": "x", "upload": "y"}}

        world.on_call = started
        assert (await world.ask("f1", "fetch", args={"file_id": "0" * 32}))["code"] == "started"
        deadline_ms = world.clock.utc_ms() + 20_000
        world.jobs.create("job-f", op="fetch", args={"source": "s", "path": "p"}, deadline_ms=deadline_ms)
        assert (await world.jobs.until("job-f"))["statusDetails"]["code"] == "ok"
        assert [call["args"]["wait"] for call in world.calls] == [False, True]


async def test_a_job_waits_for_an_upload_through_the_courier_s_restart(tmp_path: Path) -> None:
    """The courier answers at once; the hub asks after the upload when there is word."""
    file_id = "0" * 32
    async with a_world(tmp_path) as world, world.hub():
        asked: list[str] = []

        async def courier(request: dict[str, Any]) -> dict[str, Any]:
            asked.append(request["op"])
            result = {"file_id": file_id, "upload": "u-1", "state": "uploading"}
            if len(asked) == 2:
                raise Retry("it restarts")
            if len(asked) < 4:
                return {"code": "started", "result": result}
            return {"status": "failed", "code": "changed", "detail": "it changed", "result": result}

        world.on_call = courier
        deadline_ms = world.clock.utc_ms() + 20_000
        world.jobs.create("job-w", op="fetch", args={"file_id": file_id}, deadline_ms=deadline_ms)
        ending = asyncio.create_task(world.jobs.until("job-w"))
        async with asyncio.timeout(20):
            while not ending.done():
                for news in (b"{}", b"[]", json.dumps({"file_id": file_id, "state": "x"}).encode()):
                    await world.bus.publish("hg/v1/local/file", news)
                await asyncio.sleep(0.02)
        assert (await ending)["statusDetails"] == {"code": "changed", "detail": "it changed"}
        assert asked == ["fetch", "status", "status", "status"]
        await world.cloud.until(lambda: bool(world.reports("reply")))
        assert world.reports("reply")[0]["reply"]["result"] == {"file_id": file_id, "upload": "u-1"}


async def test_paths_and_topics_that_escape_oversize_and_late_ones_are_refused_and_audited(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world, world.hub():
        cases: list[tuple[str, str, str, dict[str, Any], str]] = [
            ("a", "write", "write", {}, "writes_off"),
            ("b", "write", "read", {}, "bad_request"),
            ("c", "read", "write", {"args": {"series": ["meter-a/t0"]}}, "bad_request"),
            ("d", "dance", "read", {}, "unknown_op"),
            ("e", "read", "read", {"args": {"series": ["../hub/x"]}}, "bad_request"),
            ("f", "read", "read", {"args": {"series": ["meter-a/../../x"]}}, "bad_request"),
            ("g", "read", "read", {"args": {"series": ["#/+"]}}, "bad_request"),
            ("h", "read", "read", {"args": {"series": ["meter-a/t0"]}, "deadline_ms": 1}, "expired"),
            ("i", "read", "read", {"args": {"series": ["meter-a/t0"] * 500}}, "bad_request"),
            ("j", "query", "read", {"args": {"series": ["meter-a/t0"], "from": 2, "to": 1}}, "bad_request"),
            ("k", "fetch", "read", {"args": {"path": "/etc/passwd"}}, "bad_request"),
            ("l", "list", "read", {"args": {"what": "everything"}}, "bad_request"),
        ]
        for request_id, op, topic, changes, code in cases:
            reply = await world.ask(request_id, op, topic, **changes)
            assert reply["code"] == code, reply
            assert reply["result"] is None
        world.send("../../x", "read")
        world.route(b"\xff")
        assert (await world.ask("end", "list", args={"what": "devices"}))["status"] == "ok"
        assert not world.calls
        lines = world.audit()
        assert [(line["id"], line["code"]) for line in lines if line["id"] not in ("", "end")] == [
            (case[0], case[4]) for case in cases
        ]
        assert [line["code"] for line in lines if not line["id"]] == ["bad_request"] * 2
        assert not list((tmp_path / "spool" / "replies").iterdir())


async def test_a_job_delivered_twice_is_done_once(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        world.jobs.create(
            "job-1", op="read", args={"series": ["meter-a/t0"]}, deadline_ms=world.clock.utc_ms() + 20_000
        )
        ended = await world.jobs.until("job-1")
        assert (ended["status"], ended["statusDetails"]) == ("SUCCEEDED", {"code": "ok"})
        ended["status"] = "IN_PROGRESS"  # as if the last update had been lost
        world.jobs._told = None
        world.jobs.notify()
        await world.jobs.until("job-1")
        assert len(world.calls) == 1
        await world.cloud.until(lambda: bool(world.reports("reply")))
        (report,) = world.reports("reply")
        assert report["reply"]["result"]["values"][0]["value"] == 1.5
        assert [line["id"] for line in world.audit()] == ["job-1"]


async def test_a_job_found_in_progress_after_a_restart_is_continued(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        begun = asyncio.Event()

        async def hang(request: dict[str, Any]) -> dict[str, Any]:
            begun.set()
            await asyncio.sleep(60)
            return {}

        world.on_call = hang
        async with world.hub():
            world.jobs.create(
                "job-1", op="read", args={"series": ["meter-a/t0"]}, deadline_ms=world.clock.utc_ms() + 20_000
            )
            await begun.wait()
        assert world.jobs.executions["job-1"]["status"] == "IN_PROGRESS"
    async with a_world(tmp_path) as again:
        again.jobs.executions = world.jobs.executions
        async with again.hub():
            assert (await again.jobs.until("job-1"))["status"] == "SUCCEEDED"
            assert len(again.calls) == 1


async def test_a_job_cancelled_while_it_is_done_ends_the_work_and_the_next_one_comes(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        begun, forever = asyncio.Event(), asyncio.Event()

        async def hang(request: dict[str, Any]) -> dict[str, Any]:
            begun.set()
            await forever.wait()
            return {}

        world.on_call = hang
        deadline_ms = world.clock.utc_ms() + 20_000
        world.jobs.create("job-1", op="read", args={"series": ["meter-a/t0"]}, deadline_ms=deadline_ms)
        await begun.wait()
        world.jobs.create("job-2", op="list", args={"what": "devices"}, deadline_ms=deadline_ms)
        world.jobs.cancel("job-1")
        assert (await world.jobs.until("job-2"))["status"] == "SUCCEEDED"
        forever.set()
        async with asyncio.timeout(10):
            while {line["id"]: line["code"] for line in world.audit()} != {
                "job-1": "cancelled",
                "job-2": "ok",
            }:
                await asyncio.sleep(0.01)


async def test_a_job_that_is_refused_or_unreadable_is_rejected_and_a_foreign_one_left(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        deadline_ms = world.clock.utc_ms() + 20_000
        world.jobs.create("w", op="write", args={}, deadline_ms=deadline_ms)
        assert (await world.jobs.until("w"))["statusDetails"]["code"] == "writes_off"
        world.jobs.create("bad", op="read", args=[], deadline_ms="soon")
        ended = await world.jobs.until("bad")
        assert (ended["status"], ended["statusDetails"]["code"]) == ("REJECTED", "bad_request")
        world.jobs.create("late", op="read", args={"series": ["meter-a/t0"]}, deadline_ms=1)
        ended = await world.jobs.until("late")
        assert (ended["status"], ended["statusDetails"]["code"]) == ("FAILED", "expired")
        await world.cloud.until(lambda: len(world.reports("reply")) == 3)
        world.jobs.executions["other"] = {
            "jobId": "other",
            "status": "QUEUED",
            "versionNumber": 1,
            "jobDocument": {"operation": "reboot"},
        }
        world.jobs.notify()
        assert (await world.ask("l1", "list", args={"what": "devices"}))["status"] == "ok"
        assert world.jobs.executions["other"]["status"] == "QUEUED"


async def test_a_request_repeated_after_a_restart_gets_the_same_reply(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        payload = json.dumps(
            {
                "v": 1,
                "id": "r1",
                "op": "read",
                "args": {"series": ["meter-a/t0"]},
                "deadline_ms": world.clock.utc_ms() + 20_000,
            }
        ).encode()
        async with world.hub():
            world.route(payload)
            first = await world.reply("r1")
        async with world.hub():
            world.route(payload)
            assert await world.reply("r1", 1) == first
        assert len(world.calls) == 1


async def test_a_reply_waits_for_the_cloud(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        world.send("r1", "list", args={"what": "devices"})
        await asyncio.sleep(0)
        world.bus.cloud_online = False
        async with asyncio.timeout(10):
            while not world.audit():
                await asyncio.sleep(0.01)
        assert not world.replies
        world.bus.cloud_online = True
        assert (await world.reply("r1"))["status"] == "ok"


async def test_reports_of_other_roles_reach_the_cloud_and_others_are_refused(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        report = {"type": "file", "file_id": "0" * 32, "source": "s", "path": "p", "size": 5, "mtime_ms": 6}

        async def tell(payload: bytes) -> bytes:
            return await world.bus.request("hg/v1/local/report", payload, timeout_s=10)

        assert json.loads(await tell(json.dumps(report).encode())) == {"ok": True}
        await world.cloud.until(lambda: bool(world.reports("file")))
        assert world.reports("file") == [report]
        for payload in (
            b"7",
            b'{"type": "file"}',
            b'{"type": "x"}',
            json.dumps({**report, "path": "x" * 6_000}).encode(),
        ):
            with pytest.raises(Reject):
                await tell(payload)


def _summed(numbers: list[int]) -> list[int]:
    total, found = 0, []
    for number in numbers:
        total += number
        found.append(total)
    return found


async def test_what_was_used_is_told_by_day_and_kind(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        await world.ask("r1", "list", args={"what": "devices"})
        reply = await world.ask("r2", "list", args={"what": "usage"})
        lines = {(line["way"], line["kind"]): line for line in reply["result"]["usage"]}
        assert lines["up", "reply"]["messages"] >= 1
        assert lines["down", "request"]["messages"] >= 2
        assert lines["down", "request"]["usd"] == pytest.approx(1e-6 * lines["down", "request"]["units"])
        assert len(lines["up", "reply"]["day"]) == len("2026-01-31")
