"""A small HTTP/1.1 server on loopback, for the AWS endpoints that are served here and not by moto."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """Header names are in lower case; a body longer than the server's limit is cut one byte beyond it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """`status` with its reason: `200 OK`."""

    status: str
    body: bytes
    headers: Mapping[str, str]


Answer = Callable[[Request], Awaitable[Response]]


@contextlib.asynccontextmanager
async def serving(answer: Answer, *, max_body_bytes: int) -> AsyncIterator[str]:
    """Serve until the block is left; gives the endpoint's URL."""
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(reader, writer, answer, max_body_bytes), name="http connection")
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, max_body_bytes: int
) -> None:
    """One connection, kept alive as boto3 likes it."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip().split("\r\n")
            method, target, _ = line.split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in lines)}
            size_bytes = int(headers.get("content-length", "0"))
            body = await reader.readexactly(min(size_bytes, max_body_bytes + 1))
            response = await answer(Request(method, target, headers, body))
            closing = size_bytes > max_body_bytes
            more = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items())
            writer.write(
                f"HTTP/1.1 {response.status}\r\n{more}Content-Length: {len(response.body)}\r\n"
                f"Connection: {'close' if closing else 'keep-alive'}\r\n\r\n".encode()
                + response.body
            )
            await writer.drain()
            if closing:
                break
    writer.close()
