"""The desk: once only, in time, bounded, audited."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest

from headgate.driver import Reply, Request
from headgate.requests.desk import DeskTuning
from headgate.requests.ledger import KEEP_MS
from headgate.requests.model import MAX_REPLY_BYTES, parse_direct
from tests.support.desk_world import a_desk, wire


async def test_the_same_request_is_carried_out_once_and_gets_its_reply_again(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        payload = wire(world.clock, args={"a": 1})
        first, second = await world.ask(payload), await world.ask(payload)
        assert first == second
        assert first.result == {"n": 1, "args": {"a": 1}}
        assert len(world.done) == 1
        assert [line["id"] for line in world.audit()] == ["r1"]
    async with a_desk(tmp_path) as world:
        assert await world.ask(payload) == first
        assert not world.done


async def test_repeated_while_under_way_both_get_the_one_reply(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        payload = wire(world.clock, op="slow")
        answers = [world.ask(payload), world.ask(payload)]
        world.release.set()
        first, second = await asyncio.gather(*answers)
        assert first == second
        assert len(world.done) == 1


@pytest.mark.parametrize("under_way", [True, False])
async def test_other_content_under_a_known_id_is_refused(tmp_path: Path, under_way: bool) -> None:
    async with a_desk(tmp_path) as world:
        first = world.ask(wire(world.clock, op="slow"))
        if not under_way:
            world.release.set()
            await first
        reply = await world.ask(wire(world.clock, op="slow", args={"other": 1}))
        assert (reply.status, reply.code) == ("refused", "id_reused")
        world.release.set()
        assert (await first).status == "ok"
        assert len(world.done) == 1


async def test_an_id_is_forgotten_after_deadline_and_ten_minutes(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        await world.ask(wire(world.clock, args={"a": 1}))
        await world.clock.advance(KEEP_MS + 1)
        reply = await world.ask(wire(world.clock, args={"a": 2}))
        assert reply.status == "ok"
        assert len(world.done) == 2


async def test_an_expired_request_is_not_carried_out_but_audited(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        reply = await world.ask(wire(world.clock, deadline_ms=world.clock.utc_ms()))
        assert (reply.status, reply.code) == ("expired", "expired")
        assert not world.done
        (line,) = world.audit()
        assert (line["status"], line["op"], line["carrier"]) == ("expired", "read", "direct")


async def test_a_known_reply_is_given_again_after_its_deadline(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        payload = wire(world.clock)
        first = await world.ask(payload)
        await world.clock.advance(70_000)
        assert await world.ask(payload) == first


async def test_work_ends_at_its_deadline(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        answer = world.ask(wire(world.clock, op="slow", deadline_ms=world.clock.utc_ms() + 1_000))
        while not world.clock._sleepers:
            await asyncio.sleep(0.001)
        await world.clock.advance(1_000)
        reply = await answer
        assert (reply.status, reply.code) == ("failed", "timeout")
        assert [line["ms"] for line in world.audit()] == [1_000]


@pytest.mark.parametrize(
    ("op", "ahead_ms", "code"),
    [("write", 1_000, "writes_off"), ("dance", 1_000, "unknown_op"), ("read", 1 << 45, "bad_request")],
)
async def test_what_is_never_done_is_refused_and_audited(
    tmp_path: Path, op: str, ahead_ms: int, code: str
) -> None:
    async with a_desk(tmp_path) as world:
        reply = await world.ask(wire(world.clock, op=op, deadline_ms=world.clock.utc_ms() + ahead_ms))
        assert (reply.status, reply.code) == ("refused", code)
        assert [line["code"] for line in world.audit()] == [code]
        assert world.store.state.requests.count() == 0


async def test_more_than_fits_is_refused_and_stays_so(tmp_path: Path) -> None:
    async with a_desk(tmp_path, tuning=DeskTuning(workers=1, waiting=2)) as world:
        payloads = [wire(world.clock, f"r{i}", "slow") for i in range(6)]
        answers = [world.ask(payload) for payload in payloads]
        refused = await asyncio.gather(*answers[2:])
        assert {reply.code for reply in refused} == {"too_many"}
        world.release.set()
        assert {reply.status for reply in await asyncio.gather(*answers[:2])} == {"ok"}
        assert (await world.ask(payloads[5])).code == "too_many"
        assert len(world.done) == 2


async def test_ids_are_bounded(tmp_path: Path) -> None:
    async with a_desk(tmp_path, max_requests=2) as world:
        replies = [await world.ask(wire(world.clock, f"r{i}")) for i in range(3)]
        assert [reply.code for reply in replies] == ["ok", "ok", "too_many"]
        job = await world.ask_job("j1")
        assert job.code == "too_many"
        assert [report["reply"]["id"] for report in world.reports()] == ["j1"]


async def test_what_was_started_before_a_crash_is_read_again_or_answered_interrupted(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        again, once = wire(world.clock, "again"), wire(world.clock, "once", "effect")
        for payload in (again, once):
            await world.writer.call(world.ledger.open, parse_direct(payload), world.clock.utc_ms())
    async with a_desk(tmp_path) as world:
        reply = await world.ask(once)
        assert (reply.status, reply.code) == ("failed", "internal")
        assert "interrupted" in reply.detail
        assert (await world.ask(again)).status == "ok"
        assert [request.id for request in world.done] == ["again"]


async def test_a_jobs_reply_is_reported_once_with_the_same_transaction(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        first, second = await world.ask_job("j1"), await world.ask_job("j1")
        assert first == second
        (report,) = world.reports()
        assert (report["type"], report["carrier"]) == ("reply", "job")
        assert report["reply"]["result"] == {"n": 1, "args": {}}
        assert [item.envelope.id.stream for item in world.offered] == ["reports"]
        refused = [await world.ask_job("j2", op="write") for _ in range(2)]
        assert {reply.code for reply in refused} == {"writes_off"}
        assert [report["reply"]["id"] for report in world.reports()] == ["j1", "j2"]
        assert [line["id"] for line in world.audit()] == ["j1", "j2"]


async def test_what_is_barred_now_is_not_remembered_as_refused(tmp_path: Path) -> None:
    """A write refused because writes are off is carried out when they are on and it is sent again."""
    async with a_desk(tmp_path) as world:
        payload = wire(world.clock, "w", "write")
        assert (await world.ask(payload)).code == "writes_off"
        world.barred = None
        reply = await world.ask(payload)
        assert (reply.status, len(world.done)) == ("ok", 1)


async def test_what_must_not_be_done_twice_is_audited_before_it_is_done(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        seen: list[list[str]] = []
        world.on_effect = lambda request_id: seen.append([line["code"] for line in world.audit()])
        assert (await world.ask(wire(world.clock, "e", "effect", args={"value": 7}))).status == "ok"
        assert seen == [["started"]]
        begun, done = world.audit()
        assert begun["args"] == done["args"] == {"value": 7}
        assert done["code"] == "ok"


async def test_what_must_not_be_done_twice_and_ran_out_of_time_may_be_done(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        world.hold_effects = True
        payload = wire(world.clock, "e", "effect", deadline_ms=world.clock.utc_ms() + 1_000)
        answer = world.ask(payload)
        while not world.clock._sleepers:
            await asyncio.sleep(0.001)
        await world.clock.advance(1_000)
        reply = await answer
        assert (reply.status, reply.code) == ("failed", "timeout")
        assert "whether it was done is not known" in reply.detail
        assert await world.ask(payload) == reply


async def test_what_must_not_be_done_twice_has_its_args_with_it(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        where = {"args_uri": "https://h/x", "args_sha256": "0" * 64, "args": None}
        reply = await world.ask(wire(world.clock, "e", "effect", **where))
        assert (reply.status, reply.code) == ("refused", "bad_request")
        assert not world.done


@pytest.mark.parametrize("carrier", ["direct", "job"])
async def test_a_large_reply_goes_as_a_file(tmp_path: Path, carrier: str) -> None:
    async with a_desk(tmp_path) as world:
        if carrier == "job":
            reply = await world.ask_job("big-1", op="big")
        else:
            reply = await world.ask(wire(world.clock, "big-1", "big"))
        assert reply.result is None
        path = world.root.replies / "big-1.json"
        assert json.loads(path.read_text())["result"] == {"text": "x" * 20_000}
        stat = path.stat()
        text = f"replies\0big-1.json\0{stat.st_size}\0{stat.st_mtime_ns}"
        assert reply.file_id == hashlib.sha256(text.encode()).hexdigest()[:32]
        reports = {report["type"]: report for report in world.reports()}
        assert reports["file"] == {
            "type": "file",
            "file_id": reply.file_id,
            "source": "replies",
            "path": "big-1.json",
            "size": os.path.getsize(path),  # noqa: PTH202
            "mtime_ms": stat.st_mtime_ns // 1_000_000,
        }
        assert ("reply" in reports) is (carrier == "job")


async def test_a_direct_reply_is_a_file_only_past_its_limit(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        fits = await world.ask(wire(world.clock, "a", "big", args={"size": MAX_REPLY_BYTES - 200}))
        assert fits.file_id is None
        assert (await world.ask(wire(world.clock, "b", "big", args={"size": MAX_REPLY_BYTES}))).file_id


async def test_arguments_are_fetched_and_audited(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        world.args = {"series": ["a/b"]}
        claim = wire(world.clock, args=None, args_uri="https://x/y?secret", args_sha256="0" * 64)
        reply = await world.ask(claim)
        assert reply.result == {"n": 1, "args": {"series": ["a/b"]}}
        (line,) = world.audit()
        assert line["args"] == {"series": ["a/b"]}
        assert "secret" not in json.dumps(line)


async def test_long_arguments_are_cut_in_the_audit(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        await world.ask(wire(world.clock, args={"series": ["a/b"] * 400}))
        (line,) = world.audit()
        assert len(line["args"]) == 1_000


async def test_a_cancelled_job_ends_and_is_audited(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        answer = world.ask_job("j1", op="slow")
        while world.desk._under["j1"].work is None:
            await asyncio.sleep(0.001)
        world.desk.cancel("j1", "the job was taken back")
        reply = await answer
        assert (reply.status, reply.code) == ("failed", "cancelled")
        assert [line["code"] for line in world.audit()] == ["cancelled"]


async def test_what_cannot_be_read_is_audited_as_far_as_it_can(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as world:
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        refused = Reply("", "refused", "bad_request", "no request")
        world.desk.refuse(Request("", 1, "", {}, 0, "direct"), "0", refused, answer.set_result)
        assert await answer == refused
        assert [line["detail"] for line in world.audit()] == ["no request"]
