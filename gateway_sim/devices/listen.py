"""Starts pymodbus's servers for simulated devices and says where they listen."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Sequence

from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import SimDevice

from gateway_sim.devices.layout import BAUDRATE
from gateway_sim.devices.line import SerialLine
from gateway_sim.devices.plantfile import PlantError

Trace = Callable[[bool, ModbusPDU], ModbusPDU]
"""pymodbus's hook for each PDU received or sent; its handler drops a request for which this has None."""


async def listen_tcp(
    devices: Sequence[SimDevice],
    name: str,
    host: str,
    stack: contextlib.AsyncExitStack,
    *,
    trace_pdu: Trace,
    custom_pdu: Sequence[type[ModbusPDU]] = (),
) -> int:
    """Serve on any port of `host` while the stack is open; the port. Raises PlantError."""
    server = ModbusTcpServer(
        list(devices), address=(host, 0), trace_pdu=trace_pdu, custom_pdu=list(custom_pdu)
    )
    await _start(server, name, f"{host}, any port", stack)
    # pymodbus types its transport as one connection's; a listening one is asyncio's Server.
    return int(server.transport.sockets[0].getsockname()[1])  # type: ignore[attr-defined]


async def listen_serial(
    devices: Sequence[SimDevice],
    name: str,
    stack: contextlib.AsyncExitStack,
    *,
    trace_pdu: Trace,
    custom_pdu: Sequence[type[ModbusPDU]] = (),
) -> str:
    """Serve Modbus RTU on a pty while the stack is open; the gateway's end of it. Raises PlantError."""
    try:
        line = stack.enter_context(SerialLine())
    except OSError as error:
        raise PlantError(f"{name}: no pty to be had ({error.strerror}): is /dev/pts mounted?") from error
    server = ModbusSerialServer(
        list(devices),
        framer=FramerType.RTU,
        port=line.device_path,
        baudrate=BAUDRATE,
        trace_pdu=trace_pdu,
        custom_pdu=list(custom_pdu),
    )
    await _start(server, name, line.device_path, stack)
    return line.gateway_path


async def _start(
    server: ModbusTcpServer | ModbusSerialServer, name: str, where: str, stack: contextlib.AsyncExitStack
) -> None:
    stack.push_async_callback(server.shutdown)
    try:
        await server.serve_forever(background=True)
    except (RuntimeError, OSError) as error:  # pymodbus turns a bind's OSError into RuntimeError
        reason = errno.errorcode.get(getattr(error, "errno", None) or 0, str(error))
        raise PlantError(f"{name}: cannot listen on {where}: {reason}") from error
