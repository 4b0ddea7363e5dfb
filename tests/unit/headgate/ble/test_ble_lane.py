"""What the cloud asks of BLE: before every poll that waits for the adapter, and yet polls go on; counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager

from headgate.ble.adapters import CONNECTIONS
from headgate.ble.driver import BleDriver
from headgate.ble.radio import Heard, Overheard, Session
from headgate.clock import ManualClock
from headgate.driver import Reply, Request
from headgate.errors import Retry
from headgate.lane import URGENT_IN_A_ROW
from headgate.model import Frame
from tests.support.ble_doubles import StillController

POLLED = 40
CONNECT_MS, READ_MS = 50, 100


class SlowSession:
    def __init__(self, clock: ManualClock, address: str, radio: SlowRadio) -> None:
        self._clock, self._address, self._radio = clock, address, radio

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        await self._clock.sleep_until(self._clock.boot_ms() + READ_MS)
        return b"\x10\x00"

    async def write(self, uuid: str, data: bytes, timeout_s: float, *, response: bool) -> None:
        raise AssertionError("nobody asked for it")

    async def close(self) -> None:
        self._radio.open.remove(self._address)


class SlowRadio:
    """Everything is in reach; `connects` are the addresses in the order in which connecting began."""

    def __init__(self, clock: ManualClock) -> None:
        self.heard_ms: int | None = 0
        self.adverts = 0
        self.overhear: Callable[[Overheard], None] | None = None
        self.connects: list[str] = []
        self.open: list[str] = []
        self.connecting = 0
        self.lost = ""
        self._clock = clock

    async def start(self, wanted: Container[str], heard: Heard, *, passive: bool) -> None:
        self.heard_ms = 1 << 40

    async def stop(self) -> None:
        return None

    def forget(self) -> None:
        return None

    async def found(self, address: str, timeout_s: float) -> None:
        if address == self.lost:
            await self._clock.sleep_until(self._clock.boot_ms() + round(timeout_s * 1000))
            raise Retry(f"{address} was not heard")

    async def connect(self, address: str, timeout_s: float, *, pair: bool) -> Session:
        assert not pair
        assert not self.connecting, "two connects at once"
        self.connecting += 1
        assert address not in self.open, "two sessions with one device"
        self.connects.append(address)
        self.open.append(address)
        assert len(self.open) <= CONNECTIONS
        await self._clock.sleep_until(self._clock.boot_ms() + CONNECT_MS)
        self.connecting -= 1
        return SlowSession(self._clock, address, self)


def address(number: int) -> str:
    return f"AA:BB:CC:DD:EE:{number:02X}"


class World:
    """Devices 1 to POLLED are polled all the time; the first and the last are polled once at the start."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.radio = SlowRadio(self.clock)
        self.frames: list[Frame] = []
        self.driver = BleDriver(self.clock, stack=lambda *_: (self.radio, StillController()))
        devices = [
            {
                "name": f"d{n}",
                "address": address(n),
                "profile": "ess",
                "tags": ["temperature"],
                "interval_s": 1.0 if 1 <= n <= POLLED else 86_400.0,
            }
            for n in range(POLLED + 2)
        ]
        self.driver.apply(self.driver.plan({"devices": devices}))

    async def read_characteristic(self) -> Reply:
        args = {"characteristics": [{"device": "d0", "characteristic": "2a6e"}]}
        return await self.driver.call(Request("r", 1, "read", args, 0, "direct"))

    async def read_series(self) -> Reply:
        name = f"d{POLLED + 1}/temperature"
        return await self.driver.call(Request("r", 1, "read", {"series": [name]}, 0, "direct"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.TaskGroup]:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(self.driver.run(self.frames.append))
            yield group
            self.driver.stop()
            await self.clock.advance(5_000)
            assert run.done()

    async def connects(self, number: int) -> None:
        """Let some more connects begin."""
        target = len(self.radio.connects) + number
        while len(self.radio.connects) < target:
            await self.clock.advance(10)


async def test_a_read_is_the_next_connection_though_forty_polls_wait() -> None:
    world = World()
    async with world.running() as group:
        await world.connects(100)  # the adapter is always behind: 40 devices a second are too many for it
        before = len(world.radio.connects)
        reads = [
            group.create_task(world.read_characteristic()),
            group.create_task(world.read_series()),
        ]
        await world.connects(3)
        # One may have held a slot and waited for its connect; from then on the slots go to the reads.
        told = [
            each in (address(0), address(POLLED + 1)) for each in world.radio.connects[before : before + 3]
        ]
        assert told in ([True, True, False], [False, True, True])
        await world.connects(3)
        for read in reads:
            assert read.result().status == "ok"
        characteristic = reads[0].result().result
        assert characteristic is not None
        assert characteristic["characteristics"][0]["hex"] == "1000"


async def test_one_request_for_values_and_characteristics_of_a_device_has_one_session_at_a_time() -> None:
    world = World()
    async with world.running() as group:
        await world.connects(100)
        args = {
            "series": ["d1/temperature"],
            "characteristics": [{"device": "d1", "characteristic": "2a6e"}],
        }
        request = Request("r", 1, "read", args, world.clock.utc_ms() + 8_000, "direct")
        call = group.create_task(world.driver.call(request))
        await world.clock.advance(5_000)
        assert call.done()
        result = call.result().result
        assert result is not None
        assert not [row for rows in result.values() for row in rows if "error" in row]


async def test_a_lost_device_does_not_cost_the_answers_of_others() -> None:
    world = World()
    async with world.running() as group:
        await world.connects(100)
        world.radio.lost = address(1)
        args = {
            "series": ["d1/temperature", "d0/temperature"],
            "characteristics": [{"device": f"d{n}", "characteristic": "2a6e"} for n in (1, 2)],
        }
        request = Request("r", 1, "read", args, world.clock.utc_ms() + 4_000, "direct")
        call = group.create_task(world.driver.call(request))
        await world.clock.advance(2_900)
        assert not call.done()
        await world.clock.advance(200)
        reply = call.result()
        assert reply.status == "ok"
        assert reply.result is not None
        errors = [row.get("error") for rows in reply.result.values() for row in rows]
        assert errors == ["not read in time", None, "not read in time", None]
        assert [row["device"] for row in reply.result["characteristics"]] == ["d1", "d2"]


async def test_polls_go_on_under_a_flood_of_reads() -> None:
    world = World()
    async with world.running() as group:
        await world.connects(100)
        before = len(world.radio.connects)

        async def flood() -> None:
            for _ in range(12):
                await world.read_characteristic()

        floods = [group.create_task(flood()) for _ in range(10)]
        await world.connects(110)
        told = "".join("a" if each == address(0) else "p" for each in world.radio.connects[before:])
        assert not all(each.done() for each in floods)
        # The connect and the slots each keep the bound; between the two, their turns may fall together.
        assert max(map(len, told.split("p"))) <= 2 * URGENT_IN_A_ROW
        assert told.count("p") >= len(told) // (URGENT_IN_A_ROW + 1) - 1
        await world.connects(60)
        assert all(each.done() for each in floods)
