"""Writes of characteristics: what is refused, what is read first, what is sent once, what is said after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.ble.config import parse_mapping
from headgate.ble.driver import BleDriver
from headgate.ble.radio import Heard, Overheard, Session
from headgate.ble.rules import CharacteristicRule
from headgate.clock import ManualClock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry
from headgate.write_steps import Denied, Unconfirmed
from tests.support.ble_doubles import StillController

ADDRESS = "AA:BB:CC:DD:EE:{:02X}"
WORD, ALONE, HEARD = (f"0000{number}-0000-1000-8000-00805f9b34fb" for number in ("aa01", "aa02", "aa03"))
STEP_MS = 10
SETPOINT = {"name": "setpoint", "characteristic": WORD, "type": "int16", "decimals": 1, "unit": "°C"}
COUNT = {"name": "count", "characteristic": WORD, "at": 2, "type": "uint8"}
LEVEL = {"name": "level", "characteristic": ALONE, "type": "uint8"}
ALLOWED = {"write": {"allow": True}}


class Peer:
    """All devices in one: characteristics with their content, `log` of what was done, faults by operation."""

    def __init__(self, clock: ManualClock) -> None:
        self.overhear: Callable[[Overheard], None] | None = None
        self.heard_ms: int | None = 0
        self.adverts = 0
        self.content = {WORD: b"\xcd\x00\x07", ALONE: b"\x05"}
        self.log: list[str] = []
        self.connected: list[str] = []
        self.read_faults: dict[str, Exception] = {}
        self.write_faults: list[Exception | None] = []
        self.takes = True
        self.hangs = False
        self._clock = clock

    async def start(self, wanted: Container[str], heard: Heard, *, passive: bool) -> None:
        self.heard_ms = 1 << 40

    async def stop(self) -> None:
        return None

    def forget(self) -> None:
        return None

    async def found(self, address: str, timeout_s: float) -> None:
        return None

    async def connect(self, address: str, timeout_s: float, *, pair: bool) -> Session:
        assert not self.connected, "two connections"
        await self._step()
        self.connected.append(address)
        self.log.append(f"connect {address[-2:]}" + " paired" * pair)
        return self

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        await self._step()
        self.log.append(f"read {uuid[4:8]}")
        if uuid in self.read_faults:
            raise self.read_faults[uuid]
        if uuid not in self.content:
            raise Reject(f"there is no characteristic {uuid}")
        return self.content[uuid]

    async def write(self, uuid: str, data: bytes, timeout_s: float, *, response: bool) -> None:
        self.log.append(f"write {uuid[4:8]} {data.hex()}" + " blindly" * (not response))
        await self._step()
        if self.hangs:
            await asyncio.Event().wait()
        fault = self.write_faults.pop(0) if self.write_faults else None
        if self.takes and not isinstance(fault, Denied):
            self.content[uuid] = data
        if fault is not None:
            raise fault

    async def close(self) -> None:
        self.connected.clear()
        self.log.append("close")

    async def _step(self) -> None:
        await self._clock.sleep_until(self._clock.boot_ms() + STEP_MS)


class World:
    """Devices d1 and so on of one own format, with one connection at a time."""

    def __init__(self, *values: dict[str, Any], devices: int = 2, **device: Any) -> None:
        self.clock = ManualClock()
        self.peer = Peer(self.clock)
        self.driver = BleDriver(self.clock, stack=lambda *_: (self.peer, StillController()))
        described = [
            {"name": f"d{n}", "address": ADDRESS.format(n), "profile": "own", "interval_s": 86_400, **device}
            for n in range(1, devices + 1)
        ]
        formats = [{"name": "own", "values": list(values)}]
        self.driver.apply(
            self.driver.plan(
                {"formats": formats, "devices": described, "adapters": [{"name": "hci0", "connections": 1}]}
            )
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Peer]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.driver.run(lambda frame: None))
            await self.clock.advance(1_000)
            self.peer.log.clear()
            try:
                yield self.peer
            finally:
                self.driver.stop()
                await task

    async def write(self, *values: tuple[str, object], within_ms: int = 60_000) -> Reply:
        rows = [{"series": name if "/" in name else f"d1/{name}", "value": value} for name, value in values]
        request = Request("w", 1, "write", {"values": rows}, self.clock.utc_ms() + within_ms, "direct")
        task = asyncio.ensure_future(self.driver.call(request))
        for _ in range(600):
            await self.clock.advance(100)
            if task.done():
                break
        return await task


def rows(reply: Reply) -> list[dict[str, Any]]:
    assert reply.result is not None
    found: list[dict[str, Any]] = reply.result["writes"]
    return found


async def test_a_value_is_written_over_one_connection_with_what_is_beside_it_as_it_was() -> None:
    world = World(SETPOINT | ALLOWED, COUNT)
    async with world.running() as peer:
        reply = await world.write(("setpoint", 21.5))
        (row,) = rows(reply)
        assert (reply.status, row["outcome"], row["old"], row["unit"]) == ("ok", "verified", 20.5, "°C")
        assert peer.log == ["connect 01", "read aa01", "write aa01 d70007", "read aa01", "close"]


async def test_values_of_one_device_share_its_connection_and_one_device_follows_the_other() -> None:
    world = World(SETPOINT | ALLOWED, LEVEL | ALLOWED)
    async with world.running() as peer:
        reply = await world.write(("setpoint", 1), ("level", 9), ("d2/level", 8))
        assert [row["outcome"] for row in rows(reply)] == ["verified"] * 3
        assert [each for each in peer.log if each[0] == "c"] == ["connect 01", "close", "connect 02", "close"]


async def test_a_write_waits_for_the_session_in_flight_and_for_no_poll() -> None:
    world = World(LEVEL | ALLOWED, interval_s=0.1, devices=9)
    async with world.running() as peer:
        await world.clock.advance(1_000)
        peer.log.clear()
        reply = await world.write(("d5/level", 9))
        assert rows(reply)[0]["outcome"] == "verified"
        connects = [each for each in peer.log[: peer.log.index("write aa02 09")] if each[0] == "c"]
        assert len([each for each in connects if each != "close"]) <= 2
        assert "connect 05" in connects


async def test_a_device_is_paired_with_only_where_the_site_says_so() -> None:
    world = World(LEVEL | ALLOWED, pair=True)
    async with world.running() as peer:
        await world.write(("level", 9))
        assert peer.log[0] == "connect 01 paired"


@pytest.mark.parametrize(
    ("value", "asked", "code", "said"),
    [
        (LEVEL, 1, "writes_off", "d1/level may not be written"),
        (LEVEL | {"write": {"allow": False, "max": 9}}, 1, "writes_off", "allow: true"),
        (
            LEVEL | {"write": {"allow": True, "min": 5, "max": 30}},
            31,
            "out_of_range",
            "31 is out of range (5",
        ),
        (LEVEL | ALLOWED, 256, "bad_value", "d1/level: 256 does not fit type uint8"),
        (LEVEL | ALLOWED | {"not_available": 255}, 255, "bad_value", "no value"),
        (LEVEL | ALLOWED, "on", "bad_value", "no number"),
        (SETPOINT | ALLOWED, 1, "unknown_series", "no series 'd1/level'"),
    ],
)
async def test_what_may_not_or_cannot_be_is_refused_before_anything_is_sent(
    value: dict[str, Any], asked: object, code: str, said: str
) -> None:
    world = World(value)
    async with world.running() as peer:
        with pytest.raises(Refused) as refused:
            await world.write(("level", asked))
        assert (refused.value.code, said in str(refused.value)) == (code, True)
        assert peer.log == []


async def test_of_several_values_one_that_is_refused_keeps_all_from_being_written() -> None:
    world = World(LEVEL | ALLOWED, SETPOINT)
    async with world.running() as peer:
        with pytest.raises(Refused, match="setpoint may not be written"):
            await world.write(("level", 1), ("setpoint", 1))
        with pytest.raises(Refused, match="twice"):
            await world.write(("level", 1), ("level", 2))
        with pytest.raises(Refused, match="1 to 16"):
            await world.write()
        assert peer.log == []


async def test_a_profile_s_own_values_are_never_written() -> None:
    world = World(LEVEL)
    devices = [{"name": "d1", "address": ADDRESS.format(1), "profile": "ess", "tags": ["temperature"]}]
    world.driver.apply(world.driver.plan({"devices": devices}))
    with pytest.raises(Refused, match="only values of own formats"):
        await world.write(("temperature", 20))


async def test_a_clamped_value_says_what_was_asked() -> None:
    world = World(LEVEL | {"write": {"allow": True, "max": 30, "out_of_range": "clamp"}})
    async with world.running() as peer:
        (row,) = rows(await world.write(("level", 99)))
        assert (row["value"], row["asked"], peer.content[ALONE]) == (30, 99, b"\x1e")


@pytest.mark.parametrize(
    ("fault", "takes", "outcome", "code"),
    [
        (None, False, "mismatch", "not_verified"),
        (Denied("write_not_permitted"), True, "not_written", "device_refused"),
        (Retry("the connection was lost"), False, "not_written", "offline"),
        (Unconfirmed("no answer in time"), True, "verified", "ok"),
        (Unconfirmed("no answer in time"), False, "unknown", "unknown"),
    ],
)
async def test_what_became_of_a_write(fault: Exception | None, takes: bool, outcome: str, code: str) -> None:
    world = World(LEVEL | ALLOWED, COUNT | ALLOWED)
    async with world.running() as peer:
        peer.write_faults, peer.takes = [fault], takes
        reply = await world.write(("level", 9), ("count", 1))
        assert (rows(reply)[0]["outcome"], reply.code, rows(reply)[0]["old"]) == (outcome, code, 5)
        assert [each for each in peer.log if each.startswith("write aa02")] == ["write aa02 09"]
        assert (rows(reply)[1].get("error") == "a value before it failed") == (code != "ok")
        assert peer.connected == []


async def test_without_verifying_a_confirmed_write_is_written_and_not_read_back() -> None:
    world = World(LEVEL | {"write": {"allow": True, "verify": False}})
    async with world.running() as peer:
        reply = await world.write(("level", 9))
        assert (reply.status, rows(reply)[0]["outcome"]) == ("ok", "written")
        assert peer.log == ["connect 01", "read aa02", "write aa02 09", "close"]


async def test_a_write_without_response_is_known_by_reading_it_back_alone() -> None:
    world = World(LEVEL | {"write": {"allow": True, "response": False}})
    async with world.running() as peer:
        assert rows(await world.write(("level", 9)))[0]["outcome"] == "verified"
        assert "write aa02 09 blindly" in peer.log
        peer.takes = False
        assert rows(await world.write(("level", 8)))[0]["outcome"] == "unknown"


@pytest.mark.parametrize(
    ("values", "verify", "outcome"),
    [
        ([LEVEL], False, "written"),
        ([LEVEL], True, "not_written"),
        ([LEVEL, COUNT | {"characteristic": ALONE, "at": 1}], False, "not_written"),
        ([LEVEL | {"mask": 0x0F}], False, "not_written"),
    ],
)
async def test_what_cannot_be_read_is_written_only_where_nothing_else_is_touched(
    values: list[dict[str, Any]], verify: bool, outcome: str
) -> None:
    world = World(values[0] | {"write": {"allow": True, "verify": verify}}, *values[1:])
    async with world.running() as peer:
        peer.read_faults[ALONE] = Reject("read_not_permitted")
        reply = await world.write(("level", 9))
        (row,) = rows(reply)
        assert (row["outcome"], "old" in row) == (outcome, False)
        assert ("write aa02 09" in peer.log) == (outcome == "written")
        assert reply.code == ("ok" if outcome == "written" else "device_refused")


@pytest.mark.parametrize("verify", [True, False])
async def test_a_characteristic_of_another_form_is_left_alone(verify: bool) -> None:
    world = World(SETPOINT | {"write": {"allow": True, "verify": verify}})
    async with world.running() as peer:
        peer.content[WORD] = b"\x01"
        reply = await world.write(("setpoint", 9))
        assert (reply.code, rows(reply)[0]["outcome"]) == ("device_refused", "not_written")
        assert "expected 2 B" in reply.detail
        assert not any(each.startswith("write") for each in peer.log)


async def test_bits_beside_a_mask_that_would_make_it_no_value_keep_it_from_being_written() -> None:
    world = World(LEVEL | ALLOWED | {"mask": 0x0F, "not_available": 0xFF})
    async with world.running() as peer:
        peer.content[ALONE] = b"\xf5"
        reply = await world.write(("level", 15))
        assert (reply.code, rows(reply)[0]["outcome"]) == ("device_refused", "not_written")
        assert not any(each.startswith("write") for each in peer.log)
        assert rows(await world.write(("level", 14)))[0]["outcome"] == "verified"


async def test_a_write_that_has_no_end_is_unknown_when_its_time_is_over() -> None:
    world = World(LEVEL | ALLOWED)
    async with world.running() as peer:
        peer.hangs = True
        reply = await world.write(("level", 9), within_ms=4_000)
        assert (reply.code, rows(reply)[0]["outcome"]) == ("unknown", "unknown")
        assert "not confirmed in time" in reply.detail
        assert peer.connected == []


async def test_without_time_nothing_is_sent() -> None:
    world = World(LEVEL | ALLOWED)
    async with world.running() as peer:
        reply = await world.write(("level", 9), within_ms=2 * STEP_MS)
        assert (reply.code, rows(reply)[0]["outcome"]) == ("offline", "not_written")
        assert not any(each.startswith("write") for each in peer.log)


def rule_of(value: dict[str, Any], **more: Any) -> CharacteristicRule | None:
    formats = [{"name": "own", "values": [value], **more}]
    device = {"name": "d", "address": ADDRESS.format(1), "profile": "own"}
    own = parse_mapping({"formats": formats, "devices": [device]}).devices[0].own
    assert own is not None
    return own.fields[0].write


def test_writes_are_off_unless_allowed() -> None:
    assert rule_of(LEVEL) is None
    assert rule_of(LEVEL | {"write": {"max": 5}}) is None
    assert rule_of(LEVEL | ALLOWED) == CharacteristicRule()
    rule = {"allow": True, "min": 5, "max": 30, "out_of_range": "clamp", "response": False}
    assert rule_of(LEVEL | {"write": rule}) == CharacteristicRule(5, 30, True, True, False)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (LEVEL | {"write": {"alow": True}}, "write.alow: unknown key"),
        (LEVEL | {"write": {"allow": "yes"}}, "write.allow: expected true or false"),
        (LEVEL | {"write": {"min": 300}}, "write.min: cannot be written: 300 does not fit type uint8"),
        (LEVEL | {"write": {"min": 5, "max": 4}}, "write.max: 4 is less than min"),
        (LEVEL | {"write": {"out_of_range": "clamp"}}, "write.out_of_range: there is nothing to clamp to"),
        (LEVEL | {"type": "bit", "bit": 1, "write": {"max": 1}}, "write.max: does not go with type bit"),
        (LEVEL | {"write": {"verify": False, "response": False}}, "write.response: nothing would tell"),
    ],
)
def test_faults_name_their_place(value: dict[str, Any], fault: str) -> None:
    with pytest.raises(Reject) as refused:
        rule_of(value)
    assert f"ble.formats[0].values[0].{fault}" in str(refused.value)


def test_an_advertisement_cannot_be_written() -> None:
    value = {key: each for key, each in LEVEL.items() if key != "characteristic"}
    with pytest.raises(Reject, match="write: does not go with an advertisement"):
        rule_of(value | ALLOWED, company=1)
