"""A scan through the hub: waited for, fetched in pages, strict in its arguments; and through both bridges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from headgate.errors import Retry
from tests.support.asked_hub import ROOT, World, a_world

REQUEST = Draft202012Validator(json.loads((ROOT / "schemas/request.v1.json").read_text()))
ASKED = {"source": "modbus", "device": "meter-a", "last": 3, "seconds": 5}


class Line:
    """A bridge that scans: `started` so many times, then its rows, a few in a page."""

    def __init__(self, rows: int, waits: int = 2) -> None:
        self.rows = [{"unit": n, "answer": "answers"} for n in range(rows)]
        self.waits = waits
        self.calls: list[dict[str, Any]] = []

    async def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(request)
        if len(self.calls) <= self.waits:
            return {"code": "started", "result": {"wait_ms": 1}}
        after = request["args"].get("after", 0)
        result = {"source": "modbus", "asked": len(self.rows), "found": self.rows[after : after + 10]}
        return {"result": {**result, **({"next": after + 10} if after + 10 < len(self.rows) else {})}}


async def scan(world: World, request_id: str, **args: Any) -> dict[str, Any]:
    return await world.ask(request_id, "scan", args=args)


async def test_a_scan_is_waited_for_and_put_together(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        world.on_call = line = Line(25)
        reply = await scan(world, "s1", **ASKED)
        REQUEST.validate({"v": 1, "id": "s1", "op": "scan", "args": ASKED, "deadline_ms": 1})
        assert reply["result"] == {"source": "modbus", "asked": 25, "found": line.rows}
        assert {call["id"] for call in line.calls} == {"s1"}
        assert [call["args"].get("after") for call in line.calls] == [None, None, None, 10, 20]
        assert all(call["args"].items() >= ASKED.items() for call in line.calls)
        world.on_call = Line(500, waits=0)
        large = await scan(world, "s2", **ASKED)
        whole = json.loads((tmp_path / "spool/replies/s2.json").read_text())
        assert len(whole["result"]["found"]) == 500
        assert large["file_id"]


async def test_a_bridge_that_cannot_is_told_as_it_is(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():

        async def restarted(request: dict[str, Any]) -> dict[str, Any]:
            raise Retry("the scan is not there any more")

        async def old(request: dict[str, Any]) -> dict[str, Any]:
            return {"status": "refused", "code": "unknown_op", "detail": "it does read"}

        async def endless(request: dict[str, Any]) -> dict[str, Any]:
            return {"result": {"found": [], "next": 0}}

        for i, (call, status, code) in enumerate(
            [
                (restarted, "failed", "offline"),
                (old, "refused", "unknown_op"),
                (endless, "refused", "too_many"),
            ]
        ):
            world.on_call = call
            reply = await scan(world, f"s{i}", **ASKED)
            assert (reply["status"], reply["code"]) == (status, code)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({}, "bad_request"),
        ({"source": "serial"}, "bad_request"),
        ({"source": "ble", "seconds": 61}, "bad_request"),
        ({"source": "ble", "seconds": True}, "bad_request"),
        ({"source": "ble", "adapter": "wlan0"}, "bad_request"),
        ({"source": "ble", "device": "meter-a"}, "bad_request"),
        ({"source": "ble", "after": 1}, "bad_request"),
        ({"source": "modbus"}, "bad_request"),
        ({"source": "modbus", "device": "nobody"}, "unknown_device"),
        ({**ASKED, "last": 248}, "bad_request"),
        ({**ASKED, "first": 1.5}, "bad_request"),
        ({**ASKED, "timeout_s": 0}, "bad_request"),
        ({**ASKED, "after": 1}, "bad_request"),
    ],
)
async def test_a_wrong_scan_reaches_no_bridge(tmp_path: Path, args: dict[str, Any], code: str) -> None:
    async with a_world(tmp_path) as world, world.hub():
        reply = await scan(world, "s", **args)
        assert (reply["status"], reply["code"]) == ("refused", code)
        assert world.calls == []
    # The schema refuses the same, but for what only a gateway can know.
    document = {"v": 1, "id": "s", "op": "scan", "args": args, "deadline_ms": 1}
    assert REQUEST.is_valid(document) is (code == "unknown_device")


async def test_a_scan_ends_with_its_deadline(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world, world.hub():
        world.on_call = Line(1, waits=1 << 30)
        deadline_ms = world.clock.utc_ms() + 700
        reply = await world.ask("s", "scan", args=ASKED, deadline_ms=deadline_ms)
        assert reply["status"] in ("failed", "expired")
        assert reply["code"] in ("timeout", "expired")
