"""A disk that is full or read-only, for real: the hub waits, says why, and goes on; nothing is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.config.stateroot import StateRoot
from headgate.model import Frame, Series
from headgate.roles.hub import run
from tests.integration.hub.test_hub_role import FAST
from tests.support.hub_world import ScriptedBridge, ScriptedCloud

TABLE = [Series("meter-a/volts", "V", "f64", 1)]


def command(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 file system of 12 MiB on a loop device."""
    if os.name == "nt" or os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("a file system of its own needs root and mkfs.ext4")
    image, target = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(12 << 20)
    target.mkdir()
    try:
        command("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
        command("mount", "-o", "loop", str(image), str(target))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device: {error.stderr}")
    yield target
    command("umount", "-l", str(target))


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        for chunk in (1 << 16, 512):
            while True:
                try:
                    if not file.write(bytes(chunk)):
                        break
                except OSError:
                    break


@pytest.mark.parametrize("outage", ["full", "read-only"])
async def test_the_hub_waits_for_its_disk(disk: Path, outage: str, caplog: pytest.LogCaptureFixture) -> None:
    clock, cloud_bus, stop = SystemClock(), MemoryCloud(), asyncio.Event()
    bus = MemoryBus(cloud=cloud_bus, config={"schema": 1, "stateRoot": str(disk / "root")})
    bridge = ScriptedBridge(bus, clock, "modbus", TABLE)
    word = {"full": "the disk is full", "read-only": "the file system is read-only"}[outage]
    if outage == "read-only":
        StateRoot(disk / "root").create()
        command("mount", "-o", "remount,ro", str(disk))
    async with bus, asyncio.TaskGroup() as group:
        with ScriptedCloud("gw", cloud_bus).attached(), bridge.attached():
            hub = group.create_task(run(bus, clock, stop, thing="gw", tuning=FAST))
            try:
                if outage == "full":
                    await bridge.send([Frame(clock.boot_ms(), (0,), (1.0,))])
                    await bridge.until_acked()
                    fill(disk)
                async with asyncio.timeout(30):
                    while word not in caplog.text:
                        assert not hub.done()
                        await bridge.send([Frame(clock.boot_ms(), (0,), (2.0,))] * 200)
                        await asyncio.sleep(0.02)
                assert not hub.done()
                if outage == "full":
                    (disk / "filler").unlink()
                else:
                    command("mount", "-o", "remount,rw", str(disk))
                await bridge.until_acked()
            finally:
                stop.set()
