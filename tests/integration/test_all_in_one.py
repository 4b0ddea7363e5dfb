"""All roles in one process: who is started when, what a failure costs, and who ends last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from headgate.bus.api import Bus
from headgate.bus.memory import MemoryBus
from headgate.clock import Clock, SystemClock
from headgate.errors import Fatal, Retry
from headgate.roles import all_in_one
from headgate.roles.all_in_one import Guest
from headgate.roles.process import causes
from headgate.store.lock import RootLock

TAG = {"name": "x", "table": "holding", "address": 0, "type": "uint16"}
DEVICE = {
    "name": "m",
    "transport": {"kind": "tcp", "host": "127.0.0.1"},
    "groups": [{"name": "g", "interval_s": 1, "tags": [TAG]}],
}
REPORT = {"type": "dropped", "series": "m/x", "from": 1, "to": 2, "count": 1, "why": "test"}


class Script:
    """What scripted guests do and did."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.failures: list[Exception] = []
        self.changed = asyncio.Event()

    async def until(self, event: str, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while self.events.count(event) < times:
                self.changed.clear()
                await self.changed.wait()

    def note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    def guest(self, name: str) -> object:
        """A role that fails as the script says, else runs, and reports to the hub when it ends."""

        async def role(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
            self.note(f"{name} began")
            if self.failures and name == "modbus":
                raise self.failures.pop(0)
            async for config in bus.configs():
                assert set(config) <= {"schema", "stateRoot"}
                break
            await stop.wait()
            answer = await bus.request("hg/v1/local/report", json.dumps(REPORT).encode(), timeout_s=10)
            self.note(f"{name} ended {json.loads(answer)}")

        return role


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()
    guests = [Guest("modbus", "", (), "modbus"), Guest("ble", "", (), "ble"), Guest("files", "", ())]
    monkeypatch.setattr(Guest, "load", lambda guest: script.guest(guest.name))
    monkeypatch.setattr(all_in_one, "GUESTS", guests)
    monkeypatch.setattr(all_in_one, "AGAIN_FIRST_MS", 1)
    monkeypatch.setenv("AWS_IOT_THING_NAME", "gw-1")
    return script


def config(root: Path, **sections: object) -> Mapping[str, Any]:
    return {"schema": 1, "stateRoot": str(root), "inline": {"schema": 1, **sections}}


@asynccontextmanager
async def running(outside: MemoryBus) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(all_in_one.run(outside, SystemClock(), stop))
        yield
        stop.set()


async def test_a_role_is_started_once_the_site_document_has_work_for_it(
    tmp_path: Path, script: Script
) -> None:
    async with MemoryBus(config=config(tmp_path)) as outside, running(outside):
        await script.until("files began")
        assert script.events == ["files began"]
        outside.set_config(config(tmp_path, modbus={"devices": [DEVICE]}))
        await script.until("modbus began")
    assert "ble began" not in script.events


async def test_a_role_that_fails_is_started_again_and_the_others_go_on(
    tmp_path: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.failures = [Retry("no adapter"), ZeroDivisionError("a fault of ours"), OSError(5, "input/output")]
    document = config(tmp_path, modbus={"devices": [DEVICE]})
    async with MemoryBus(config=document) as outside, running(outside):
        await script.until("modbus began", times=4)
        await script.until("files began")
    assert script.events.count("modbus began") == 4
    assert script.events.count("files began") == 1
    assert script.events[-1].endswith("ended {'ok': True}")
    assert "modbus: Retry: no adapter" in caplog.text
    assert "modbus: ZeroDivisionError: a fault of ours\nTraceback" in caplog.text
    assert "modbus starts again in 0.004 s" in caplog.text


async def test_what_is_fatal_ends_the_process_and_frees_the_state_root(
    tmp_path: Path, script: Script
) -> None:
    script.failures = [Fatal("the spool cannot be written")]
    with pytest.raises(ExceptionGroup) as ended:
        async with MemoryBus(config=config(tmp_path, modbus={"devices": [DEVICE]})) as outside:
            await all_in_one.run(outside, SystemClock(), asyncio.Event())
    assert [str(cause) for cause in causes(ended.value)] == ["the spool cannot be written"]
    with closing(RootLock(tmp_path / "lock")):
        pass


async def test_beside_another_hub_it_waits_with_a_word(
    tmp_path: Path, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    document = config(tmp_path, modbus={"devices": [DEVICE]})
    async with MemoryBus(config=document) as outside, running(outside):
        with closing(RootLock(tmp_path / "lock")):
            async with asyncio.timeout(30):
                while "is in use by another hub" not in caplog.text:
                    await asyncio.sleep(0.01)
            assert "modbus began" not in script.events
        await script.until("modbus began")


async def test_at_a_stop_the_hub_still_takes_what_the_others_hand_over(
    tmp_path: Path, script: Script
) -> None:
    document = config(tmp_path, modbus={"devices": [DEVICE]})
    async with MemoryBus(config=document) as outside, running(outside):
        await script.until("modbus began")
        await script.until("files began")
    assert sorted(script.events[-2:]) == ["files ended {'ok': True}", "modbus ended {'ok': True}"]
