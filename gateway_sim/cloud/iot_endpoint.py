"""The endpoint of boto3's `iot` client: jobs are answered here, everything else by moto behind it."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from botocore.exceptions import ClientError

from gateway_sim.cloud import http_server
from gateway_sim.cloud.http_server import Request, Response
from gateway_sim.cloud.jobs_control import JobsControl, failure, things_of
from gateway_sim.cloud.jobs_model import Refusal
from gateway_sim.cloud.jobs_state import Jobs

MAX_BODY_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 30.0
_HOP_BY_HOP: Final = ("connection", "content-length", "transfer-encoding", "date", "server")


def serving(
    jobs: Jobs, moto: str, iot: Any, changed: Callable[[], Awaitable[None]]
) -> AbstractAsyncContextManager[str]:
    """Serve until the block is left; gives the endpoint's URL.

    `moto` is its URL and `iot` boto3's client of it (untyped); `changed` runs after each call on jobs.
    """
    control = JobsControl(jobs, lambda target: _resolve(iot, target))

    async def answer(request: Request) -> Response:
        handle = control.route(request.method, request.target)
        if handle is None:
            return await asyncio.to_thread(_forward, moto, request)
        try:
            # Only create looks anything up in moto, a few ms; it stays in the loop that owns the jobs.
            body = handle(request.body)
        except Refusal as refusal:
            status, name, body = failure(refusal)
            return _json(status, body, {"x-amzn-ErrorType": name})
        await changed()
        return _json("200 OK", body, {})

    return http_server.serving(answer, max_body_bytes=MAX_BODY_BYTES)


def _json(status: str, body: object, headers: dict[str, str]) -> Response:
    return Response(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def _resolve(iot: Any, target: str) -> Sequence[str]:
    def group(name: str) -> list[str]:
        pages = iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=name)
        return [thing for page in pages for thing in page["things"]]

    try:
        things = things_of(target, group)
        if ":thing/" in target:
            iot.describe_thing(thingName=things[0])
    except ClientError as error:
        raise Refusal("ResourceNotFound", f"{target}: {error.response['Error']['Message']}") from None
    return things


def _forward(moto: str, request: Request) -> Response:
    """As it came: moto tells services apart by the signature's scope."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(moto).netloc, timeout=_TIMEOUT_S)
    try:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        connection.request(request.method, request.target, request.body, headers)
        found = connection.getresponse()
        more = {name: value for name, value in found.getheaders() if name.lower() not in _HOP_BY_HOP}
        return Response(f"{found.status} {found.reason}", found.read(), more)
    finally:
        connection.close()
