"""Writes through a whole hub: off by default, once, audited before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headgate.errors import Reject, Retry
from tests.support.asked_hub import World, a_world

ARGS = {"values": [{"series": "meter-a/t0", "value": 7}]}
ROW = {"series": "meter-a/t0", "value": 7, "unit": "V", "old": 3, "outcome": "verified", "t": 1}


async def written(request: dict[str, Any]) -> dict[str, Any]:
    """What a bridge says of a write that went well."""
    return {"result": {"writes": [ROW]}}


def audited(world: World, request_id: str) -> list[tuple[str, str]]:
    return [(line["status"], line["code"]) for line in world.audit() if line["id"] == request_id]


@pytest.mark.parametrize("site", [{}, {"requests": {}}, {"requests": {"writes": False}}])
async def test_nothing_is_written_where_the_site_document_does_not_say_so(
    tmp_path: Path, site: dict[str, Any]
) -> None:
    async with a_world(tmp_path, **site) as world, world.hub():
        world.on_call = written
        reply = await world.ask("w", "write", "write", args=ARGS)
        assert (reply["status"], reply["code"]) == ("refused", "writes_off")
        assert "requests: {writes: true}" in reply["detail"]
        assert not world.calls
        assert audited(world, "w") == [("refused", "writes_off")]


async def test_a_write_goes_to_its_bridge_once_and_its_values_are_audited(tmp_path: Path) -> None:
    async with a_world(tmp_path, requests={"writes": True}) as world, world.hub():
        world.on_call = written
        same = {"args": ARGS, "deadline_ms": world.clock.utc_ms() + 20_000}
        first = await world.ask("w", "write", "write", **same)
        assert (first["status"], first["result"]) == ("ok", {"writes": [ROW]})
        again = await world.ask("w", "write", "write", **same)
        assert again == first
        (call,) = world.calls
        assert (call["op"], call["args"], call["carrier"]) == ("write", ARGS, "direct")
        begun, done = (line for line in world.audit() if line["id"] == "w")
        assert (begun["code"], begun["args"]) == ("started", ARGS)
        assert (done["code"], done["args"], done["result"]) == ("ok", ARGS, {"writes": [ROW]})


async def test_a_job_writes_too_and_is_told_by_its_code(tmp_path: Path) -> None:
    async with a_world(tmp_path, requests={"writes": True}) as world, world.hub():
        world.on_call = written
        deadline_ms = world.clock.utc_ms() + 20_000
        world.jobs.create("w", op="write", args=ARGS, deadline_ms=deadline_ms)
        execution = await world.jobs.until("w")
        assert (execution["status"], execution["statusDetails"]["code"]) == ("SUCCEEDED", "ok")
        await world.cloud.until(lambda: bool(world.reports("reply")))
        assert world.reports("reply")[0]["reply"]["result"] == {"writes": [ROW]}


@pytest.mark.parametrize(
    ("error", "code"),
    [(Retry("no answer in time"), "unknown"), (Reject("no"), "unknown")],
)
async def test_a_bridge_that_says_nothing_may_have_written(
    tmp_path: Path, error: Retry | Reject, code: str
) -> None:
    async with a_world(tmp_path, requests={"writes": True}) as world, world.hub():

        async def broken(request: dict[str, Any]) -> dict[str, Any]:
            raise error

        world.on_call = broken
        reply = await world.ask("w", "write", "write", args=ARGS)
        assert (reply["status"], reply["code"]) == ("failed", code)
        assert "not known" in reply["detail"]
        assert audited(world, "w") == [("ok", "started"), ("failed", code)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"args": {}}, "bad_request"),
        ({"args": {"values": ARGS["values"] * 17}}, "bad_request"),
        ({"args": {"values": [{"series": "meter-a/t0", "value": "x" * 3_000}]}}, "bad_request"),
        ({"args": {"values": [{"series": "nowhere/t0", "value": 1}]}}, "unknown_device"),
        ({"args": {"values": [{"series": "meter-a/../x", "value": 1}]}}, "bad_request"),
        ({"args": {"series": ["meter-a/t0"]}}, "bad_request"),
    ],
)
async def test_what_is_no_write_never_reaches_a_bridge(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    async with a_world(tmp_path, requests={"writes": True}) as world, world.hub():
        world.on_call = written
        reply = await world.ask("w", "write", "write", **changes)
        assert (reply["status"], reply["code"]) == ("refused", code)
        assert not world.calls


async def test_a_write_on_the_topic_of_reads_is_refused(tmp_path: Path) -> None:
    """Who may read must not be able to write: the cloud's policies tell the two apart by topic."""
    async with a_world(tmp_path, requests={"writes": True}) as world, world.hub():
        world.on_call = written
        reply = await world.ask("w", "write", "read", args=ARGS)
        assert (reply["status"], reply["code"]) == ("refused", "bad_request")
        assert not world.calls
