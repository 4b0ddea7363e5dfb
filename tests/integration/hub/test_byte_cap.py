"""Random loads under small byte caps: what goes first, never over it, every sample accounted for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.store.day_file import days_in
from headgate.store.windows_file import files_in
from tests.support.cap_world import TABLE, CapWorld

MB = 1_000_000


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Each drop has its line."""
    with caplog.at_level(logging.CRITICAL):
        yield


def test_a_small_cap_holds(tmp_path: Path, seed: int) -> None:
    seen = run(tmp_path, seed, 5 * MB, 150)
    assert seen["dropped"] or seen["downsampled"]


def test_days_become_windows_and_then_go(tmp_path: Path, seed: int) -> None:
    seen = run(tmp_path, seed, 5 * MB, 300, hours=8, online=1.0)
    assert seen["downsampled"]


def test_offline_the_outbox_is_shed_at_last(tmp_path: Path, seed: int) -> None:
    seen = run(tmp_path, seed, 5 * MB, 200, online=0.0)
    assert seen["shed"]


@pytest.mark.slow("bytecap")
@pytest.mark.parametrize("at", range(12))
def test_any_cap_holds(tmp_path: Path, seed: int, at: int) -> None:
    """The longest of these take some ten seconds."""
    run(tmp_path, 100 * seed + at, (4, 5, 8, 12)[at % 4] * MB, 500, hours=(0, 2, 12)[at % 3])


def run(
    folder: Path, seed: int, cap_bytes: int, turns: int, *, hours: int = 1, online: float = 0.5
) -> Counter[str]:
    """Drive a world; returns how many reports of each type there were."""
    world = CapWorld(folder, seed, cap_bytes)
    world.online = world.random.random() < online
    try:
        for _ in range(turns):
            turn(world, hours, online)
            check_size(world)
        settle(world)
        check_accounts(world)
    finally:
        world.close()
    types = ("dropped", "downsampled", "removed", "shed")
    return Counter({name: len(world.reports(name)) for name in types}) + world.kinds


def turn(world: CapWorld, hours: int, online: float) -> None:
    draw = world.random.random()
    if draw < 0.6:
        world.send()
        check_size(world)
        world.seal()
    elif draw < 0.7:
        world.later(round(3_600_000 * hours * world.random.random()))
        world.seal()
    elif draw < 0.75:
        world.spoil(world.random.randrange(300_000))
    elif draw < 0.78:
        world.crash()
    elif draw < 0.8:
        world.online = world.random.random() < online
    for _ in range(world.random.choice((0, 3, 50))):
        if not watched_step(world):
            break


def settle(world: CapWorld) -> None:
    for _ in range(5_000):
        world.seal()
        if not watched_step(world) and not world.pipeline.deferred:
            return
    raise AssertionError("retention finds no end")


def watched_step(world: CapWorld) -> bool:
    """One step; what went is what was next."""
    life = world.hub
    spoiled = sorted(world.root.quarantine.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    days = days_in(world.root.blocks)
    windows = [path for paths in files_in(world.root.windows).values() for path in paths]
    streams, begun = world.waiting(), world.hub.retention.thinned_day
    step = world.step()
    check_size(world)
    if world.hub is not life:  # it was killed; what went was decided by the same rules
        return True
    left = set(days_in(world.root.blocks))
    gone = [path.name for path in spoiled if not path.exists()]
    assert gone in ([], [spoiled[0].name] if spoiled else [])
    if set(days) - left:
        assert set(days) - left == {days[0] if begun is None else begun}
        assert not spoiled or begun is not None
    if any(not path.exists() for path in windows):
        assert not windows[0].exists()
        assert not spoiled
        assert not days
    if step.shed:
        assert not spoiled
        assert not days
        assert not windows
        lost = streams - world.waiting()
        assert len(lost) == 1
        assert not streams["backlog"] or set(lost) == {"backlog"}
        assert set(lost) & {"backlog", "live"} or not {"backlog", "live"} & set(streams)
    return step.more


def check_size(world: CapWorld) -> None:
    walked = world.walked()
    assert walked <= world.cap_bytes, f"{walked} B, {world.hub.retention.use(world.clock.boot_ms())}"


def check_accounts(world: CapWorld) -> None:
    """What a query finds, what windows stand for and what was told to be gone are what was put in."""
    assert world.held() + world.downsampled() + world.dropped() == world.put
    told = sum(report["count"] for report in world.reports("downsampled"))
    assert told >= world.downsampled().total()
    waiting = {
        (i.envelope.id.stream, i.envelope.id.epoch, i.envelope.id.seq) for i in world.store.queued(0, 1 << 30)
    }
    tombstones = world.tombstones()
    assert len(tombstones) == len(set(tombstones)), "an envelope was shed twice"
    assert set(tombstones).isdisjoint(waiting)
    assert set(tombstones) | waiting | world.acked == set(world.cloud)
    names = {one.name for one in TABLE}
    minute = 60_000
    for _, buckets in world.store.downsampled(names, 0, 1 << 50, minute):
        assert all(bucket.start_ms % minute == 0 and bucket.count > 0 for bucket in buckets)
