"""Faults of a unit on every transport, beside a sound unit on the same line and connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest

from headgate.model import Quality
from tests.support.modbus_driven import Driven, QuickClock, driven
from tests.support.modbus_peer import (
    FRAMINGS,
    Action,
    Asked,
    HangUp,
    Later,
    Misbehave,
    Peer,
    registers,
    serving,
)

WIRES = ("tcp", "udp", "rtu", "ascii", "rtu_over_tcp")
TIMEOUT_S = 0.02
TAGS = [
    {"name": "x", "table": "holding", "address": 0, "type": "uint32"},
    {"name": "y", "table": "holding", "address": 90, "type": "uint32"},
]
NOISE = random.Random(4).randbytes(200)


def device(name: str, unit: int, line: dict[str, Any]) -> dict[str, Any]:
    group = {"name": "g", "interval_s": 0.2, "tags": TAGS}
    return {"name": name, "unit": unit, "timeout_s": TIMEOUT_S, "transport": line, "groups": [group]}


def devices(line: dict[str, Any]) -> list[dict[str, Any]]:
    """One that does not do as it should, and one that does, on the same line."""
    return [device("faulty", 1, line), device("sound", 2, line)]


def right(unit: int, address: int) -> tuple[int, int]:
    first = 1000 * unit + address
    return (first << 16) + first + 1, 0


def reply(pdu: bytes, **change: int) -> Misbehave:
    return lambda peer, asked: [peer.framing.frame(asked, pdu, **change)]


def held(peer: Peer, asked: Asked) -> Iterator[Action]:
    """Each reply comes when the next request is out, in place of its own."""
    peer.held.append(peer.good(asked))
    if len(peer.held) > 1:
        yield peer.held.pop(0)


def held_then_right(peer: Peer, asked: Asked) -> Iterator[Action]:
    """A reply comes when the next request is out, just before that one's own."""
    if not peer.held:
        peer.held.append(peer.good(asked))
        return
    yield peer.held.pop() + peer.good(asked)


def half(peer: Peer, asked: Asked) -> list[Action]:
    frame = peer.good(asked)
    return [frame[: len(frame) // 2]]


def half_then_rest(peer: Peer, asked: Asked) -> list[Action]:
    frame = peer.good(asked)
    return [frame[: len(frame) // 2], Later(TIMEOUT_S * 1.2, frame[len(frame) // 2 :])]


FAULTS: dict[str, Misbehave] = {
    "dead": lambda peer, asked: [],
    "slow": lambda peer, asked: [Later(TIMEOUT_S * 1.2, peer.good(asked))],
    "very slow": lambda peer, asked: [Later(TIMEOUT_S * 2.5, peer.good(asked))],
    "garbage": lambda peer, asked: [NOISE],
    "another unit": reply(registers(7, 7), unit=2),
    "another function": reply(registers(7, 7, function=4)),
    "an unknown function": reply(b"\x66\x01\x02"),
    "an exception of another function": reply(b"\x84\x02"),
    "too few registers": reply(registers(7)),
    "too many registers": reply(registers(7, 7, 7)),
    "no registers": reply(b"\x03\x00"),
    "half a register": reply(b"\x03\x03\x00\x07\x00"),
    "an odd byte count": reply(b"\x03\x05\x00\x07\x00\x07\x00"),
    "more than the byte count": reply(registers(7, 7) + b"\x00\x07"),
    "an empty PDU": reply(b""),
    "half a frame": half,
    "half a frame, the rest too late": half_then_rest,
    "the reply before": held,
    "the reply before and then its own": held_then_right,
    "reset in a frame": lambda peer, asked: [*half(peer, asked), HangUp()],
}
NUMBERED: dict[str, Misbehave] = {
    "another transaction": lambda p, a: [p.framing.frame(a, registers(7, 7), tid=a.tid + 1)],
    "transaction 0": lambda p, a: [p.framing.frame(a, registers(7, 7), tid=0)],
    "another protocol": lambda p, a: [a.tid.to_bytes(2, "big") + b"\0\1\0\7\1" + registers(7, 7)],
    "a length too long": lambda p, a: [a.tid.to_bytes(2, "big") + b"\0\0\0\x09\1" + registers(7, 7)],
    "a length too short": lambda p, a: [a.tid.to_bytes(2, "big") + b"\0\0\0\x05\1" + registers(7, 7)],
}


def never_wrong(got: Driven) -> None:
    for name, unit in (("faulty", 1), ("sound", 2)):
        for tag, address in (("x", 0), ("y", 90)):
            bad = {(None, Quality.BAD_COMM), (None, Quality.BAD_CONFIG)}
            assert set(got.values(f"{name}/{tag}")) <= {right(unit, address), *bad}


async def at_once(
    case: Callable[..., Coroutine[Any, Any, None]], *more: object, wires: Sequence[str]
) -> None:
    """A case on several transports at a time: most of it is waiting."""
    async with asyncio.TaskGroup() as group:
        for wire in wires:
            group.create_task(case(wire, *more), name=wire)


@pytest.mark.parametrize("fault", [*FAULTS, *NUMBERED])
async def test_no_value_is_wrong_and_the_unit_is_found_again(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    await at_once(faulty, fault, wires=WIRES if fault in FAULTS else ("tcp", "udp"))
    assert not caplog.records  # nothing leaks into the event loop's own error log


async def faulty(wire: str, fault: str) -> None:
    peer = Peer(FRAMINGS[wire](), (FAULTS | NUMBERED)[fault])
    async with (
        serving(peer, wire) as line,
        driven(*devices(line), clock=QuickClock()) as got,
    ):
        await got.until(lambda: len([v for v in got.values("sound/y") if v[1] == 0]) >= 8)
        await got.until(lambda: len([asked for asked in peer.asked if asked.unit == 1]) >= 3)
        peer.heal()
        await got.until(lambda: got.values("faulty/y")[-1] == right(1, 90))
        await got.until(lambda: got.values("sound/y")[-1] == right(2, 90))
        never_wrong(got)


@pytest.mark.parametrize("code", range(1, 12))
async def test_each_exception_code_is_a_quality(code: int) -> None:
    await at_once(refusing, code, wires=WIRES)


async def refusing(wire: str, code: int) -> None:
    """It answers at once: a time-out of a machine that is busy would be another fault, and told before."""
    peer = Peer(FRAMINGS[wire](), reply(bytes([0x83, code])))
    async with (
        serving(peer, wire) as line,
        driven(*(made | {"timeout_s": 1} for made in devices(line)), clock=QuickClock()) as got,
    ):
        await got.until(lambda: len(got.values("faulty/y")) >= 1 and len(got.values("sound/y")) >= 3)
        bad = Quality.BAD_CONFIG if code in (1, 2, 3) else Quality.BAD_COMM
        assert set(got.values("faulty/x")) == {(None, bad)}
        assert set(got.values("sound/x")) == {right(2, 0)}
        assert any(f"exception {code}, " in said for said in got.said)
        peer.heal()
        await got.until(lambda: got.values("faulty/y")[-1] == right(1, 90))


@pytest.mark.parametrize("wire", ["rtu", "ascii", "rtu_over_tcp"])
async def test_a_babbling_bus_yields_no_wrong_value(wire: str) -> None:
    """Noise before, within and behind the replies of both units, and when nobody was asked."""
    noise = random.Random(11)
    peer = Peer(FRAMINGS[wire]())
    sound = peer.good

    def babble(asked: Asked) -> bytes:
        frame = sound(asked)
        match noise.randrange(4):
            case 0:
                return noise.randbytes(noise.randrange(1, 9)) + frame
            case 1:
                return frame + noise.randbytes(noise.randrange(1, 9))
            case 2:
                at = noise.randrange(len(frame))
                return frame[:at] + noise.randbytes(3) + frame[at:]
        return frame

    peer.good = babble  # type: ignore[method-assign]
    async with (
        serving(peer, wire) as line,
        driven(*devices(line), clock=QuickClock()) as got,
    ):
        await got.until(lambda: len([v for v in got.values("sound/y") if v[1] == 0]) >= 20)
        never_wrong(got)
        peer.good = sound  # type: ignore[method-assign]
        for name, unit in (("faulty", 1), ("sound", 2)):
            await got.until(lambda name=name, unit=unit: got.values(f"{name}/x")[-1] == right(unit, 0))  # type: ignore[misc]


@pytest.mark.parametrize("wire", ["tcp", "rtu_over_tcp", "udp"])
async def test_a_server_that_restarts_is_found_again_by_all_units(wire: str) -> None:
    peer = Peer(FRAMINGS[wire]())
    async with contextlib.AsyncExitStack() as stack:
        async with serving(peer, wire) as line:
            got = await stack.enter_async_context(
                driven(device("faulty", 1, line), device("sound", 2, line), clock=QuickClock())
            )
            await got.until(lambda: len(got.values("sound/y")) >= 3 and len(got.values("faulty/y")) >= 3)
        await got.until(lambda: all(got.values(f"{name}/y")[-1][1] for name in ("faulty", "sound")))
        async with serving(peer, wire, port=line["port"]):
            for name, unit in (("faulty", 1), ("sound", 2)):
                await got.until(lambda name=name, unit=unit: got.values(f"{name}/y")[-1] == right(unit, 90))  # type: ignore[misc]
            never_wrong(got)
            got.driver.stop()
            await asyncio.sleep(0)
