"""One transport through pymodbus, with every reply checked: the room where pymodbus is known."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from headgate.errors import HeadgateError, Retry
from headgate.modbus.config import BIT_TABLES, Rtu, Table, Transport

_REQUESTS: dict[Table, Callable[..., ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_FUNCTION_CODES: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
"""Modbus Application Protocol V1.1b3, chapter 7."""
CONFIGURATION_EXCEPTIONS = frozenset({1, 2, 3})
"""Exception codes that repeat until the site document or the device changes."""


class NotConnected(Retry):
    """There is no connection, or it broke."""


class NoReply(Retry):
    """The device did not answer in time."""


class WrongReply(Retry):
    """Something answered, but not what was asked."""


class ExceptionReply(HeadgateError):
    """The device refused the request with a Modbus exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}, {_EXCEPTIONS.get(code, 'unknown')}")
        self.code = code


class _UnreadableError(ModbusException):
    """pymodbus could not make a reply of what arrived; the cause is its own error."""


class Client(Protocol):
    """What a line needs of a transport; one request at a time."""

    @property
    def connected(self) -> bool:
        """Whether a request can be sent."""

    async def connect(self, timeout_s: float) -> None:
        """Open the transport. Raises NotConnected."""

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        """`count` registers, or at least that many bits. Raises NotConnected, NoReply, WrongReply,
        ExceptionReply.
        """

    def close(self) -> None:
        """Close the transport; it may be opened again."""


class PymodbusClient:
    """A Client on pymodbus, which frames and parses; time-outs, retries and reconnecting are the line's."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._in_flight = False
        if isinstance(transport, Rtu):
            self._client: AsyncModbusSerialClient | AsyncModbusTcpClient = AsyncModbusSerialClient(
                transport.path,
                baudrate=transport.baudrate,
                parity=transport.parity,
                stopbits=transport.stopbits,
                reconnect_delay=0,
                retries=0,
                trace_connect=self._on_connection,
            )
        else:
            self._client = AsyncModbusTcpClient(
                transport.host,
                port=transport.port,
                reconnect_delay=0,
                retries=0,
                trace_connect=self._on_connection,
            )
        context = self._client.ctx
        self._parse = context.callback_data
        context.callback_data = self._on_data  # type: ignore[method-assign]  # see there
        # pymodbus would close the connection after some silent requests: a dead unit must not cut off others.
        self._client.set_max_no_responses(1 << 31)

    @property
    def connected(self) -> bool:
        """See `Client.connected`."""
        return self._client.connected

    async def connect(self, timeout_s: float) -> None:
        """See `Client.connect`."""
        self._client.ctx.comm_params.timeout_connect = timeout_s
        try:
            connected = await self._client.connect()
        except ValueError as error:  # a baud rate or host name that the platform does not know
            raise NotConnected(f"cannot open {self._transport}: {error}") from error
        if not connected:
            self._client.close()
            raise NotConnected(f"cannot open {self._transport}")

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        """See `Client.read`."""
        context = self._client.ctx
        if not context.is_active():
            raise NotConnected(f"no connection to {self._transport}")
        # pymodbus has one time-out for connecting and replies; it reads it anew for each request.
        context.comm_params.timeout_connect = timeout_s
        request = _REQUESTS[table](address=address, count=count, dev_id=unit)
        self._in_flight = True
        try:
            reply = await context.execute(False, request)
        except _UnreadableError as error:
            raise WrongReply(str(error.__cause__)) from error
        except ModbusException as error:
            if not context.is_active():
                raise NotConnected(f"{self._transport} closed the connection") from error
            raise NoReply(f"no reply within {timeout_s:g} s") from error
        finally:
            self._in_flight = False
        return _checked(reply, table, unit, count)

    def close(self) -> None:
        """See `Client.close`."""
        self._client.close()

    def _on_connection(self, connected: bool) -> None:
        # pymodbus leaves the request in flight waiting when its connection breaks.
        if not connected:
            self._fail(ModbusException("connection lost"))

    def _on_data(self, data: bytes, addr: tuple[str, int] | None = None) -> int:
        """Parse what arrived. pymodbus lets parse errors out into the event loop, which logs and hangs up."""
        try:
            return self._parse(data, addr)
        except (ModbusException, struct.error, LookupError, ValueError) as error:
            unreadable = _UnreadableError("unreadable reply")
            unreadable.__cause__ = error
            self._fail(unreadable)
            return len(data)

    def _fail(self, error: ModbusException) -> None:
        """End the request in flight, if there is one."""
        future: asyncio.Future[ModbusPDU] = self._client.ctx.response_future
        if self._in_flight and not future.done():
            future.set_exception(error)


def _checked(reply: ModbusPDU, table: Table, unit: int, count: int) -> Sequence[int]:
    """The data of a reply that answers what was asked; pymodbus takes other lengths and functions too."""
    function = _FUNCTION_CODES[table]
    if reply.dev_id != unit:
        raise WrongReply(f"unit {reply.dev_id} answered instead of unit {unit}")
    if reply.isError() and reply.function_code == function | 0x80:
        raise ExceptionReply(reply.exception_code)
    if reply.function_code != function:
        raise WrongReply(f"reply with function code {reply.function_code} instead of {function}")
    if table in BIT_TABLES:
        bits = reply.bits
        if len(bits) != (count + 7) // 8 * 8:
            raise WrongReply(f"reply with {len(bits) // 8} B of bits instead of {(count + 7) // 8}")
        return bits
    registers = reply.registers
    if len(registers) != count:
        raise WrongReply(f"reply with {len(registers)} registers instead of {count}")
    return registers
