"""Writes over real sockets and ptys: what the device recorded and holds, and what the reply says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.devices.layout import DeviceLayout, plant_room
from gateway_sim.devices.maps import boiler_main
from gateway_sim.devices.plant import RunningPlant, running
from gateway_sim.devices.plantfile import served_path
from gateway_sim.devices.settings import BOILER_SETTINGS
from gateway_sim.devices.site import site_document
from headgate.clock import SystemClock
from headgate.driver import Reply, Request
from tests.support.modbus_driven import Driven, QuickClock, driven
from tests.support.modbus_peer import FRAMINGS, Action, Asked, HangUp, Later, Peer, registers, serving

TIMEOUT_S = 0.05


async def write(got: Driven, *values: tuple[str, Any]) -> Reply:
    rows = [{"series": name, "value": value} for name, value in values]
    deadline_ms = SystemClock().utc_ms() + 30_000
    return await got.driver.call(Request("w", 1, "write", {"values": rows}, deadline_ms, "direct"))


def outcomes(reply: Reply) -> list[str]:
    assert reply.result is not None
    return [row["outcome"] for row in reply.result["writes"]]


@asynccontextmanager
async def plant(directory: Path, kind: str) -> AsyncIterator[tuple[RunningPlant, Driven]]:
    """The simulated boiler, on its pty or on TCP, and a driver that may write its settings."""
    layouts = {
        "rtu": [each for each in plant_room(1) if each.name == "boiler"],
        "tcp": [DeviceLayout("boiler", "tcp", 7, (boiler_main(1, "boiler", 1.0),), BOILER_SETTINGS)],
    }
    async with running(layouts[kind], directory) as made:
        devices = site_document(made.plant, writes=True)["modbus"]["devices"]
        async with driven(*devices) as got:
            yield made, got


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_each_function_writes_what_the_device_records(tmp_path: Path, kind: str) -> None:
    async with plant(tmp_path, kind) as (_, got):
        reply = await write(
            got,
            ("boiler/setpoint", 21.5),
            ("boiler/gas_price", 0.125),
            ("boiler/hold_until", 70_000),
            ("boiler/away", True),
            ("boiler/pump", True),
        )
        assert (reply.status, outcomes(reply)) == ("ok", ["verified"] * 5)
        again = await write(got, ("boiler/setpoint", 19.0), ("boiler/pump", False), ("boiler/away", False))
        assert again.result is not None
        assert [row["old"] for row in again.result["writes"]] == [21.5, True, True]
    rows = [json.loads(line) for line in served_path(tmp_path, "boiler").read_text().splitlines()]
    written = [(row["function"], row["address"], row["wrote"]) for row in rows if "wrote" in row]
    assert written == [
        (6, 200, [215]),
        (16, 202, [0x3E00, 0]),
        (16, 204, [1, 70_000 - 65_536]),
        (22, 206, [8]),
        (5, 0, [1]),
        (6, 200, [190]),
        (5, 0, [0]),
        (22, 206, [0]),
    ]


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_functions_for_several_and_a_device_that_keeps_its_value(tmp_path: Path, kind: str) -> None:
    async with plant(tmp_path, kind) as (made, got):
        site = site_document(made.plant, writes=True)["modbus"]
        for tag in site["devices"][0]["groups"][-1]["tags"]:
            tag["write"]["multiple"] = True
        got.driver.apply(got.driver.plan(site))
        reply = await write(got, ("boiler/night_setpoint", 16.5), ("boiler/vent", True))
        assert outcomes(reply) == ["verified"] * 2
        made.devices["boiler"].settings.ignored.add(200)
        reply = await write(got, ("boiler/setpoint", 30.0))
        assert (reply.status, reply.code, outcomes(reply)) == ("failed", "not_verified", ["mismatch"])
        assert reply.result is not None
        assert reply.result["writes"][0]["found"] == 0.0
    rows = [json.loads(line) for line in served_path(tmp_path, "boiler").read_text().splitlines()]
    written = [(row["function"], row["address"], row["wrote"]) for row in rows if "wrote" in row]
    assert written == [(16, 201, [165]), (15, 1, [1]), (16, 200, [300])]


@dataclass
class SetPeer(Peer):
    """A peer that can be written by function 6; `taken` are the values of the writes it carried out."""

    misdeed: Callable[[SetPeer, Asked], Iterable[Action]] | None = None
    deaf: bool = False
    cells: dict[int, int] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)
    heard: int = 0

    def good(self, asked: Asked) -> bytes:
        if asked.pdu[0] == 6:
            return self.framing.frame(asked, asked.pdu)
        values = (self.cells.get(asked.address + i, 0) for i in range(asked.count))
        return self.framing.frame(asked, registers(*values))

    def answer(self, data: bytes) -> tuple[list[Action], bytes]:
        requests, rest = self.framing.split(data)
        actions: list[Action] = []
        for asked in requests:
            if asked.pdu[0] != 6 or self.misdeed is None:
                self._carry_out(asked)
                actions.append(self.good(asked))
                continue
            if not self.deaf:
                self._carry_out(asked)
            self.heard += 1
            actions += self.misdeed(self, asked)
        return actions, rest

    def _carry_out(self, asked: Asked) -> None:
        if asked.pdu[0] == 6:
            self.cells[asked.address] = asked.count  # the value stands where a read has its count
            self.taken.append(asked.count)


def framed(peer: SetPeer, asked: Asked, pdu: bytes) -> list[Action]:
    return [peer.framing.frame(asked, pdu)]


MISDEEDS: dict[str, Callable[[SetPeer, Asked], Iterable[Action]]] = {
    "silent": lambda peer, asked: [],
    "late": lambda peer, asked: [Later(TIMEOUT_S * 1.3, peer.good(asked))],
    "another value": lambda peer, asked: framed(peer, asked, asked.pdu[:-1] + b"\x63"),
    "another address": lambda peer, asked: framed(peer, asked, b"\x06\x00\x63" + asked.pdu[3:]),
    "a reply to a read": lambda peer, asked: framed(peer, asked, registers(asked.count)),
    "another function": lambda peer, asked: framed(peer, asked, b"\x10" + asked.pdu[1:]),
    "an exception of another function": lambda peer, asked: framed(peer, asked, b"\x83\x02"),
    "garbage": lambda peer, asked: [bytes(range(3, 60))],
    "half a frame": lambda peer, asked: [peer.good(asked)[:3]],
    "reset": lambda peer, asked: [HangUp()],
}


@pytest.mark.parametrize("deaf", [False, True], ids=["done", "not done"])
@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_reply_never_claims_a_write_that_the_device_does_not_hold(misdeed: str, deaf: bool) -> None:
    async with asyncio.TaskGroup() as group:
        for wire in ("tcp", "udp", "rtu", "ascii", "rtu_over_tcp"):
            group.create_task(misbehaving(wire, misdeed, deaf), name=wire)


async def misbehaving(wire: str, misdeed: str, deaf: bool) -> None:
    peer = SetPeer(FRAMINGS[wire](), misdeed=MISDEEDS[misdeed], deaf=deaf)
    tag = {"name": "s", "table": "holding", "address": 4, "type": "uint16", "write": {"allow": True}}
    group = {"name": "g", "interval_s": 0.5, "tags": [tag]}
    async with serving(peer, wire) as line:
        device = {"name": "d", "unit": 1, "timeout_s": TIMEOUT_S, "transport": line, "groups": [group]}
        async with driven(device, clock=QuickClock()) as got:
            reply = await write(got, ("d/s", 7))
            assert peer.heard == 1, "a write was sent again"
            assert peer.taken == ([] if deaf else [7])
            if outcomes(reply)[0] in ("verified", "written", "not_verified"):
                assert peer.cells[4] == 7
            assert outcomes(reply)[0] != "not_written" or not peer.taken
            peer.misdeed = None
            await got.until(lambda: bool(got.values("d/s")) and got.values("d/s")[-1][1] == 0)
            reply = await asyncio.wait_for(until_written(got, 9), 10)
            assert (peer.cells[4], outcomes(reply)) == (9, ["verified"])
            assert {value for value, quality in got.values("d/s") if quality == 0} <= {0, 7, 9}


async def until_written(got: Driven, value: int) -> Reply:
    """What was wrong before may cost a write its connection; that is told, and the next one goes."""
    while True:
        reply = await write(got, ("d/s", value))
        if outcomes(reply) != ["not_written"]:
            return reply
        await asyncio.sleep(0.05)
