"""Requests to a driver over a bus: replies and codes, deadlines, what is too large, what is no request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from headgate.bridge.calls import decode_request, encode_request, serve_calls
from headgate.bus.memory import MemoryBus
from headgate.clock import ManualClock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry

TOPIC = "hg/v1/local/call/ble"


class Driver:
    """Answers by what the request's args say."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = False

    async def call(self, request: Request) -> Reply:
        self.calls += 1
        match request.args:
            case {"raise": "refused"}:
                raise Refused("unknown_series", "there is no x/y")
            case {"raise": "reject"}:
                raise Reject("nonsense")
            case {"raise": "retry"}:
                raise Retry("nobody answers")
            case {"hang": True}:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled = True
            case {"size": int(size)}:
                return Reply(request.id, "ok", result={"text": "x" * size})
        return Reply(request.id, "ok", result={"echo": dict(request.args)})


def request(args: Mapping[str, Any], deadline_ms: int = 10_000) -> bytes:
    return json.dumps(
        {"v": 1, "id": "r-1", "op": "read", "args": args, "deadline_ms": 1_800_000_000_000 + deadline_ms}
    ).encode()


async def ask(driver: Driver, payload: bytes, advance_ms: int = 0) -> dict[str, Any]:
    clock = ManualClock()
    async with MemoryBus() as bus:
        with serve_calls(bus, "ble", driver, clock):
            asking = asyncio.ensure_future(bus.request(TOPIC, payload, timeout_s=5))
            await clock.advance(advance_ms, turns=30)
            reply: dict[str, Any] = json.loads(await asking)
    return reply


async def test_a_reply_has_every_field_of_its_schema() -> None:
    reply = await ask(Driver(), request({"series": ["a/b"]}))
    assert reply == {
        "v": 1,
        "id": "r-1",
        "status": "ok",
        "code": "ok",
        "detail": "",
        "result": {"echo": {"series": ["a/b"]}},
        "file_id": None,
    }


@pytest.mark.parametrize(
    ("how", "status", "code", "detail"),
    [
        ("refused", "refused", "unknown_series", "there is no x/y"),
        ("reject", "refused", "bad_request", "nonsense"),
        ("retry", "failed", "offline", "nobody answers"),
    ],
)
async def test_what_a_driver_raises_becomes_a_code(how: str, status: str, code: str, detail: str) -> None:
    reply = await ask(Driver(), request({"raise": how}))
    assert (reply["status"], reply["code"], reply["detail"]) == (status, code, detail)


async def test_a_deadline_that_has_passed_is_not_carried_out() -> None:
    driver = Driver()
    reply = await ask(driver, request({}, deadline_ms=-5))
    assert (reply["status"], reply["code"], driver.calls) == ("expired", "expired", 0)


async def test_a_driver_that_hangs_is_stopped_at_the_deadline() -> None:
    driver = Driver()
    reply = await ask(driver, request({"hang": True}, deadline_ms=700), advance_ms=700)
    assert (reply["status"], reply["code"], driver.cancelled) == ("failed", "timeout", True)


async def test_a_reply_beyond_the_bus_s_limit_is_refused_as_too_many() -> None:
    reply = await ask(Driver(), request({"size": 8_000}))
    assert (reply["status"], reply["code"], reply["result"]) == ("refused", "too_many", None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"v":1,"id":7,"op":"read","deadline_ms":1}',
        b'{"v":1,"id":"r","op":"read","deadline_ms":true}',
        b'{"v":1,"id":"r","op":"read","args":[],"deadline_ms":1}',
        b'{"v":2,"id":"r","op":"read","deadline_ms":1}',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_request_is_rejected_at_the_caller(payload: bytes) -> None:
    with pytest.raises(Reject):
        decode_request(payload)


def test_a_request_survives_the_way_to_a_bridge() -> None:
    sent = Request("r-1", 1, "read", {"series": ["a/b"]}, 17, "job")
    assert decode_request(encode_request(sent)) == sent
