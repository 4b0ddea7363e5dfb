"""Hours offline in every way there is: afterwards the cloud's record equals the devices', by identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.uplink.pacing import SPOOLER_BYTES
from tests.support.outage_link import MODES
from tests.support.outage_world import TABLE, InlineWriter, OutageWorld
from tests.support.small_dynamodb import SmallDynamoDB

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
LIVE_LATENCY_MS = 5_000
PROBE_MS = 5_000
"""The cloud has words for what came; until the gateway hears one, all that may be unacknowledged can be."""


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> SmallDynamoDB:
    monkeypatch.setattr("headgate.roles.hub.Writer", InlineWriter)
    monkeypatch.setattr("os.fdatasync", lambda fd: None)  # no power is cut here
    return SmallDynamoDB()


async def bad_weather(world: OutageWorld, total_ms: int, longest_ms: int) -> None:
    """One kind of outage after the other, with moments of line, restarts of the nucleus, the hub, and ends
    of it that it did not choose.
    """
    rng, end_ms = world.rng, world.clock.boot_ms() + total_ms
    weather = 0
    while world.clock.boot_ms() < end_ms:
        world.link.become(MODES[weather % len(MODES)])
        weather += 1
        await world.pass_time(rng.randint(longest_ms // 4, longest_ms))
        match rng.randrange(5):
            case 0:
                world.link.restart_nucleus()
            case 1:
                world.link.become("up")
                await world.pass_time(rng.randint(1_000, 20_000))
            case 2:
                await world.stop_hub(kill=rng.random() < 0.5)
                await world.start_hub()


async def compare_after(world: OutageWorld) -> None:
    """Let everything drain, then compare."""
    await world.pass_time(MINUTE_MS)
    await world.drain(within_ms=2 * HOUR_MS)
    world.serving = False
    await world.pass_time(2 * MINUTE_MS)  # the last windows close, the last words are said
    world.cloud.mangles = False
    await world.drain(within_ms=10 * MINUTE_MS)
    for _ in range(20):  # the last acknowledgements, for what is sent again for their sake
        if world.outbox() == 0:
            break
        await world.pass_time(MINUTE_MS)
    assert world.outbox() == 0
    assert world.samples() == world.served
    assert sum(window.n for window in world.windows()) == world.served.total()
    assert world.cloud.rows("Rejected") == []
    assert not any("forked" in row for row in world.cloud.rows("Streams"))


async def outage(world: OutageWorld, total_ms: int, longest_ms: int) -> None:
    """Bad weather, then a line without an ingest, then both; what comes of it is compared."""
    world.link.spool_limit_bytes = 150_000
    async with world.running():
        await world.start_hub()
        await world.pass_time(MINUTE_MS)
        await bad_weather(world, total_ms, longest_ms)
        world.link.become("up")
        world.cloud.down = True
        await world.pass_time(longest_ms // 2)
        world.cloud.down = False
        held = len(world.cloud.bodies())
        while len(world.cloud.bodies()) < held + 10:  # a probe has found the line, and it drains
            await world.pass_time(1_000)
        world.live_from_ms = world.clock.utc_ms() + PROBE_MS
        await world.pass_time(PROBE_MS)
        world.latencies_ms.clear()
        await compare_after(world)
        assert len(world.latencies_ms) > 10
        assert max(world.latencies_ms) <= LIVE_LATENCY_MS
    assert world.link.lost > 0
    assert world.link.refused > 0


async def test_a_short_outage_of_every_kind(tmp_path: Path, dynamodb: SmallDynamoDB) -> None:
    await outage(OutageWorld(tmp_path, dynamodb, seed=1), total_ms=4 * MINUTE_MS, longest_ms=MINUTE_MS)


@pytest.mark.slow("outage")
async def test_six_hours_offline(tmp_path: Path, dynamodb: SmallDynamoDB, seed: int) -> None:
    world = OutageWorld(tmp_path, dynamodb, seed)
    await outage(world, total_ms=6 * HOUR_MS, longest_ms=30 * MINUTE_MS)
    assert world.link.dropped > 0
    assert world.served.total() >= 6 * 3_600 * len(TABLE)


async def test_what_a_nucleus_is_left_with_is_bounded(tmp_path: Path, dynamodb: SmallDynamoDB) -> None:
    world = OutageWorld(tmp_path, dynamodb, seed=1)
    async with world.running():
        await world.start_hub()
        world.link.become("spool")
        await world.pass_time(10 * MINUTE_MS)
        assert 0 < world.link.most_spooled_bytes <= SPOOLER_BYTES
        world.link.become("up")
        await compare_after(world)


async def test_a_metered_link_keeps_its_cap_over_restarts(
    tmp_path: Path, dynamodb: SmallDynamoDB, caplog: pytest.LogCaptureFixture
) -> None:
    world = OutageWorld(tmp_path, dynamodb, seed=1)
    world.cloud.mangles = False
    metered = {"bytes_per_day": 100_000, "bulk_share": 1}
    world.config["inline"] = {"schema": 1, "uplink": {"metered": metered}}
    world.restart()
    until_midnight_ms = DAY_MS - world.clock.utc_ms() % DAY_MS
    async with world.running():
        for _ in range(3):
            await world.start_hub()
            await world.pass_time(3 * MINUTE_MS)
            await world.stop_hub()
        carried = sum(len(body) for body in world.cloud.bodies())
        assert 50_000 < carried < 100_000
        assert "metered link holds back live: 100" in caplog.text
        world.serving = False
        await world.start_hub()
        await world.pass_time(until_midnight_ms % (30 * MINUTE_MS))
        assert sum(len(body) for body in world.cloud.bodies()) == carried
        for _ in range(4):
            world.clock.set_utc(world.clock.utc_ms() + DAY_MS)
            await world.pass_time(11 * MINUTE_MS)
    assert world.samples() == world.served
