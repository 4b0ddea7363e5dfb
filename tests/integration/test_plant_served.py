"""The plant over real sockets and a real pty: what clients read is what the records say."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from gateway_sim.devices import plantfile
from gateway_sim.devices.__main__ import main
from gateway_sim.devices.layout import plant_room
from gateway_sim.devices.plant import running
from gateway_sim.devices.plantfile import Device, Group, served_path

Client = AsyncModbusTcpClient | AsyncModbusSerialClient


async def connect(device: Device, timeout_s: float = 10) -> Client:
    client: Client
    if device.transport == "tcp":
        assert device.host is not None
        assert device.port is not None
        client = AsyncModbusTcpClient(device.host, port=device.port, timeout=timeout_s, retries=0)
    else:
        assert device.path is not None
        assert device.baudrate is not None
        client = AsyncModbusSerialClient(device.path, baudrate=device.baudrate, timeout=timeout_s, retries=0)
    assert await client.connect()
    return client


async def read(client: Client, table: str, address: int, count: int, unit: int) -> Any:
    function = client.read_holding_registers if table == "holding" else client.read_input_registers
    return await function(address, count=count, device_id=unit)


async def poll(client: Client, device: Device, group: Group) -> list[int]:
    answer = await read(client, group.table, group.address, group.count, device.unit)
    assert not answer.isError()
    registers: list[int] = answer.registers
    return registers


def served(directory: Path, device: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in served_path(directory, device).read_text().splitlines()]


async def test_every_response_is_counted_and_recorded(tmp_path: Path) -> None:
    async def poll_all(device: Device) -> list[tuple[str, list[int]]]:
        client = await connect(device)
        got = [(g.name, await poll(client, device, g)) for _ in range(20) for g in device.groups]
        client.close()
        return got

    async with running(plant_room(1), tmp_path) as plant:
        assert plantfile.read(tmp_path) == plant.plant
        async with asyncio.TaskGroup() as group:
            tasks = {d.name: group.create_task(poll_all(d), name=d.name) for d in plant.plant.devices}
    for name, task in tasks.items():
        rows = served(tmp_path, name)
        assert [(row["group"], row["registers"]) for row in rows] == task.result()
        counts: Counter[str] = Counter()
        for row in rows:
            counts[row["group"]] += 1
            assert row["count"] == counts[row["group"]]
            if name != "room":  # which is one as it is sold: nothing in it counts
                high, low = row["registers"][:2]
                assert row["count"] == high << 16 | low


async def test_other_ranges_are_answered_but_do_not_count(tmp_path: Path) -> None:
    async with running(plant_room(1), tmp_path) as plant:
        device = plant.plant.devices[0]
        fast = device.groups[0]
        client = await connect(device)
        await poll(client, device, fast)
        part = await read(client, "holding", fast.address, 3, device.unit)
        assert part.registers[:2] == [0, 1]
        assert (await poll(client, device, fast))[:2] == [0, 2]
        client.close()
    rows = served(tmp_path, device.name)
    assert [row["group"] for row in rows] == ["fast", None, "fast"]
    assert rows[1]["registers"] == part.registers
    assert (rows[1]["table"], rows[1]["address"]) == ("holding", fast.address)


@pytest.mark.parametrize(
    ("table", "address", "count"), [("holding", 0, 125), ("input", 0, 2), ("holding", 9999, 1)]
)
async def test_illegal_addresses_answer_exception_02(
    tmp_path: Path, table: str, address: int, count: int
) -> None:
    async with running(plant_room(1), tmp_path) as plant:
        device = plant.plant.devices[0]
        client = await connect(device)
        assert (await read(client, table, address, count, device.unit)).exception_code == 2
        assert (await client.write_register(0, 1, device_id=device.unit)).exception_code == 2
        client.close()
    assert served(tmp_path, device.name) == []


async def test_another_unit_gets_no_answer(tmp_path: Path) -> None:
    async with running(plant_room(1), tmp_path) as plant:
        for device in plant.plant.devices:
            client = await connect(device, timeout_s=0.1)
            with pytest.raises(ModbusIOException, match="No response"):
                await read(client, "holding", device.groups[0].address, 2, device.unit + 1)
            client.close()
            client = await connect(device)
            registers = await poll(client, device, device.groups[0])
            assert device.groups[0].counter is None or registers[:2] == [0, 1]
            client.close()


async def test_a_device_started_again_goes_on_counting(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with running(plant_room(1), tmp_path) as plant:
            device = plant.plant.devices[2]
            client = await connect(device)
            assert (await poll(client, device, device.groups[0]))[:2] == [0, expected]
            client.close()
        with served_path(tmp_path, "boiler").open("a") as record:
            record.write('{"t_ms":1,"gro')  # a line torn by a crash
    assert len(served_path(tmp_path, "boiler").read_text().splitlines()) == 3


async def test_a_blocked_device_does_not_block_the_others(tmp_path: Path) -> None:
    async with running(plant_room(1), tmp_path) as plant:
        plant.devices["meter-a"].answer_delay_s = 3600
        device, other, *_ = plant.plant.devices
        first, second = await connect(device), await connect(other)
        waiting = asyncio.create_task(poll(first, device, device.groups[0]), name="blocked")
        for _ in range(10):
            await poll(second, other, other.groups[0])
        assert not waiting.done()
        waiting.cancel()
        first.close()
        second.close()
    assert served(tmp_path, "meter-a") == []
    assert len(served(tmp_path, "meter-b")) == 10


async def test_the_process_serves_and_stops_in_order(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gateway_sim.devices",
        "--dir",
        str(tmp_path),
        "--devices",
        "2",
        "--tags",
        "5",
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert b"2 devices, 10 values/s" in await process.stdout.readline()
    device = plantfile.read(tmp_path).devices[1]
    client = await connect(device)
    assert len(await poll(client, device, device.groups[0])) == device.groups[0].count
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    client.close()


def test_what_cannot_be_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dir", str(tmp_path), "--tags", "900"]) == 2
    assert "use more devices instead" in capsys.readouterr().err
    assert main(["--dir", str(tmp_path), "--host", "256.0.0.1"]) == 2
    assert "meter-a: cannot listen on 256.0.0.1" in capsys.readouterr().err
