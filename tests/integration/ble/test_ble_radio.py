"""The fake radio under bleak's own BlueZ backend: what is heard and read is what the record says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from gateway_sim.ble.blefile import Radio, read, sent_path
from gateway_sim.ble.radio import running
from gateway_sim.ble.sensors import building
from gateway_sim.faults.control import command

LISTEN_S = 3.4


def sent(directory: Path, device: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sent_path(directory, device).read_text().splitlines()]


async def listen(radio: Radio) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.ble_listener", str(LISTEN_S)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": radio.bus_address},
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


async def test_bleak_hears_and_reads_what_the_record_says(tmp_path: Path) -> None:
    sensors = [
        sensor for sensor in building(1) if sensor.device.name != "loft"
    ]  # reads are told apart by UUID
    async with running(sensors, tmp_path) as (radio, _):
        assert read(tmp_path) == radio
        found = await listen(radio)
    for sensor in sensors:
        device = sensor.device
        rows = [row for row in sent(tmp_path, device.name) if row["kind"] == "advert" and row["heard"]]
        packets = [sensor.advertise(row["count"], row["raw"]) for row in rows]
        payloads = [
            b"".join([*p.service_data.values(), *p.manufacturer_data.values()]).hex() for p in packets
        ]
        heard = [payload for address, payload in found["heard"] if address == device.address]
        if not sensor.connectable:  # Device1's other changes repeat the last packet of a connectable one
            assert heard == payloads
        assert len({row["count"] for row in rows}) >= 3
    reads = [row for row in sent(tmp_path, "workshop") if row["kind"] == "read"]
    assert {row["session"] for row in reads} == {1}
    assert (
        sorted(row["characteristic"] for row in reads) == sorted(found["reads"]) == ["2a6d", "2a6e", "2a6f"]
    )
    for row in reads:
        (raw,) = row["raw"].values()
        assert int.from_bytes(bytes.fromhex(found["reads"][row["characteristic"]]), "little") == raw


async def test_bleak_is_the_installed_one_and_nothing_of_it_is_patched(tmp_path: Path) -> None:
    async with running(building(1), tmp_path) as (radio, _):
        found = await listen(radio)
    assert "bleak.backends.bluezdbus.manager" in found["backend"]
    assert found["foreign"] == []
    assert found["changed"] == []


async def test_faults_on_order(tmp_path: Path) -> None:
    async with running(building(1), tmp_path) as (radio, _):
        control = Path(radio.control)
        assert (await command(control))["powered"] is True
        assert (await command(control, power=False))["powered"] is False
        assert (await command(control, power=True))["powered"] is True
        assert (await command(control, hang_reads=True))["hang_reads"] is True
        assert (await command(control, restart="killed"))["wedged"] is True
        assert (await command(control, power=False))["wedged"] is False
        for name in ("busy", "deaf", "hang_connects"):
            assert (await command(control, **{name: True}))[name] is True
            assert (await command(control, **{name: False}))[name] is False
        assert (await command(control, plug=False))["plugged"] is False
        assert (await command(control, plug=True))["plugged"] is True
        assert (await command(control, absent=["office"]))["absent"] == ["office"]
        assert (await command(control, absent=["nobody"]))["ok"] is False
        assert (await command(control, bluez="5.87"))["bluez"] == "5.87"
        assert (await command(control, strangers=3))["strangers_per_s"] == 3
        assert (await command(control, restart="clean", down_s=0))["wedged"] is False
        refused = await command(control, power="off")
        assert refused["ok"] is False
        assert "a command is" in str(refused["error"])
