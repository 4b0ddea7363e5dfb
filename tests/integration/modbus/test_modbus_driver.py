"""The driver on real sockets and ptys, against pymodbus's servers and against peers that misbehave."""

from __future__ import annotations

import os
import select
import struct
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headgate.driver import Request
from headgate.model import Quality
from tests.support.modbus_driven import driven
from tests.support.modbus_servers import Answer, framed, rtu_server, scripted_server, tcp_server

TAGS = [
    {"name": "u16", "table": "holding", "address": 0, "type": "uint16", "decimals": 1},
    {"name": "u32", "table": "holding", "address": 2, "type": "uint32"},
    {"name": "coil", "table": "coil", "address": 1},
]


def device(name: str, unit: int, transport: dict[str, Any], **more: Any) -> dict[str, Any]:
    group = {"name": "g", "interval_s": 0.02, "tags": more.pop("tags", TAGS)}
    return {"name": name, "unit": unit, "timeout_s": 0.1, "transport": transport, "groups": [group]} | more


def tcp(port: int) -> dict[str, Any]:
    return {"kind": "tcp", "host": "127.0.0.1", "port": port}


async def test_two_units_behind_one_endpoint_share_its_connection() -> None:
    async with tcp_server(1, 2) as port, driven(device("a", 1, tcp(port)), device("b", 2, tcp(port))) as got:
        await got.until(lambda: len(got.values("b/u32")) >= 5)
        assert set(got.values("a/u16")) == {(100.0, 0)}
        assert set(got.values("b/u16")) == {(200.0, 0)}
        assert set(got.values("a/u32")) == {((1002 << 16) + 1003, 0)}
        assert set(got.values("a/coil")) == {(False, 0)}
        assert dict(got.driver.health())["connects"] == 1


async def test_a_dead_device_stands_beside_a_live_one() -> None:
    async with tcp_server(1) as port, tcp_server(1) as dead_port:
        pass
    async with (
        tcp_server(1) as port,
        driven(device("live", 1, tcp(port)), device("dead", 1, tcp(dead_port))) as got,
    ):
        await got.until(lambda: len(got.values("live/u16")) >= 50)
        assert set(got.values("live/u16")) == {(100.0, 0)}
        assert set(got.values("dead/u16")) == {(None, Quality.BAD_COMM)}


async def test_a_server_that_restarts_is_found_again() -> None:
    async with tcp_server(1) as port, driven(device("a", 1, tcp(port))) as got:
        await got.until(lambda: len(got.values("a/u16")) >= 3)
    async with driven(device("a", 1, tcp(port))) as got:
        await got.until(lambda: (None, Quality.BAD_COMM) in got.values("a/u16"))
        async with tcp_server(1, port=port):
            await got.until(lambda: got.values("a/u16")[-1] == (100.0, 0))


async def test_an_address_that_the_device_lacks_is_marked_as_configuration() -> None:
    tags = [*TAGS, {"name": "far", "table": "holding", "address": 5000, "type": "uint16"}]
    async with tcp_server(1) as port, driven(device("a", 1, tcp(port), tags=tags)) as got:
        await got.until(lambda: len(got.values("a/far")) >= 1 and len(got.values("a/u16")) >= 3)
        assert set(got.values("a/far")) == {(None, Quality.BAD_CONFIG)}
        assert set(got.values("a/u16")) == {(100.0, 0)}


def registers(*values: int, function: int = 3) -> bytes:
    return struct.pack(f">BB{len(values)}H", function, 2 * len(values), *values)


BAD_ANSWERS: dict[str, Answer] = {
    "too few registers": lambda tid, unit, pdu: framed(tid, unit, registers(7)),
    "too many registers": lambda tid, unit, pdu: framed(tid, unit, registers(7, 7, 7)),
    "no registers": lambda tid, unit, pdu: framed(tid, unit, b"\x03\x00"),
    "half a register": lambda tid, unit, pdu: framed(tid, unit, b"\x03\x03\x00\x07\x00"),
    "another function": lambda tid, unit, pdu: framed(tid, unit, registers(7, 7, function=4)),
    "an exception of another function": lambda tid, unit, pdu: framed(tid, unit, b"\x84\x02"),
    "another unit": lambda tid, unit, pdu: framed(tid, unit + 1, registers(7, 7)),
    "another transaction": lambda tid, unit, pdu: framed(tid + 1, unit, registers(7, 7)),
    "half a frame": lambda tid, unit, pdu: framed(tid, unit, registers(7, 7))[:-2],
    "an unknown function": lambda tid, unit, pdu: framed(tid, unit, b"\x66\x01\x02"),
    "garbage": lambda tid, unit, pdu: b"\xff" * 40,
    "silence": lambda tid, unit, pdu: None,
    "a closed connection": lambda tid, unit, pdu: b"",
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_no_wrong_answer_becomes_a_value(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    tags = [{"name": "x", "table": "holding", "address": 0, "type": "uint32"}]
    broken = [True]

    def answer(tid: int, unit: int, pdu: bytes) -> bytes | None:
        return BAD_ANSWERS[bad](tid, unit, pdu) if broken[0] else framed(tid, unit, registers(0, 9))

    async with (
        scripted_server(answer) as port,
        driven(device("a", 1, tcp(port), tags=tags, timeout_s=0.03, retries=0)) as got,
    ):
        await got.until(lambda: len(got.values("a/x")) >= 2)
        assert set(got.values("a/x")) == {(None, Quality.BAD_COMM)}
        broken[0] = False
        await got.until(lambda: got.values("a/x")[-1] == (9, 0))
        assert set(got.values("a/x")) == {(None, Quality.BAD_COMM), (9, 0)}
    assert not caplog.records  # nothing leaks into the event loop's own error log


async def test_a_closed_connection_is_seen_before_the_time_out() -> None:
    answered: list[int] = []

    def answer(tid: int, unit: int, pdu: bytes) -> bytes | None:
        answered.append(tid)
        return b"" if len(answered) == 1 else framed(tid, unit, registers(0, 9))

    tags = [{"name": "x", "table": "holding", "address": 0, "type": "uint32"}]
    # The time-out is far beyond this test's patience: only the connection's end can bring the retry on.
    async with (
        scripted_server(answer) as port,
        driven(device("a", 1, tcp(port), tags=tags, timeout_s=60)) as got,
    ):
        await got.until(lambda: got.values("a/x")[-1:] == [(9, 0)])
        assert set(got.values("a/x")) == {(9, 0)}


async def test_a_read_from_outside() -> None:
    async with tcp_server(1) as port, driven(device("a", 1, tcp(port))) as got:
        request = Request("1", 1, "read", {"series": ["a/u32", "a/coil"]}, 0, "direct")
        reply = await got.driver.call(request)
        assert reply.status == "ok"
        assert reply.result is not None
        assert {row["series"]: row["value"] for row in reply.result["values"]} == {
            "a/u32": (1002 << 16) + 1003,
            "a/coil": False,
        }


@contextmanager
def pty_pair() -> Iterator[tuple[str, str]]:
    """Two serial devices joined back to back."""
    masters, paths, slaves = [], [], []
    for _ in range(2):
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        masters.append(master)
        slaves.append(slave)
        paths.append(os.ttyname(slave))
    ended, end = os.pipe()

    def pump() -> None:
        while True:
            ready, _, _ = select.select([*masters, ended], [], [])
            if ended in ready:
                return
            for master in ready:
                os.write(masters[1 - masters.index(master)], os.read(master, 1024))

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield paths[0], paths[1]
    finally:
        os.write(end, b"x")
        thread.join()
        for descriptor in (*masters, *slaves, ended, end):
            os.close(descriptor)


async def test_rtu_over_a_serial_line() -> None:
    with pty_pair() as (ours, theirs):
        line = {"kind": "rtu", "path": ours}
        async with (
            rtu_server(theirs, 1, 2),
            driven(device("a", 1, line), device("b", 2, line)) as got,
        ):
            await got.until(lambda: len(got.values("b/u16")) >= 5)
            assert set(got.values("a/u32")) == {((1002 << 16) + 1003, 0)}
            assert set(got.values("b/u16")) == {(200.0, 0)}


async def test_a_serial_device_that_is_not_there_is_marked() -> None:
    line = {"kind": "rtu", "path": "/dev/does-not-exist"}
    async with driven(device("a", 1, line)) as got:
        await got.until(lambda: len(got.values("a/u16")) >= 2)
        assert set(got.values("a/u16")) == {(None, Quality.BAD_COMM)}
