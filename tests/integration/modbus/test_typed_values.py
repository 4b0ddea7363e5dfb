"""Values of many types through a real server, polled and asked for, and on through a batch to columns."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.batch import decode, encode
from headgate.clock import SystemClock
from headgate.columns import from_batch
from headgate.driver import Request
from headgate.modbus.driver import ModbusDriver
from headgate.model import Batch, ClockState, Frame, Quality
from tests.support.modbus_servers import tcp_server

# The server's unit 1 has holding registers 0..99 = 1000..1099 (0x03E8..), and coils on and off by turns.
TAGS: dict[str, tuple[dict[str, Any], Any, Quality]] = {
    "cdab": ({"register": 40001, "type": "uint32", "order": "cdab"}, 0x03E903E8, Quality.GOOD),
    "exact": ({"register": 40001, "type": "uint64"}, 0x03E803E903EA03EB, Quality.GOOD),
    "rounded": (
        {"register": 40001, "type": "uint64", "decimals": 3},
        0x03E803E903EA03EB / 1000,
        Quality.UNCERTAIN,
    ),
    "half": ({"register": 40001, "type": "uint8_low"}, 0xE8, Quality.GOOD),
    "bit": ({"register": 40001, "type": "bit", "bit": 3}, True, Quality.GOOD),
    "bcd": ({"register": 40001, "type": "bcd16"}, None, Quality.BAD_VALUE),
    "warm": ({"register": 40003, "type": "int16", "scale": 0.25, "offset": -40}, 210.5, Quality.GOOD),
    "state": ({"register": 40004, "type": "uint16", "mask": 3, "values": {3: "run"}}, "run", Quality.GOOD),
    "other": ({"register": 40004, "type": "uint16", "values": {3: "run"}}, "1003", Quality.UNCERTAIN),
    "none": ({"register": 40005, "type": "uint16", "not_available": 1004}, None, Quality.BAD_VALUE),
    "text": (
        {"register": 40025, "type": "string", "length": 2, "encoding": "latin-1", "byte_order": "little"},
        "\x00\x04\x01\x04".strip("\0"),
        Quality.GOOD,
    ),
    "coil": ({"table": "coil", "address": 1, "values": {0: "shut", 1: "open"}}, "shut", Quality.GOOD),
}


def site(port: int) -> dict[str, Any]:
    tags = [{"name": name} | keys for name, (keys, _, _) in TAGS.items()]
    group = {"name": "g", "interval_s": 0.02, "tags": tags}
    transport = {"kind": "tcp", "host": "127.0.0.1", "port": port}
    return {"devices": [{"name": "d", "transport": transport, "groups": [group]}]}


async def first_frames(driver: ModbusDriver, count: int) -> list[Frame]:
    """What the driver emits first; it is stopped then."""
    frames: list[Frame] = []

    def take(frame: Frame) -> None:
        frames.append(frame)
        if len(frames) == count:
            driver.stop()

    async with asyncio.timeout(20):
        await driver.run(take)
    return frames[:count]


async def test_values_of_every_kind_arrive_in_columns_as_they_were_read() -> None:
    async with tcp_server(1) as port:
        driver = ModbusDriver(SystemClock())
        driver.apply(driver.plan(site(port)))
        frames = await first_frames(driver, 3)
    batch = Batch("modbus", 1, 1, 1, bytes(16), "boot", 0, ClockState.SYNCED, 0, frames)
    (wire,) = encode(batch)
    groups, unfit = from_batch(decode(wire), driver.table())
    assert unfit == 0
    got = {
        series.name: (columns.values[i][0], (columns.quality[i] or b"\0")[0])
        for columns in groups
        for i, series in enumerate(columns.series)
    }
    assert got == {f"d/{name}": (value, quality) for name, (_, value, quality) in TAGS.items()}


async def test_what_is_asked_for_has_the_values_of_the_polls() -> None:
    async with tcp_server(1) as port:
        driver = ModbusDriver(SystemClock())
        driver.apply(driver.plan(site(port)))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(driver.run(lambda frame: None), name="driver")
            names = [f"d/{name}" for name in TAGS]
            reply = await driver.call(Request("1", 1, "read", {"series": names}, 0, "direct"))
            driver.stop()
            await running
    assert reply.result is not None
    got = {row["series"]: (row["value"], row["quality"]) for row in reply.result["values"]}
    assert got == {f"d/{name}": (value, quality) for name, (_, value, quality) in TAGS.items()}
