"""Modbus servers for tests: pymodbus's own, and one that answers with whatever bytes a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

# pymodbus reports each odd request on stderr; what happened is in the frames.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)


def unit(number: int) -> SimDevice:
    """Holding registers 0..99 hold 1000 * unit + address, coils 0..15 are on and off by turns."""
    return SimDevice(
        number,
        simdata=(
            [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)],
            [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
            [SimData(0, values=[1000 * number + i for i in range(100)], datatype=DataType.REGISTERS)],
            [SimData(0, values=[0] * 10, datatype=DataType.REGISTERS)],
        ),
    )


@asynccontextmanager
async def tcp_server(*units: int, port: int = 0) -> AsyncIterator[int]:
    """A pymodbus server on loopback; yields its port."""
    server = ModbusTcpServer([unit(number) for number in units], address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@asynccontextmanager
async def rtu_server(path: str, *units: int) -> AsyncIterator[None]:
    """A pymodbus RTU server on a serial device (one end of a pty pair)."""
    server = ModbusSerialServer([unit(number) for number in units], port=path, baudrate=19_200)
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


Answer = Callable[[int, int, bytes], bytes | None]
"""From (transaction id, unit, PDU) to the bytes to send back, None to stay silent."""


@asynccontextmanager
async def scripted_server(answer: Answer) -> AsyncIterator[int]:
    """A TCP server that answers each request as the test says; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                tid, _, length, number = struct.unpack(">HHHB", await reader.readexactly(7))
                reply = answer(tid, number, await reader.readexactly(length - 1))
                if reply == b"":
                    break
                if reply is not None:
                    writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def framed(tid: int, number: int, pdu: bytes) -> bytes:
    """A Modbus TCP frame."""
    return struct.pack(">HHHB", tid, 0, len(pdu) + 1, number) + pdu
