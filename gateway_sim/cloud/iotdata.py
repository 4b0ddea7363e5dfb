"""The data plane of AWS IoT as boto3 calls it: `iot-data` Publish over HTTP, on to the broker."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from gateway_sim.cloud import http_server
from gateway_sim.cloud.http_server import Request, Response

# Publishes a payload to a topic with a QoS.
Publish = Callable[[str, bytes, int], Awaitable[None]]

MAX_BODY_BYTES: Final = 128 * 1024  # AWS IoT Core quota, "Message size"


def serving(publish: Publish) -> AbstractAsyncContextManager[str]:
    """Serve until the block is left; gives the endpoint's URL."""

    async def answer(request: Request) -> Response:
        status, body = await _answer(request.method, request.target, request.body, publish)
        return Response(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    return http_server.serving(answer, max_body_bytes=MAX_BODY_BYTES)


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
