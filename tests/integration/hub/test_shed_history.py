"""History over days whose raw samples were shed: buckets come from windows, and a raw query names the gap."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest

from headgate.driver import Request
from headgate.requests.history import History
from headgate.roles.hub_retention import tell
from headgate.store.config import StoreConfig
from headgate.store.day_file import DAY_MS
from headgate.store.downsample import Bucket
from headgate.store.retention import Retention
from tests.support.cap_world import START_MS, TABLE, CapWorld

HOUR_MS = 3_600_000
END_MS = START_MS + 5 * DAY_MS
STEPS_MS = (1_000, 60_000, 7 * 60_000, HOUR_MS, 5 * HOUR_MS, DAY_MS)
NAMES = [series.name for series in TABLE]
P = ParamSpec("P")
T = TypeVar("T")


class Here:
    """The reader's thread is this one."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return work(*args, **kwargs)


@pytest.fixture
def world(tmp_path: Path, seed: int) -> Iterator[CapWorld]:
    """Four days, of which the first two are windows only."""
    found = CapWorld(tmp_path, seed, 1 << 30)
    for _ in range(4):
        for _ in range(16):
            found.send()
            found.later(round(HOUR_MS * 1.5))
        found.seal()
    found.pipeline.seal_blocks(found.clock.boot_ms())
    found.seal()
    retention = Retention(found.store, found.root, tell, StoreConfig(keep_days=2))
    while retention.step(found.clock.utc_ms(), found.clock.boot_ms(), trusted=True).more:
        pass
    assert len(found.store.kept_days()) >= 1
    yield found
    found.close()


async def ask(world: CapWorld, **args: Any) -> dict[str, Any]:
    request = Request("r", 1, "query", args, 0, "direct")
    reply = await History(world.store, Here()).query(request)
    assert (reply.status, reply.result is None) == ("ok", False)
    return {"detail": reply.detail, **(reply.result or {})}


def expected(world: CapWorld, low: int, high: int, step_ms: int) -> dict[tuple[str, int], Bucket]:
    return {
        (series.name, bucket.start_ms): bucket
        for series, buckets in world.store.downsampled(NAMES, low, high, step_ms)
        for bucket in buckets
    }


def rows_of(result: dict[str, Any]) -> dict[tuple[str, int], list[Any]]:
    return {(one["series"], row[0]): row for one in result["buckets"] for row in one["rows"]}


async def test_buckets_of_shed_days_are_those_of_their_windows(world: CapWorld, seed: int) -> None:
    draw = random.Random(seed)
    for step_ms in STEPS_MS:
        low, high = sorted(draw.randrange(START_MS, END_MS) for _ in range(2))
        if step_ms >= 60_000:
            low, high = START_MS - DAY_MS, END_MS
        wanted = expected(world, low, high, step_ms)
        for newest_first in (False, True):
            where = {"from": low, "to": high, "step": step_ms, "newest_first": newest_first, "limit": 50_000}
            found = await ask(world, series=NAMES, **where)
            assert (found["step"], found["more"]) == (step_ms, False)
            rows = rows_of(found)
            assert rows.keys() == wanted.keys()
            for key, row in rows.items():
                bucket = wanted[key]
                assert row[1] == bucket.count
                assert (row[2], row[3]) == (bucket.low, bucket.high)
                assert (row[5], row[6]) == (bucket.first, bucket.last)
                assert row[4] == pytest.approx(bucket.mean, abs=1e-3)
    for day in world.store.kept_days():
        where = {"from": day * DAY_MS, "to": (day + 1) * DAY_MS, "step": HOUR_MS}
        lengths = {one["kept_ms"] for one in (await ask(world, series=NAMES, **where))["buckets"]}
        assert lengths
        assert 0 not in lengths


async def test_the_limit_keeps_whole_buckets_that_come_first(world: CapWorld) -> None:
    wanted = expected(world, START_MS, END_MS, 5 * HOUR_MS)
    order = sorted(wanted, key=lambda key: (key[1], key[0]))
    for newest_first in (False, True):
        args = {
            "from": START_MS,
            "to": END_MS,
            "step": 5 * HOUR_MS,
            "newest_first": newest_first,
            "limit": 100,
        }
        found = await ask(world, series=NAMES, **args)
        assert found["more"]
        rows = rows_of(found)
        assert rows.keys() == set(order[-100:] if newest_first else order[:100])
        assert all(row[1] == wanted[key].count for key, row in rows.items())


async def test_a_raw_query_names_what_was_shed(world: CapWorld) -> None:
    days = world.store.kept_days()
    found = await ask(world, series=NAMES, **{"from": START_MS, "to": END_MS, "limit": 50_000})
    assert found["gaps"][0][0] == START_MS
    assert found["gaps"][-1][1] == (days[-1] + 1) * DAY_MS
    assert "ask with step" in found["detail"]
    assert found["columns"]
    late = await ask(world, series=NAMES, **{"from": (days[-1] + 1) * DAY_MS, "to": END_MS, "limit": 10})
    assert "gaps" not in late
    assert late["detail"] == ""
