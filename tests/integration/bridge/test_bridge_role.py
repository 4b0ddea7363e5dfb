"""The bridge role over the in-memory bus and a real Modbus server: start, live change, orderly end, spill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.bridge.handover import Options
from headgate.bridge.spill import read_spill
from headgate.bus.memory import MemoryBus
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject
from headgate.roles.bridge import bridge
from tests.support.hub_double import HubDouble
from tests.support.modbus_servers import tcp_server

OPTIONS = Options(flush_ms=20, stop_wait_ms=500)


def site(port: int, *names: str, tag_type: str = "uint16") -> bytes:
    tags = [
        {"name": "a", "table": "holding", "address": 0, "type": tag_type, "decimals": 1, "unit": "V"},
        {"name": "b", "table": "holding", "address": 1, "type": "uint16"},
    ]
    devices = [
        {
            "name": name,
            "transport": {"kind": "tcp", "host": "127.0.0.1", "port": port},
            "groups": [{"name": "fast", "interval_s": 0.02, "tags": tags}],
        }
        for name in names
    ]
    return json.dumps({"schema": 1, "modbus": {"devices": devices}, "windows": {"length_s": 10}}).encode()


def accept(root: StateRoot, text: bytes) -> str:
    """What the hub does with a document it takes; here also with one that it would refuse."""
    root.create()
    return store_accepted(root, text).digest


@asynccontextmanager
async def running(bus: MemoryBus, options: Options = OPTIONS) -> AsyncIterator[asyncio.Event]:
    """The role as a task; leaving stops it in order."""
    stop = asyncio.Event()

    async def role() -> None:
        await bridge("modbus", options=options)(bus, SystemClock(), stop)

    async with asyncio.TaskGroup() as group:
        group.create_task(role())
        try:
            yield stop
        finally:
            stop.set()


def config(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"schema": "1", "stateRoot": str(tmp_path)} | more


async def test_frames_reach_the_hub_in_order_with_their_table(tmp_path: Path) -> None:
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        accept(StateRoot(tmp_path), site(port, "meter-a"))
        hub = HubDouble(bus)
        with hub.attached():
            async with running(bus):
                batches = await hub.until(5)
                rows = await hub.dictionary(batches[0])
        assert rows == [["meter-a/a", "V", "f64", 1, 1], ["meter-a/b", "", "i64", None, 1]]
        assert [batch.seq for batch in batches] == list(range(1, len(batches) + 1))
        frames = [frame for batch in batches for frame in batch.frames]
        assert {tuple(frame.values) for frame in frames} == {(100.0, 1001)}
        assert not StateRoot(tmp_path).pending("modbus").exists()


async def test_it_waits_for_a_site_document_and_follows_its_changes(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        hub = HubDouble(bus)
        with hub.attached():
            async with running(bus):
                digest = accept(root, site(port, "meter-a"))
                while not hub.batches:  # the announcement may come before the role listens
                    await hub.announce(digest)
                    await asyncio.sleep(0.01)
                first = hub.batches[0]
                await hub.announce(accept(root, site(port, "meter-a", "meter-b")))
                while hub.batches[-1].dictionary == first.dictionary:
                    await hub.until(len(hub.batches) + 1)
                rows = await hub.dictionary(hub.batches[-1])
        assert [row[0] for row in rows] == ["meter-a/a", "meter-a/b", "meter-b/a", "meter-b/b"]


async def test_it_answers_each_announcement_and_says_when_it_is_told_to_end(tmp_path: Path) -> None:
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        accept(StateRoot(tmp_path), site(port, "meter-a"))
        hub = HubDouble(bus)
        with hub.attached():
            async with running(bus):
                (batch, *_) = await hub.until(1)
                for n in (1, 2, 3):
                    await hub.announce()
                    await hub.until_alive(n)
            said = await hub.until_alive(4)
    run_id = f"{batch.run_id:016x}"
    assert said == [{"run_id": run_id}] * 3 + [{"run_id": run_id, "stopping": True}]


async def test_a_bridge_that_fails_says_no_goodbye(tmp_path: Path) -> None:
    said = []

    async def refuse(topic: str, payload: bytes) -> None:
        raise Fatal("token refused")

    async def use() -> None:
        async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
            accept(StateRoot(tmp_path), site(port, "meter-a"))
            hub = HubDouble(bus)
            said.append(hub.alive)
            with hub.attached(), bus.subscribe("end", refuse):
                async with running(bus):
                    await hub.until(1)
                    await bus.publish("end", b"")
                    await asyncio.Event().wait()

    with pytest.raises(BaseExceptionGroup):
        await use()
    assert said == [[]]


async def test_an_invalid_document_is_reported_whole_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = StateRoot(tmp_path)
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        accept(root, site(port, "meter-a"))
        hub = HubDouble(bus)
        with hub.attached():
            async with running(bus):
                await hub.until(1)
                await hub.announce(accept(root, site(port, "meter-a", "meter-b", tag_type="uint17")))
                await hub.until(len(hub.batches) + 3)
        assert {batch.dictionary for batch in hub.batches} == {hub.batches[0].dictionary}
    for part in ("modbus.devices[0].groups[0].tags[0].type", "devices[1]", "did you mean 'uint16'?"):
        assert part in caplog.text


async def test_what_the_hub_did_not_acknowledge_is_sent_first_by_the_next_start(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        accept(root, site(port, "meter-a"))
        silent = HubDouble(bus, silent=True)
        with silent.attached():
            async with running(bus, Options(flush_ms=20, stop_wait_ms=50)):
                await silent.until(3)
        spilled = read_spill(root.pending("modbus"))
        assert spilled is not None
        assert not spilled.fault
        assert len(spilled.wires) >= 3
        accept(root, site(port, "meter-b"))  # the next run has another table
        hub = HubDouble(bus)
        with hub.attached():
            async with running(bus):
                await hub.until(len(spilled.wires) + 2)
                old = hub.batches[0]
                assert [row[0] for row in await hub.dictionary(hub.batches[-1])] == ["meter-b/a", "meter-b/b"]
        former = hub.batches[: len(spilled.wires)]
        assert [batch.frames for batch in former[:3]] == [batch.frames for batch in silent.batches[:3]]
        assert {batch.run_id for batch in former} == {silent.batches[0].run_id} == {old.run_id}
        assert {batch.run_id for batch in hub.batches[len(former) :]}.isdisjoint({old.run_id})
        assert not root.pending("modbus").exists()


async def test_the_table_of_the_last_run_is_served_until_its_batches_are_acknowledged(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        accept(root, site(port, "meter-a"))
        for _ in range(2):  # twice: the file of the first run survives the second
            silent = HubDouble(bus, silent=True)
            with silent.attached():
                async with running(bus, Options(flush_ms=20, stop_wait_ms=50)):
                    await silent.until(1)
                    rows = await silent.dictionary(silent.batches[0])
            assert rows[0][0] == "meter-a/a"
            root.current.unlink(missing_ok=True)
        spilled = read_spill(root.pending("modbus"))
        assert spilled is not None
        assert len(spilled.tables) == 1


async def test_a_bus_that_ends_leaves_everything_in_the_spill_file(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)

    async def refuse(topic: str, payload: bytes) -> None:
        raise Fatal("token refused")

    async def use() -> None:
        async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
            accept(root, site(port, "meter-a"))
            silent = HubDouble(bus, silent=True)
            with silent.attached(), bus.subscribe("end", refuse):
                async with running(bus):
                    await silent.until(2)
                    await bus.publish("end", b"")
                    await asyncio.Event().wait()

    with pytest.raises(BaseExceptionGroup) as caught:
        await use()
    assert caught.value.subgroup(Fatal) is not None
    spilled = read_spill(root.pending("modbus"))
    assert spilled is not None
    assert len(spilled.wires) >= 2


async def test_a_torn_spill_file_is_set_aside_and_its_good_part_sent(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)
    async with tcp_server(1) as port, MemoryBus(config=config(tmp_path)) as bus:
        accept(root, site(port, "meter-a"))
        silent = HubDouble(bus, silent=True)
        with silent.attached():
            async with running(bus, Options(flush_ms=20, stop_wait_ms=50)):
                await silent.until(2)
        pending = root.pending("modbus")
        pending.write_bytes(pending.read_bytes()[:-3])
        hub = HubDouble(bus)
        with hub.attached():
            async with running(bus):
                await hub.until(1)
        assert hub.batches[0].frames == silent.batches[0].frames
        assert [path.name.startswith("modbus.pending") for path in root.quarantine.iterdir()] == [True]


async def test_an_inline_document_needs_no_hub(tmp_path: Path) -> None:
    async with tcp_server(1) as port:
        inline = site(port, "meter-a").decode()
        async with MemoryBus(config=config(tmp_path, inline=inline)) as bus:
            hub = HubDouble(bus)
            with hub.attached():
                async with running(bus):
                    await hub.until(1)


async def test_a_faulty_component_configuration_is_refused_with_every_fault() -> None:
    async with MemoryBus(config={"schema": 2, "stateRot": "x"}) as bus:
        with pytest.raises(Reject) as caught:
            await bridge("modbus")(bus, SystemClock(), asyncio.Event())
    for part in ("schema: 2 is not known", "stateRot: unknown key", "did you mean 'stateRoot'?"):
        assert part in str(caught.value)


async def test_stopped_before_there_is_a_configuration(tmp_path: Path) -> None:
    class NoConfig(MemoryBus):
        async def configs(self) -> AsyncIterator[dict[str, Any]]:
            await asyncio.Event().wait()
            yield {}

    stop = asyncio.Event()
    stop.set()
    async with NoConfig() as bus:
        await bridge("modbus")(bus, SystemClock(), stop)


async def test_announcements_that_repeat_themselves_cause_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with MemoryBus(config=config(tmp_path)) as bus:
        seen: list[bytes] = []

        async def on_hub(topic: str, payload: bytes) -> None:
            seen.append(payload)

        caplog.set_level("INFO")
        accept(StateRoot(tmp_path), b"schema: 1\nmodbus: {devises: []}\n")
        with bus.subscribe("hg/v1/local/hub", on_hub):
            async with running(bus):
                while len(seen) < 5:
                    await HubDouble(bus).announce()
    told = [record.message for record in caplog.records if "devises" in record.message]
    assert len(told) == 1
    assert "did you mean 'devices'?" in told[0]
