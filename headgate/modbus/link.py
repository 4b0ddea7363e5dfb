"""One transport through pymodbus, with every reply checked: the room where pymodbus is known."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, AsyncModbusUdpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest
from pymodbus.transaction import TransactionManager

from headgate.errors import Fatal, HeadgateError
from headgate.modbus.checks import FUNCTION_CODES, REFUSED, data_bytes, read_reply
from headgate.modbus.client import ExceptionReply, NoReply, NotConnected, WrongReply
from headgate.modbus.framing import AsciiFramer, Measure, RawReply, RawRequest, RtuFramer, TcpFramer
from headgate.modbus.inquiry import Inquiry
from headgate.modbus.puts import Put, check_write_reply, reply_bytes, write_request
from headgate.modbus.tags import Table
from headgate.modbus.tls import explain, make_context
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Tcp, Tls, Transport, Udp, numbered

_REQUESTS: dict[Table, Callable[..., ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
MAX_BUFFER_BYTES = 1 << 16
"""What may wait to be a frame; pymodbus's own bound lets a late reply and the next together run over."""
_OPEN_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError)
"""ValueError: a baud rate or host name that the platform does not know."""
if sys.platform != "win32":
    import termios

    _OPEN_ERRORS = (*_OPEN_ERRORS, termios.error)  # pyserial lets it through
Create = Callable[[], Coroutine[Any, Any, Any]]


class PymodbusClient:
    """A Client on pymodbus, which frames and parses; time-outs, retries and reconnecting are the line's."""

    def __init__(self, transport: Transport, *, permits: tuple[bytes, ...] | None = None) -> None:
        """`permits`: how the PDU of a request must start to be sent at all; None: anything is sent."""
        self._transport = transport
        self._permits = permits
        self._connection: _Connection | None = None
        self._heard = 0

    @property
    def connected(self) -> bool:
        """See `Client.connected`."""
        return self._connection is not None and self._connection.context.is_active()

    @property
    def heard(self) -> int:
        """See `Client.heard`."""
        return self._heard

    async def connect(self, timeout_s: float) -> None:
        """See `Client.connect`."""
        self.close()
        connection = _Connection(self._transport, self._on_heard, self._permits)
        await connection.open(timeout_s)
        self._connection = connection

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        """See `Client.read`."""
        if self._connection is None:
            raise NotConnected(f"no connection to {self._transport}")
        request = _REQUESTS[table](address=address, count=count, dev_id=unit)
        size = data_bytes(table, count)
        pdu = await self._connection.exchange(request, FUNCTION_CODES[table], size, timeout_s)
        return read_reply(pdu, table, count)

    async def write(self, put: Put, unit: int, timeout_s: float) -> None:
        """See `Client.write`."""
        if self._connection is None:
            raise NotConnected(f"no connection to {self._transport}")
        request = RawRequest(unit, put.function, write_request(put))
        pdu = await self._connection.exchange(
            request, put.function, reply_bytes(put), timeout_s, counted=False
        )
        check_write_reply(pdu, put)

    async def inquire(self, inquiry: Inquiry, unit: int, timeout_s: float) -> bytes:
        """The PDU of the reply to a question about the device itself, unread. Raises as `read`."""
        if self._connection is None:
            raise NotConnected(f"no connection to {self._transport}")
        request = RawRequest(unit, inquiry.function, inquiry.data)
        pdu = await self._connection.exchange(
            request, inquiry.function, 0, timeout_s, measure=inquiry.reply_bytes
        )
        if len(pdu) == 2 and pdu[0] == inquiry.function | REFUSED:
            raise ExceptionReply(pdu[1])
        if pdu[:1] != bytes((inquiry.function,)):
            raise WrongReply(f"reply {pdu[:1].hex()} to function {inquiry.function}")
        return pdu

    def close(self) -> None:
        """See `Client.close`."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _on_heard(self) -> None:
        self._heard += 1


class _Connection:
    """One connection with a pymodbus client of its own: nothing that an old one does late reaches the next.

    `on_heard` is called whenever anything arrives. What comes late in a stream is still parsed, to know
    where the next frame starts; where that is lost, the connection is of no more use: WrongReply.
    """

    def __init__(
        self, transport: Transport, on_heard: Callable[[], None], permits: tuple[bytes, ...] | None = None
    ) -> None:
        self._transport = transport
        self._permits = permits
        self._on_heard = on_heard
        self._in_flight = False
        self._stream = isinstance(transport, Tcp | Tls)
        self._torn = False
        self._answered = False
        self._rtu = RtuFramer() if isinstance(transport, Rtu | RtuOverTcp) else None
        self.context = context = _make_context(transport)
        if self._rtu is not None:
            context.framer = self._rtu
        else:
            context.framer = TcpFramer() if numbered(transport) else AsciiFramer()
        context.max_buffer_size = MAX_BUFFER_BYTES
        self._parse = context.callback_data
        # pymodbus offers no hook for what arrives and for why a connection ended, so its methods are wrapped.
        context.callback_data = self._on_data  # type: ignore[method-assign]
        context.callback_disconnected = self._on_disconnected  # type: ignore[method-assign]
        context.error_received = self._on_error  # type: ignore[method-assign]
        # pymodbus would close the connection after some silent requests: a dead unit must not cut off others.
        context.max_until_disconnect = 1 << 31

    async def open(self, timeout_s: float) -> None:
        """Connect. Raises NotConnected, which says why."""
        context = self.context
        cause: Exception
        try:
            if isinstance(self._transport, Tls):
                context.call_create = _secured(context, self._transport, make_context(self._transport))
            context.is_closing = False
            # As `TransactionManager.connect` does, which swallows the reason of a failure.
            context.transport, _ = await asyncio.wait_for(context.call_create(), timeout_s)
        except TimeoutError as error:
            why, cause = f"no connection within {timeout_s:g} s", error
        except _OPEN_ERRORS as error:
            why, cause = explain(error), error
        else:
            return
        self.close()
        # Its traceback would keep a half-opened port alive, and with it the lock on it.
        raise NotConnected(f"cannot open {self._transport}: {why}") from cause.with_traceback(None)

    async def exchange(
        self,
        request: ModbusPDU,
        function: int,
        size: int,
        timeout_s: float,
        *,
        counted: bool = True,
        measure: Measure | None = None,
    ) -> bytes:
        """The PDU of the reply to a request. Raises NotConnected, NoReply, WrongReply; Fatal: not permitted.

        `function` and `size` say what a good reply has: its function code, and how many bytes of data,
        `counted` whether it starts by counting them; `measure` where only the reply shows it.
        """
        context = self.context
        if self._permits is not None:
            _refuse_unpermitted(request, self._permits)
        if not context.is_active():
            raise NotConnected(f"no connection to {self._transport}")
        if self._torn or (self._stream and context.recv_buffer):
            raise WrongReply("what arrived late was no whole reply")
        if self._rtu is not None:
            self._rtu.expect(request.dev_id, function, size, counted=counted, measure=measure)
        # pymodbus has one time-out for connecting and replies; it reads it anew for each request.
        context.comm_params.timeout_connect = timeout_s
        self._in_flight = True
        try:
            reply = await context.execute(False, request)
        except ModbusException as error:
            if context.recv_buffer:
                raise WrongReply(f"part of a reply, or noise, within {timeout_s:g} s") from error
            raise NoReply(f"no reply within {timeout_s:g} s") from error
        finally:
            self._in_flight = False
        if reply.dev_id != request.dev_id:
            raise WrongReply(f"unit {reply.dev_id} answered instead of unit {request.dev_id}")
        if numbered(self._transport) and reply.transaction_id != request.transaction_id:
            raise WrongReply(f"reply to transaction {reply.transaction_id} of {request.transaction_id}")
        if not isinstance(reply, RawReply):
            raise WrongReply("reply that was not decoded")
        return reply.pdu

    def close(self) -> None:
        """Close the connection for good."""
        transport = self.context.transport
        if isinstance(self._transport, Tls) and isinstance(transport, asyncio.WriteTransport):
            transport.abort()  # an orderly end waits for the device's, which may be gone
        self.context.close()

    def _on_disconnected(self, exc: Exception | None) -> None:
        # pymodbus leaves the request in flight waiting when its connection breaks.
        why = f": {explain(exc)}" if exc is not None else ""
        if not why and isinstance(self._transport, Tls) and not self._answered:
            why = " before any reply: does it accept our certificate?"
        self._fail(NotConnected(f"{self._transport} closed the connection{why}"))

    def _on_error(self, error: Exception) -> None:
        """A datagram was refused: nobody listens there."""
        self._fail(NoReply(f"{self._transport}: {explain(error)}"))

    def _on_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        """Parse what arrived. pymodbus lets parse errors out into the event loop, which logs and hangs up."""
        self._on_heard()
        self._answered = True
        if not self._stream and (not self._in_flight or self.context.response_future.done()):
            return len(data)  # late, or nothing that was asked for
        try:
            used = self._parse(data, addr)
        except (ModbusException, LookupError, ValueError) as error:
            self._torn = self._stream
            self._fail(WrongReply(f"unreadable reply: {error}"))
            return len(data)
        return len(data) if isinstance(self._transport, Udp) else used

    def _fail(self, error: HeadgateError) -> None:
        """End the request in flight, if there is one."""
        future: asyncio.Future[ModbusPDU] = self.context.response_future
        if self._in_flight and not future.done():
            future.set_exception(error)


def _refuse_unpermitted(request: ModbusPDU, permits: tuple[bytes, ...]) -> None:
    """The one door to the wire stays shut for what does not start as is permitted. Raises Fatal."""
    pdu = bytes((request.function_code,)) + request.encode()
    if not pdu.startswith(permits):
        raise Fatal(f"function code {request.function_code} is never sent from here")


def _make_context(transport: Transport) -> TransactionManager:
    """pymodbus's client for a transport, without retries and reconnecting of its own."""
    client: AsyncModbusSerialClient | AsyncModbusTcpClient | AsyncModbusUdpClient
    match transport:
        case Rtu() | Ascii():
            client = AsyncModbusSerialClient(
                transport.path,
                framer=FramerType.RTU if isinstance(transport, Rtu) else FramerType.ASCII,
                baudrate=transport.baudrate,
                parity=transport.parity,
                stopbits=transport.stopbits,
                bytesize=transport.bytesize if isinstance(transport, Ascii) else 8,
                reconnect_delay=0,
                retries=0,
            )
        case Udp():
            client = AsyncModbusUdpClient(transport.host, port=transport.port, reconnect_delay=0, retries=0)
        case Tcp() | Tls() | RtuOverTcp():
            # pymodbus's framer for TLS takes whatever arrived for one whole frame; the one for TCP does not.
            framer = FramerType.RTU if isinstance(transport, RtuOverTcp) else FramerType.SOCKET
            client = AsyncModbusTcpClient(
                transport.host, port=transport.port, framer=framer, reconnect_delay=0, retries=0
            )
    return client.ctx


def _secured(context: TransactionManager, transport: Tls, tls: ssl.SSLContext) -> Create:
    return partial(
        context.loop.create_connection,
        context.handle_new_connection,
        transport.host,
        transport.port,
        ssl=tls,
        server_hostname=transport.server_name,
    )
