"""The hub's modes, its heartbeat, accounts and budget, over the in-memory bus."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.cloud.rules import Rule
from headgate.clock import SystemClock
from headgate.config.stateroot import StateRoot
from headgate.roles import hub_accounts, hub_health
from headgate.roles.hub_pipeline import PipelineTuning
from headgate.store.store import Store
from headgate.uplink.ledger import DAY_MS
from tests.integration.hub.test_hub_role import FAST, TABLE, World, a_world
from tests.support import envelope_reader as reader

UP = "hg/v1/gw/up/"
BASIC = "$aws/rules/hg_ingest_v1/"


@asynccontextmanager
async def a_site(root: Path, **sections: Any) -> AsyncIterator[tuple[World, list[tuple[str, bytes]]]]:
    """A world with this inline site document; what goes up is noted beside."""
    config = {"schema": 1, "stateRoot": str(root), "inline": {"schema": 1, **sections}}
    went: list[tuple[str, bytes]] = []
    async with a_world(root, config) as world:
        with (
            world.cloud_bus.attached(f"{UP}#", lambda *message: went.append(message)),
            world.cloud_bus.attached(f"{BASIC}{UP}#", lambda *message: went.append(message)),
        ):
            yield world, went


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def waiting(root: Path) -> int:
    store = Store(StateRoot(root), "gw", 99)
    count, _ = store.outbox
    store.close()
    return count


async def test_handed_over_an_envelope_is_done_when_the_nucleus_took_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_site(tmp_path, uplink={"mode": "handed_over"}) as (world, went):
        world.cloud.answers = False
        async with world.hub():
            await world.bridge.send(world.frames(1, 1))
            await world.bridge.until_acked()
            await until(lambda: went)
            world.bus.cloud_online = False
            await world.bridge.send(world.frames(5))
            await world.bridge.until_acked()
            before = len(went)
            await asyncio.sleep(0.2)
            assert len(went) == before
            world.bus.cloud_online = True
            await world.cloud.until(lambda: world.arrived().total() >= 1 + 5 * len(TABLE))
            await asyncio.sleep(0.3)  # longer than what is unacknowledged waits for to be sent again
        keys = [(h["stream"], h["seq"]) for h in (json.loads(body) for _, body in went)]
        assert len(keys) == len(set(keys)), "nothing was sent twice"
        assert all(topic.startswith(BASIC) for topic, _ in went)
    assert waiting(tmp_path) == 0
    assert [r.getMessage()[:24] for r in caplog.records if "uplink mode" in r.getMessage()] == [
        "uplink mode handed_over:"
    ]


async def test_plain_is_one_flat_message_per_reading_that_a_rule_selects(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rule = Rule.parse("theirs", "SELECT topic(3) AS thing, topic(7) AS tag FROM 'hg/v1/+/up/plain/+/+'")
    alarms = {"rules": [{"name": "high", "series": "meter-a/tag_000", "above": 0.05}]}
    async with a_site(tmp_path, uplink={"mode": "plain"}, alarms=alarms) as (world, went):
        world.cloud.answers = False
        async with world.hub():
            await until(lambda: "uplink mode plain" in caplog.text)
            frames = world.frames(3, 4)
            await world.bridge.send(frames)
            await world.bridge.until_acked()
            await until(lambda: len([1 for topic, _ in went if "/plain/" in topic]) >= 12)
            await asyncio.sleep(0.5)  # windows would close within 300 ms
    readings = [(topic, json.loads(body)) for topic, body in went if "/plain/" in topic]
    offset_ms = world.clock.utc_ms() - world.clock.boot_ms()
    assert sorted((r["series"], r["value"]) for _, r in readings) == sorted(
        (TABLE[i].name, v) for frame in frames for i, v in enumerate(frame.values)
    )
    for topic, found in readings:
        assert topic == f"{UP}plain/{found['series']}"
        assert set(found) == {"thing", "series", "t", "value", "unit", "quality"}
        assert (found["thing"], found["unit"], found["quality"]) == ("gw", "V", "good")
        assert abs(found["t"] - offset_ms - frames[-1].boot_ms) < 100
        selected = rule.apply(topic, json.dumps(found).encode(), t_ms=1)
        assert selected == {"thing": "gw", "tag": found["series"].partition("/")[2]}
    rest = [(topic, reader.load(body)) for topic, body in went if "/plain/" not in topic]
    assert [topic for topic, _ in rest] == [f"{UP}alarms/json"], "alarms need no ingest either"
    assert rest[0][1]["report"]["alarm"] == "high"
    assert waiting(tmp_path) == 0


async def test_heartbeats_come_regularly_and_do_not_pile_up_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_health, "FIRST_MS", 100)
    monkeypatch.setattr(hub_health, "MS_PER_S", 10)
    async with a_site(tmp_path, health={"interval_s": 10}) as (world, went):

        def beats() -> list[dict[str, Any]]:
            found = [json.loads(body) for topic, body in went if "/up/health/" in topic]
            return sorted(found, key=lambda head: head["seq"])

        async with world.hub():
            await world.bridge.send(world.frames(1, 3))
            await world.bridge.until_acked()
            await until(lambda: len(beats()) >= 3)
            world.bus.cloud_online = False
            await asyncio.sleep(1)
            world.bus.cloud_online = True
            before = len(beats())
            await until(lambda: len(beats()) >= before + 3)
    seqs = [head["seq"] for head in beats()]
    assert sorted(set(seqs)) == list(range(1, max(seqs) + 1)), "no gaps"
    newest = beats()[-1]["report"]
    assert newest["type"] == "health"
    assert newest["bridges"]["modbus"] | {"last_s": 0} == {
        "alive": True,
        "last_s": 0,
        "batches": 1,
        "dropped": 0,
        "good": 1,
        "bad": 0,
        "unknown": 0,
    }
    assert newest["cost"]["today"]["units"] > 0
    assert len(newest["config"]) == 64
    assert newest["process"]["pss_kb"] > 0
    assert newest["disk"]["free_bytes"] > 0
    assert newest["disk"].keys() == {f"{n}_bytes" for n in ("journal", "blocks", "windows", "state", "free")}
    assert newest["counters"].keys() >= {"shed_samples", "shed_envelopes", "shed_files", "set_aside"}


async def test_a_heartbeat_that_waits_keeps_later_ones_out(tmp_path: Path) -> None:
    from headgate.envelope.reports import pack_report
    from headgate.model import ClockState
    from headgate.roles.hub_pipeline import Pipeline
    from headgate.window.config import WindowsConfig

    store = Store(StateRoot(tmp_path), "gw", 1)
    pipeline = Pipeline(store, "gw", WindowsConfig(), (), PipelineTuning())
    pipeline.recover(0)
    now_ms = 1_763_685_600_000
    sealed = []
    for minute in range(0, 180, 5):
        part = pack_report("health", {"t": minute}, ClockState.SYNCED)
        pipeline.report_health(part, now_ms + minute * 60_000)
        sealed += pipeline.seal([], now_ms + minute * 60_000, minute * 60_000)
    store.close()
    assert [(item.envelope.id.stream, item.envelope.id.seq) for item in sealed] == [
        ("health", seq) for seq in (1, 2, 3)
    ]


async def test_the_accounts_outlive_the_hub_and_a_past_day_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_accounts, "LOOK_MS", 50)
    today = SystemClock().utc_ms() // DAY_MS
    store = Store(StateRoot(tmp_path), "gw", 1)
    with store.begin() as tx:
        tx.book([(today - 1, "up", "live", 0, 1, 10, 40_000, 12)], 0, {})
    store.close()
    async with a_site(tmp_path) as (world, went):

        def ledgers() -> list[dict[str, Any]]:
            found = [json.loads(body) for topic, body in went if "/up/reports/" in topic]
            return [head["report"] for head in found if head["report"]["type"] == "ledger"]

        for _ in range(2):
            async with world.hub():
                await world.bridge.send(world.frames(2))
                await world.bridge.until_acked()
                await until(ledgers)
                await asyncio.sleep(0.3)
    (found,) = ledgers()
    assert found["rows"] == [
        {"way": "up", "kind": "live", "messages": 10, "bytes": 40_000, "units": 12, "usd": 3.6e-06}
    ]
    store = Store(StateRoot(tmp_path), "gw", 99)
    lines = {row[2]: row[5] for row in store.state.ledger() if row[0] == today and not row[3]}
    store.close()
    sent = len({body for topic, body in went if "/up/live/" in topic})
    assert lines["live"] == sent
    assert lines["ack"] > 0


async def test_a_budget_that_is_near_thins_raw_then_windows_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub_accounts, "LOOK_MS", 30)
    monkeypatch.setattr("headgate.uplink.budget.LOOK_MS", 60)
    caplog.set_level(logging.WARNING)
    uplink = {"budget": {"units_per_day": 10}}
    async with a_site(tmp_path, uplink=uplink) as (world, went):

        def budgets() -> list[dict[str, Any]]:
            found = [json.loads(body) for topic, body in went if "/up/reports/" in topic]
            return [head["report"] for head in found if head["report"]["type"] == "budget"]

        async with world.hub(replace(FAST)):
            for _ in range(100):
                await world.bridge.send(world.frames(2))
                await asyncio.sleep(0.03)
                if len(budgets()) >= 2:
                    break
            steps = [said["step"] for said in budgets()]
            assert steps[:2] == [1, 2]
            assert "windows are 2 times as long" in budgets()[1]["says"]
            assert budgets()[0]["until"] % DAY_MS == 0
            assert budgets()[0]["why"].startswith("units_per_day: ")
    assert "budget step 1 of" in caplog.text
    store = Store(StateRoot(tmp_path), "gw", 99)
    assert store.state.note("budget_step") >= 2
    store.close()
