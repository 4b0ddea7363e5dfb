"""A state root that is an older copy of itself: what was delivered stays, and both sides are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headgate_cloud import decoder
from headgate_cloud.merged import Merged
from tests.support.outage_world import InlineWriter, OutageWorld
from tests.support.small_dynamodb import SmallDynamoDB

MINUTE_MS = 60_000


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutageWorld:
    monkeypatch.setattr("headgate.roles.hub.Writer", InlineWriter)
    monkeypatch.setattr("os.fdatasync", lambda fd: None)
    world = OutageWorld(tmp_path / "root", SmallDynamoDB(), seed=1)
    world.cloud.mangles = False
    return world


def forks(world: OutageWorld) -> list[str]:
    """The streams that are marked, each reported once."""
    rows = [row["stream_key"]["S"] for row in world.cloud.rows("Streams") if "forked" in row]
    assert sorted(str(said["stream"]) for said in world.cloud.said if said["event"] == "forked") == sorted(
        rows
    )
    return rows


async def go_on(world: OutageWorld, ms: int, *, copy_to: Path | None = None) -> None:
    """A machine that is on for so long; a copy of its state is taken half way."""
    world.restart()
    async with world.running():
        await world.start_hub()
        await world.pass_time(ms // 2)
        if copy_to is not None:
            shutil.copytree(world.root, copy_to)
        await world.pass_time(ms // 2)


async def settle(world: OutageWorld) -> None:
    """Nothing is served any more; what waits is sent."""
    world.serving = False
    await go_on(world, 2 * MINUTE_MS)
    world.serving = True


def windows_that_hold(world: OutageWorld) -> None:
    """Of windows that are there twice the archive's reader gives the one of more samples, in any order."""
    envelopes = [decoder.decode(body) for body in world.cloud.bodies()]
    rows = [row for envelope in envelopes for row in envelope.windows]
    best: dict[tuple[object, ...], tuple[int, int]] = {}
    for row in rows:
        key = (row.series, row.start_ms, row.length_ms)
        best[key] = max(best.get(key, (0, 0)), (row.correction, row.n))
    assert rows
    for order in (envelopes, envelopes[::-1]):
        with Merged(0, 1 << 62) as merged:
            for envelope in order:
                merged.add(envelope)
            found = list(merged.windows())
            times = [(sample.series, sample.t_ms) for sample in merged.samples()]
        keys = [(each["series"], each["start_ms"], each["length_ms"]) for each in found]
        assert len(set(keys)) == len(keys)
        assert {key: (each["correction"], each["n"]) for key, each in zip(keys, found, strict=True)} == best
        assert len(set(times)) == len(times)


async def test_an_orderly_gateway_is_no_fork(world: OutageWorld) -> None:
    for _ in range(3):
        await go_on(world, MINUTE_MS)
    await settle(world)
    assert world.samples() == world.served
    assert forks(world) == []


@pytest.mark.parametrize("part", ["all", "state.db"])
async def test_an_older_copy_loses_nothing_that_was_delivered_and_is_told(
    world: OutageWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    await go_on(world, 2 * MINUTE_MS, copy_to=tmp_path / "copy")
    await go_on(world, MINUTE_MS)
    before, delivered, served = set(world.cloud.bodies()), set(world.samples()), set(world.served)
    if part == "all":
        shutil.rmtree(world.root)
        shutil.copytree(tmp_path / "copy", world.root)
    else:
        for path in world.root.glob("state.db*"):
            path.unlink()
        for path in (tmp_path / "copy").glob("state.db*"):
            shutil.copy(path, world.root)
    await go_on(world, MINUTE_MS)
    await settle(world)
    gone = set(world.served) - set(world.samples())
    assert gone == (served - delivered if part == "all" else set())
    assert set(world.samples()) <= set(world.served)
    assert before <= set(world.cloud.bodies())
    assert world.cloud.rows("Rejected") == []
    assert len({key for key in forks(world) if key.startswith("gw/live/")}) == 1
    assert "the cloud reports a fork in stream live" in caplog.text
    windows_that_hold(world)


async def test_a_copy_of_which_nothing_was_sent_since_is_no_fork(world: OutageWorld, tmp_path: Path) -> None:
    await go_on(world, MINUTE_MS)
    await settle(world)
    shutil.copytree(world.root, tmp_path / "copy")
    held = set(world.samples())
    shutil.rmtree(world.root)
    shutil.copytree(tmp_path / "copy", world.root)
    await go_on(world, MINUTE_MS)
    await settle(world)
    assert held < set(world.samples()) == set(world.served)
    assert forks(world) == []
