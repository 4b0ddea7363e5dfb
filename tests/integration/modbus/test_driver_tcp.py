"""The driver against real pymodbus servers over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from headgate.clock import SystemClock
from headgate.driver import Request
from headgate.errors import Reject
from headgate.model import Frame, Quality
from headgate.modbus.driver import ModbusDriver

TracePdu = Callable[[bool, ModbusPDU], ModbusPDU]


@asynccontextmanager
async def served(*units: int, port: int = 0, trace_pdu: TracePdu | None = None) -> AsyncIterator[int]:
    """A server on loopback with holding registers 0..99 = 1000 + address, coils 0..15 alternating."""
    devices = [
        SimDevice(
            unit,
            simdata=(
                [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)],
                [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
                [SimData(0, values=[1000 + i for i in range(100)], datatype=DataType.REGISTERS)],
                [SimData(0, values=[0] * 10, datatype=DataType.REGISTERS)],
            ),
        )
        for unit in units
    ]
    server = ModbusTcpServer(devices, address=("127.0.0.1", port), trace_pdu=trace_pdu)
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()
