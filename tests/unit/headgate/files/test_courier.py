"""What the courier answers, its bounded queue, and its announcements, with nobody to send to."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headgate.bridge.calls import encode_reply
from headgate.clock import ManualClock
from headgate.config.stateroot import StateRoot
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry
from headgate.files.config import FilesConfig, Source
from headgate.files.courier import Courier, CourierTuning, Outside


@dataclass
class World:
    """A courier on a clock that is moved by hand. `fault` is raised by whatever it wants of others."""

    root: Path
    waiting: int = 2
    clock: ManualClock = field(default_factory=ManualClock)
    reports: list[Mapping[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        state = StateRoot(self.root / "state")
        state.create()
        outside = Outside(self.clock, self._say, self._report, self._tell)
        tuning = CourierTuning(waiting=self.waiting)
        self.courier = Courier(state.path, state.replies, state.courier, outside, tuning)
        (self.root / "logs").mkdir(exist_ok=True)

    def write(self, *names: str) -> None:
        for name in names:
            (self.root / "logs" / name).write_text(name)

    async def ask(self, op: str, **args: object) -> Reply:
        reply = await self.courier.call(Request("r", 1, op, args, 0, "direct"))
        assert len(encode_reply(reply)) <= 7_000
        return reply

    async def stable(self, count: int) -> None:
        """Move time until so many files are offered."""
        await self.until(lambda: len(self.courier.offers.catalogue.offers) == count)

    async def until(self, true: Callable[[], bool]) -> None:
        """Move time in small steps; threads need some of the real one."""
        async with asyncio.timeout(20):
            while not true():
                await self.clock.advance(500)
                await asyncio.sleep(0.002)

    async def _say(self, message: bytes) -> None:
        self._raise()
        self.said.append(json.loads(message))

    async def _report(self, report: Mapping[str, Any]) -> None:
        self._raise()
        self.reports.append(report)

    async def _tell(self, file_id: str, state: str) -> None:
        self._raise()

    def _raise(self) -> None:
        if self.fault is not None:
            raise self.fault


@asynccontextmanager
async def running(world: World) -> AsyncIterator[World]:
    config = FilesConfig((Source("logs", str(world.root / "logs")),), stable_ms=1_000, scan_ms=1_000)
    await world.courier.start()
    world.courier.configure(config)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(world.courier.run())
        yield world
        work.cancel()


async def test_a_full_queue_refuses_and_counts(tmp_path: Path) -> None:
    async with running(World(tmp_path)) as world:
        world.write("a", "b", "c", "d")
        await world.stable(4)
        for name in ("a", "b", "c"):  # one is being sent, two wait
            assert (await world.ask("fetch", source="logs", path=name)).code == "started"
            await world.until(lambda: bool(world.courier.uploads.senders))
        with pytest.raises(Refused, match="2 files wait") as refused:
            await world.ask("fetch", source="logs", path="d")
        assert (refused.value.code, world.courier.uploads.refused) == ("too_many", 1)
        files = ((await world.ask("list", what="files")).result or {})["files"]
        assert [row["state"] for row in files][:3] == ["uploading", "waiting", "waiting"]
        again = await world.ask("fetch", source="logs", path="b")
        assert again.code == "started"
        assert "waiting 2, refused 1" in world.courier.status()
    again_world = World(tmp_path)
    async with running(again_world):  # the queue is on disk
        assert len(again_world.courier.uploads.records) == 3


async def test_every_file_is_announced_once_when_the_hub_is_back(tmp_path: Path) -> None:
    async with running(World(tmp_path)) as world:
        world.fault = Retry("the hub is away")
        world.write("a", "b")
        await world.stable(2)
        assert world.reports == []
        world.fault = None
        await world.until(lambda: len(world.reports) == 2)
        world.write("c")
        await world.until(lambda: len(world.reports) == 3)
    assert [report["path"] for report in world.reports] == ["a", "b", "c"]
    assert {report["type"] for report in world.reports} == {"file"}
    other = World(tmp_path)
    async with running(other):
        await other.stable(3)
        await other.clock.advance(60_000)
    assert other.reports == []


async def test_an_announcement_that_the_hub_refuses_is_not_repeated(tmp_path: Path) -> None:
    async with running(World(tmp_path)) as world:
        world.fault = Reject("it does not fit")
        world.write("a")
        await world.stable(1)
        await world.until(lambda: bool(world.courier.offers._refused))
        world.fault = None
        world.write("b")
        await world.until(lambda: bool(world.reports))
    assert [report["path"] for report in world.reports] == ["b"]


async def test_a_bus_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async with running(World(tmp_path)) as world:
        world.write("a")
        await world.stable(1)
        world.fault = Retry("the cloud is away")
        reply = await world.ask("fetch", source="logs", path="a")
        assert reply.result is not None
        file_id = reply.result["file_id"]
        await world.until(lambda: world.courier.uploads.records[file_id].plan is not None)
        await world.clock.advance(10_000)
        assert world.said == []
        status = (await world.ask("status", file_id=file_id)).result or {}
        assert (status["state"], status["parts"], status["done"]) == ("uploading", 1, 0)
        world.fault = None
        await world.until(lambda: bool(world.said))
        assert world.said[0]["kind"] == "parts"


async def test_a_file_that_is_just_written_is_answered_later(tmp_path: Path) -> None:
    async with running(World(tmp_path)) as world:
        world.write("a")
        asked = asyncio.ensure_future(world.ask("fetch", source="logs", path="a"))
        await world.until(asked.done)  # the folders are looked at again, a moment after the last time
        with pytest.raises(Retry, match="has changed within 1 s"):
            await asked
        await world.stable(1)
        assert (await world.ask("fetch", source="logs", path="a")).code == "started"


@pytest.mark.parametrize(
    ("op", "args", "code"),
    [
        ("list", {"what": "devices"}, "bad_request"),
        ("list", {"what": "files", "after": 5}, "bad_request"),
        ("fetch", {"file_id": "0" * 32, "source": "logs"}, "bad_request"),
        ("fetch", {"path": "a"}, "bad_request"),
        ("fetch", {"file_id": "0" * 32}, "unknown_file"),
        ("fetch", {"source": "other", "path": "a"}, "outside_roots"),
        ("fetch", {"source": "logs", "path": "../state/lock"}, "outside_roots"),
        ("status", {"file_id": "0" * 32}, "unknown_file"),
        ("read", {}, "bad_request"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_its_word(
    tmp_path: Path, op: str, args: dict[str, object], code: str
) -> None:
    async with running(World(tmp_path)) as world:
        with pytest.raises(Refused) as refused:
            await world.ask(op, **args)
    assert refused.value.code == code


async def test_the_newest_files_of_a_source_are_captured_once_they_are_announced(tmp_path: Path) -> None:
    async with running(World(tmp_path)) as world:
        world.write("a", "b", "c")
        for at, name in enumerate(("b", "c", "a")):
            os.utime(tmp_path / "logs" / name, (1_700_000_000 + at, 1_700_000_000 + at))
        with pytest.raises(Refused, match="no source 'cam'"):
            await world.ask("capture", source="cam", newest=1, wait=True)
        asked = asyncio.ensure_future(world.ask("capture", source="logs", newest=2, wait=True))
        await world.until(asked.done)
        with pytest.raises(Retry, match="still written"):
            await asked
        world.fault = Retry("the hub is away")
        await world.stable(3)
        asked = asyncio.ensure_future(world.ask("capture", source="logs", newest=2, wait=True))
        await world.until(asked.done)
        with pytest.raises(Retry, match="did not reach the hub"):
            await asked
        world.fault = None
        asked = asyncio.ensure_future(world.ask("capture", source="logs", newest=2, wait=True))
        await world.until(asked.done)
        files = {report["file_id"]: report["path"] for report in world.reports}
        assert [files[each] for each in (asked.result().result or {})["files"]] == ["a", "c"]
        await world.until(lambda: len(world.reports) == 3)
        world.write("d")
        asked = asyncio.ensure_future(world.ask("capture", source="logs", newest=1, wait=False))
        await world.until(asked.done)
        assert len((asked.result().result or {})["files"]) == 1
    assert sorted(report["path"] for report in world.reports)[:3] == ["a", "b", "c"]
