"""The data plane of AWS IoT as boto3 calls it: `iot-data` Publish over HTTP, on to the broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

# Publishes a payload to a topic with a QoS.
Publish = Callable[[str, bytes, int], Awaitable[None]]

MAX_BODY_BYTES: Final = 128 * 1024  # AWS IoT Core quota, "Message size"


@contextlib.asynccontextmanager
async def serving(publish: Publish) -> AsyncIterator[str]:
    """Serve until the block is left; gives the endpoint's URL."""
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(reader, writer, publish), name="iot-data connection")
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


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, publish: Publish) -> None:
    """One HTTP/1.1 connection, kept alive as boto3 likes it."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.rstrip().split("\r\n")
            method, target, _ = line.split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in lines)}
            size_bytes = int(headers.get("content-length", "0"))
            body = await reader.readexactly(min(size_bytes, MAX_BODY_BYTES + 1))
            status, answer = await _answer(method, target, body, publish)
            closing = size_bytes > MAX_BODY_BYTES
            payload = json.dumps(answer).encode()
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
                f"Connection: {'close' if closing else 'keep-alive'}\r\n\r\n".encode()
                + payload
            )
            await writer.drain()
            if closing:
                break
    writer.close()


async def _answer(method: str, target: str, body: bytes, publish: Publish) -> tuple[str, dict[str, str]]:
    url = urllib.parse.urlsplit(target)
    topic = urllib.parse.unquote(url.path.removeprefix("/topics/"))
    qos = urllib.parse.parse_qs(url.query).get("qos", ["0"])[0]
    if method != "POST" or not url.path.startswith("/topics/") or not topic:
        return "404 Not Found", {"message": f"{method} {url.path} is not simulated; POST /topics/... is"}
    if qos not in ("0", "1") or "+" in topic or "#" in topic:
        return "400 Bad Request", {"message": f"topic {topic} with QoS {qos} cannot be published to"}
    if len(body) > MAX_BODY_BYTES:
        return "413 Request Entity Too Large", {"message": f"more than {MAX_BODY_BYTES} B"}
    await publish(topic, body, int(qos))
    return "200 OK", {"message": "OK"}
