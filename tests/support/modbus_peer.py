"""A Modbus peer that misbehaves byte for byte as a test says, on every transport."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import struct
import tty
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from tests.support.modbus_servers import framed


@dataclass(frozen=True, slots=True)
class Asked:
    """A read request as it came. `tid` is 0 where frames bear none."""

    tid: int
    unit: int
    pdu: bytes

    @property
    def address(self) -> int:
        return struct.unpack_from(">H", self.pdu, 1)[0]  # type: ignore[no-any-return]

    @property
    def count(self) -> int:
        return struct.unpack_from(">H", self.pdu, 3)[0]  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Later:
    """Bytes to be sent after a while."""

    delay_s: float
    data: bytes


class HangUp:
    """The connection is reset."""


Action = bytes | Later | HangUp
Misbehave = Callable[["Peer", Asked], Iterable[Action]]


class Framing(Protocol):
    """How requests are told apart and replies are framed."""

    def split(self, data: bytes) -> tuple[list[Asked], bytes]:
        """Requests, and the bytes that are left over."""

    def frame(self, asked: Asked, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
        """A reply."""


class TcpFraming:
    def split(self, data: bytes) -> tuple[list[Asked], bytes]:
        found = []
        while len(data) >= 12:
            tid, _, length, unit = struct.unpack_from(">HHHB", data)
            found.append(Asked(tid, unit, data[7 : 6 + length]))
            data = data[6 + length :]
        return found, data

    def frame(self, asked: Asked, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
        return framed(asked.tid if tid is None else tid, asked.unit if unit is None else unit, pdu)


def crc16(data: bytes) -> bytes:
    """Modbus over Serial Line V1.02, 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


class RtuFraming:
    def split(self, data: bytes) -> tuple[list[Asked], bytes]:
        found = []
        while len(data) >= 8:  # a read request is eight bytes
            found.append(Asked(0, data[0], data[1:6]))
            data = data[8:]
        return found, data

    def frame(self, asked: Asked, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
        body = bytes([asked.unit if unit is None else unit]) + pdu
        return body + crc16(body)


class AsciiFraming:
    def split(self, data: bytes) -> tuple[list[Asked], bytes]:
        found = []
        while b"\r\n" in data:
            line, _, data = data.partition(b"\r\n")
            raw = bytes.fromhex(line[1:].decode())
            found.append(Asked(0, raw[0], raw[1:-1]))
        return found, data

    def frame(self, asked: Asked, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
        body = bytes([asked.unit if unit is None else unit]) + pdu
        lrc = -sum(body) & 0xFF
        return b":" + (body + bytes([lrc])).hex().upper().encode() + b"\r\n"


FRAMINGS: dict[str, Callable[[], Framing]] = {
    "tcp": TcpFraming,
    "tls": TcpFraming,
    "udp": TcpFraming,
    "rtu": RtuFraming,
    "rtu_over_tcp": RtuFraming,
    "ascii": AsciiFraming,
}


def registers(*values: int, function: int = 3) -> bytes:
    """The PDU of a reply."""
    return struct.pack(f">BB{len(values)}H", function, 2 * len(values), *values)


@dataclass
class Peer:
    """Units 1 and up on one transport: register a of unit u holds 1000 * u + a, only holding registers exist.

    While `fault` is set, unit 1 does that instead. `asked` is what came, `held` what a fault keeps back.
    """

    framing: Framing
    fault: Misbehave | None = None
    asked: list[Asked] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)

    def good(self, asked: Asked) -> bytes:
        """What a sound unit replies."""
        if asked.pdu[0] != 3:
            return self.framing.frame(asked, bytes([asked.pdu[0] | 0x80, 1]))
        values = (1000 * asked.unit + asked.address + i for i in range(asked.count))
        return self.framing.frame(asked, registers(*values))

    def answer(self, data: bytes) -> tuple[list[Action], bytes]:
        """What is to be sent for what came, and what is left of that."""
        requests, rest = self.framing.split(data)
        actions: list[Action] = []
        for asked in requests:
            self.asked.append(asked)
            if asked.unit == 1 and self.fault is not None:
                actions += self.fault(self, asked)
            else:
                actions.append(self.good(asked))
        return actions, rest

    def heal(self) -> None:
        """End the fault; what was kept back is lost."""
        self.fault = None
        self.held.clear()


class _Protocol(asyncio.Protocol):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        actions, self._rest = self._peer.answer(self._rest + data)
        _act(actions, self._transport.write, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        transport = self._transport
        assert transport is not None
        actions, _ = self._peer.answer(data)
        _act(actions, lambda reply: transport.sendto(reply, addr), lambda: None)


def _act(actions: Iterable[Action], send: Callable[[bytes], object], hang_up: Callable[[], None]) -> None:
    for action in actions:
        if isinstance(action, Later):
            asyncio.get_running_loop().call_later(action.delay_s, send, action.data)
        elif isinstance(action, HangUp):
            hang_up()
        else:
            send(action)


@asynccontextmanager
async def serving(
    peer: Peer, kind: str, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The peer on real sockets or a pty; yields the `transport:` of a device behind it."""
    loop = asyncio.get_running_loop()
    if kind in ("rtu", "ascii"):
        with contextlib.ExitStack() as stack:
            master, slave = os.openpty()
            stack.callback(os.close, slave)
            stack.callback(os.close, master)
            tty.setraw(master)
            rest = b""

            def read() -> None:
                nonlocal rest
                actions, rest = peer.answer(rest + os.read(master, 4096))
                _act(actions, lambda data: os.write(master, data), lambda: None)

            loop.add_reader(master, read)
            stack.callback(loop.remove_reader, master)
            path = os.ttyname(slave)
            yield {"kind": kind, "path": path} | ({"bytesize": 8, "parity": "N"} if kind == "ascii" else {})
    elif kind == "udp":
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(peer), local_addr=("127.0.0.1", port)
        )
        try:
            yield {"kind": kind, "host": "127.0.0.1", "port": transport.get_extra_info("sockname")[1]}
        finally:
            transport.close()
    else:
        protocols: list[_Protocol] = []

        def connected() -> _Protocol:
            protocols.append(_Protocol(peer))
            return protocols[-1]

        server = await loop.create_server(connected, "127.0.0.1", port, ssl=tls)
        try:
            yield {"kind": kind, "host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
        finally:
            server.close()
            for protocol in protocols:
                if protocol._transport is not None:
                    protocol._transport.abort()
