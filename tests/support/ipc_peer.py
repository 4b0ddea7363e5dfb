"""A scripted peer that speaks Greengrass IPC on a Unix socket, with a codec of its own."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

MESSAGE, ERROR, PING, PONG, CONNECT, CONNECT_ACK, PROTOCOL_ERROR = range(7)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", **more: str) -> bytes:
    """A frame; keyword arguments are string headers with `_` for `-` and `c_` for a leading `:`."""
    headers = b""
    for name, number in ((":message-type", kind), (":message-flags", flags), (":stream-id", stream)):
        headers += struct.pack(">B", len(name)) + name.encode() + struct.pack(">Bi", 4, number)
    for key, text in more.items():
        name = key.replace("c_", ":", 1) if key.startswith("c_") else key
        name = name.replace("_", "-")
        headers += (
            struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(text)) + text.encode()
        )
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    start = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return start + struct.pack(">I", crc32(start))


def response(operation: str, stream: int, body: object, *, flags: int = 0) -> bytes:
    """A good answer."""
    payload = json.dumps(body).encode()
    return frame(MESSAGE, flags, stream, payload, service_model_type=f"aws.greengrass#{operation}Response")


def event(shape: str, stream: int, body: object) -> bytes:
    """An event of a subscription."""
    return frame(MESSAGE, 0, stream, json.dumps(body).encode(), service_model_type=f"aws.greengrass#{shape}")


def error(shape: str, stream: int, body: object, *, flags: int = 2) -> bytes:
    """An error answer."""
    return frame(
        ERROR, flags, stream, json.dumps(body).encode(), service_model_type=f"aws.greengrass#{shape}"
    )


@dataclass
class Request:
    """One request as the peer saw it."""

    connection: int
    stream: int
    operation: str
    body: dict[str, Any]


@dataclass
class Peer:
    """What the peer saw and what it is to do; `script` returns the bytes to answer a request with."""

    socket: str
    script: Callable[[Peer, Request], bytes]
    token: str = "token"
    on_connect: bytes | None = None
    requests: list[Request] = field(default_factory=list)
    closed_streams: list[int] = field(default_factory=list)
    connects: int = 0
    protocol: list[int] = field(default_factory=list)
    stream_ids: list[int] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something the peer saw makes `true` so."""
        while not true():
            self.changed.clear()
            await self.changed.wait()

    def send(self, data: bytes) -> None:
        """Send on the newest connection."""
        self.writers[-1].write(data)

    def cut(self) -> None:
        """Cut every connection."""
        for writer in self.writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connects += 1
        connection = self.connects
        self.writers.append(writer)
        try:
            while True:
                lengths = await reader.readexactly(12)
                total, headers_size, _ = struct.unpack(">III", lengths)
                rest = await reader.readexactly(total - 12)
                headers, payload = _headers(rest[:headers_size]), rest[headers_size:-4]
                self._take(connection, headers, payload, writer)
                self.changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _take(
        self, connection: int, headers: dict[str, Any], payload: bytes, writer: asyncio.StreamWriter
    ) -> None:
        kind, flags, stream = (headers[n] for n in (":message-type", ":message-flags", ":stream-id"))
        if kind == CONNECT:
            if self.on_connect is not None:
                writer.write(self.on_connect)
                if not self.on_connect:
                    writer.transport.abort()
            else:
                assert json.loads(payload) == {"authToken": self.token}
                writer.write(frame(CONNECT_ACK, 1, 0))
        elif kind != MESSAGE:
            self.protocol.append(kind)
        elif flags & 2:
            self.closed_streams.append(stream)
        else:
            self.stream_ids.append(stream)
            operation = headers["operation"].removeprefix("aws.greengrass#")
            request = Request(connection, stream, operation, json.loads(payload))
            self.requests.append(request)
            writer.write(self.script(self, request))


def _headers(data: bytes) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    while data:
        name, data = data[1 : 1 + data[0]].decode(), data[1 + data[0] :]
        if data[0] == 4:
            headers[name], data = struct.unpack(">i", data[1:5])[0], data[5:]
        else:
            size = struct.unpack(">H", data[1:3])[0]
            headers[name], data = data[3 : 3 + size].decode(), data[3 + size :]
    return headers


def answer_empty(peer: Peer, request: Request) -> bytes:
    """Answers everything with an empty body, as lite does (no terminate flag)."""
    return response(request.operation, request.stream, {})


@asynccontextmanager
async def running_peer(
    directory: Path, script: Callable[[Peer, Request], bytes] = answer_empty
) -> AsyncIterator[Peer]:
    """A peer that listens in `directory`."""
    peer = Peer(str(directory / "ipc.socket"), script)
    server = await asyncio.start_unix_server(peer.serve, peer.socket)
    try:
        yield peer
    finally:
        server.close()
        peer.cut()
        await asyncio.sleep(0)
