"""The floor: pymodbus clients in a loop, one connection and one task for each device, values thrown away.

    python -m bench._modbus_bare PLAN.json

The plan is a list of {"port", "reads": [[address, count]], "interval_s"}. Writes `ready` when all are
connected and `{"values": n, "late": n}` for each line on standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient


class _Counts:
    values = late = 0


async def _device(client: AsyncModbusTcpClient, row: dict[str, Any], first_s: float, counts: _Counts) -> None:
    loop, due_s = asyncio.get_running_loop(), first_s
    while True:
        if (left_s := due_s - loop.time()) > 0:
            await asyncio.sleep(left_s)
        else:
            counts.late += 1
        for address, count in row["reads"]:
            reply = await client.read_holding_registers(address, count=count)
            counts.values += len(reply.registers)
        due_s += row["interval_s"]


async def _run(plan: list[dict[str, Any]]) -> None:
    counts = _Counts()
    clients = [AsyncModbusTcpClient("127.0.0.1", port=row["port"]) for row in plan]
    for client in clients:
        await client.connect()
    print("ready", flush=True)
    start_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_device(client, row, start_s + row["interval_s"] * i / len(plan), counts))
            for i, (client, row) in enumerate(zip(clients, plan, strict=True))
        ]
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"values": counts.values, "late": counts.late}), flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(_run(json.loads(Path(sys.argv[1]).read_text())))
