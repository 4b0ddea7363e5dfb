"""A scan beside a bridge's requests: begun, asked after, fetched page by page, and forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.clock import ManualClock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Retry
from headgate.scans import (
    ASK_AGAIN_MS,
    PAGE_BYTES,
    Findings,
    Scans,
    Work,
    number_of,
    refuse_others,
    whole_of,
)

ROWS = [{"n": n, "text": "ä" * 100} for n in range(100)]


def request(name: str = "r", **args: Any) -> Request:
    return Request(name, 1, "scan", {"source": "ble", **args}, 1 << 50, "direct")


class World:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.clock = ManualClock()
        self.scans = Scans(self.clock)
        self.ended: list[str] = []
        self._group = group

    def call(self, asked: Request, seconds: int = 3, error: Retry | None = None) -> Reply:
        if not self.scans.knows(asked):
            end_ms = self.clock.boot_ms() + seconds * 1000
            self.scans.begin(asked, Work(lambda: self._make(asked.id, end_ms, error), end_ms), self._group)
        return self.scans.answer(asked)

    async def _make(self, name: str, end_ms: int, error: Retry | None) -> Findings:
        try:
            await self.clock.sleep_until(end_ms)
            if error is not None:
                raise error
            return Findings(ROWS, {"source": "ble"})
        finally:
            self.ended.append(name)


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    async with asyncio.TaskGroup() as group:
        world = World(group)
        yield world
        world.scans.stop()


async def test_it_is_not_waited_for_and_its_rows_come_in_pages_that_fit() -> None:
    async with a_world() as world:
        for _ in range(3):
            reply = world.call(request())
            assert (reply.status, reply.code) == ("ok", "started")
            assert reply.result is not None
            assert 0 < reply.result["wait_ms"] <= ASK_AGAIN_MS
            await world.clock.advance(reply.result["wait_ms"])
        args: dict[str, Any] = {}
        rows, pages = [], 0
        while True:
            reply = world.call(request(**args))
            assert reply.result is not None
            assert len(json.dumps(reply.result, ensure_ascii=False).encode()) < PAGE_BYTES + 200
            rows += reply.result["found"]
            pages += 1
            if "next" not in reply.result:
                break
            args = {"after": reply.result["next"]}
        assert rows == ROWS
        assert pages > 3
        assert world.ended == ["r"]
        with pytest.raises(Retry, match="not there any more"):
            world.call(request(after=10))


async def test_a_new_one_takes_the_place_of_one_that_nobody_asks_after() -> None:
    async with a_world() as world:
        world.call(request("a"))
        await world.clock.advance(500)
        assert world.call(request("b")).code == "started"
        await world.clock.advance(3_100)
        assert world.ended == ["a", "b"]
        reply = world.call(request("b"))
        assert reply.result is not None
        assert reply.result["found"][0] == ROWS[0]
        for after in (-1, 101, True, "1", 1.5):
            with pytest.raises(Refused, match="after"):
                world.call(request("b", after=after))


async def test_what_went_wrong_is_said_once_and_then_it_may_be_tried_again() -> None:
    async with a_world() as world:
        world.call(request(), 1, Retry("no adapter"))
        await world.clock.advance(1_100)
        with pytest.raises(Retry, match="no adapter"):
            world.call(request())
        assert world.call(request()).code == "started"


def test_arguments() -> None:
    assert number_of({}, "seconds", 10, 1, 60) == 10
    assert number_of({"seconds": 1.5}, "seconds", 10, 1, 60) == 1.5
    assert whole_of({"last": 247}, "last", 32, 1, 247) == 247
    for bad in (0, 61, True, "5", None, float("nan")):
        with pytest.raises(Refused, match="seconds must be 1 to 60"):
            number_of({"seconds": bad}, "seconds", 10, 1, 60)
    for bad in (0, 248, 1.0, False, "1"):
        with pytest.raises(Refused, match="last must be a whole number"):
            whole_of({"last": bad}, "last", 32, 1, 247)
    refuse_others({"source": "x", "after": 1, "seconds": 1}, ("seconds",))
    with pytest.raises(Refused, match="not \\['second'\\]"):
        refuse_others({"second": 1}, ("seconds",))
