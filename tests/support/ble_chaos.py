"""A BLE driver among many devices on the simulated radio, in hurried time, and the faults done to it."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.ble.blefile import Radio
from gateway_sim.ble.radio import running
from gateway_sim.ble.sensors import crowd
from gateway_sim.ble.site import ble_section
from gateway_sim.faults.control import command
from headgate.ble.driver import BleDriver
from headgate.model import Frame, Quality
from tests.support.hurried import HurriedLoop, LoopClock

BROADCASTERS, PERIPHERALS = 20, 3
SPEED = 15.0
RECOVER_S = 90.0
STALE_S, GONE_FOR_S = 60.0, 300.0
"""From when on devices that send every second are stale, and gone, where the site says nothing of it."""
GONE_S = 1.0
"""What was on its way when a device went may still arrive."""


class Chaos:
    """The driver, what it said of each series, and what went wrong behind its back."""

    def __init__(self, radio: Radio, clock: LoopClock, rng: random.Random) -> None:
        self.radio, self.clock, self.rng = radio, clock, rng
        self.notices: list[str] = []
        self.unhandled: list[str] = []
        self.driver = BleDriver(clock, notice=self._note, rng=random.Random(rng.random()))
        self.said: dict[str, tuple[int, int]] = {}
        self.good_ms: dict[str, int] = {}
        self.forbidden: dict[str, int] = {}
        self.lies: list[str] = []
        self._names: list[str] = []
        self._more = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(self._unhandled)

    @property
    def broadcasters(self) -> list[str]:
        return [device.name for device in self.radio.devices if device.profile != "ess"]

    @property
    def peripherals(self) -> list[str]:
        return [device.name for device in self.radio.devices if device.profile == "ess"]

    async def fault(self, **what: object) -> dict[str, Any]:
        """Give the radio a command."""
        answer = await command(Path(self.radio.control), **what)
        assert answer["ok"], answer
        return answer

    async def pause(self, seconds: float) -> None:
        """Let time pass on the driver's clock."""
        await self.clock.sleep_until(self.clock.boot_ms() + round(seconds * 1000))

    async def take(self, names: list[str]) -> None:
        """Devices leave; a good value of theirs is a lie from GONE_S later on."""
        await self.fault(absent=names)
        self.forbidden = dict.fromkeys(names, self.clock.boot_ms() + round(GONE_S * 1000))

    async def give_back(self) -> None:
        self.forbidden = {}
        await self.fault(absent=[])

    def emit(self, frame: Frame) -> None:
        table = self.driver.table()
        for place, index in enumerate(frame.series):
            quality = frame.quality[place] if frame.quality else Quality.GOOD
            name = table[index].name
            self.said[name] = frame.boot_ms, quality
            if quality == Quality.GOOD:
                self.good_ms[name] = frame.boot_ms
                after_ms = self.forbidden.get(name.partition("/")[0])
                if after_ms is not None and frame.boot_ms > after_ms:
                    self.lies.append(f"{name} good {frame.boot_ms - after_ms} ms after its device had gone")
        self._more.set()

    def quality(self, device: str) -> int:
        """What all series of a device were said to be last."""
        (quality,) = {said[1] for name, said in self.said.items() if name.startswith(f"{device}/")}
        return quality

    async def flows(self) -> float:
        """Wait until every series has a good value from now on; how long it took, s."""
        since_ms = self.clock.boot_ms()
        wanted = {series for device in self.radio.devices for series in device.series()}

        def missing() -> list[str]:
            return sorted(name for name in wanted if self.good_ms.get(name, -1) <= since_ms)

        try:
            async with asyncio.timeout(RECOVER_S):
                while missing():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            pytest.fail(f"after {RECOVER_S:g} s still nothing of {missing()}; {self.notices[-12:]}")
        assert self.unhandled == []
        assert self.lies == []
        return (self.clock.boot_ms() - since_ms) / 1000

    def _note(self, text: str) -> None:
        self.notices.append(text)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")


@asynccontextmanager
async def chaos(
    directory: Path, monkeypatch: pytest.MonkeyPatch, seed: int, **adapter: object
) -> AsyncIterator[Chaos]:
    """The driver at work, every value flowing, in hurried time; `adapter` is what its configuration says."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HurriedLoop)
    clock = LoopClock(loop)
    sensors = crowd(seed, BROADCASTERS, PERIPHERALS)
    async with running(sensors, directory, seed=seed, utc_ms=clock.utc_ms) as (radio, _):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", radio.bus_address)
        site = Chaos(radio, clock, random.Random(seed))
        section = ble_section(radio) | {"adapters": [{"name": "hci0", "restart_service": True} | adapter]}
        site.driver.apply(site.driver.plan(section))
        loop.hurry(SPEED)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(site.driver.run(site.emit), name="driver")
            await site.flows()
            yield site
            assert not task.done()
            site.driver.stop()
            await task
        loop.hurry(1)
    gc.collect()  # an exception that nobody took is told when its task is collected
    assert site.unhandled == []


def fds() -> int:
    """Open files of this process, the radio's among them."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


Fault = Callable[[Chaos], Awaitable[None]]


async def crash_term(site: Chaos) -> None:
    await site.fault(restart="clean", down_s=3)


async def crash_kill(site: Chaos) -> None:
    await site.fault(restart="killed", down_s=site.rng.choice([0.1, 3]))


async def power_lost(site: Chaos) -> None:
    await site.fault(power=False)


async def power_cycled(site: Chaos) -> None:
    await site.fault(power=False)
    await site.fault(power=True)


async def unplugged(site: Chaos) -> None:
    await site.fault(plug=False)
    await site.pause(site.rng.uniform(0, 30))
    await site.fault(plug=True)


async def in_progress(site: Chaos) -> None:
    """Somebody else scans, and ours must begin anew."""
    await site.fault(busy=True)
    await site.fault(power=False)
    await site.pause(20)
    await site.fault(busy=False)


async def deaf(site: Chaos) -> None:
    await site.fault(deaf=True)


async def hung_reads(site: Chaos) -> None:
    await site.fault(hang_reads=True)
    await site.pause(40)
    await site.fault(hang_reads=False)


async def hung_connects(site: Chaos) -> None:
    await site.fault(hang_connects=True)
    await site.pause(40)
    await site.fault(hang_connects=False)


async def drops(site: Chaos) -> None:
    for _ in range(10):
        await site.fault(drop=site.rng.choice(site.peripherals))
        await site.pause(site.rng.uniform(0, 1))


async def out_of_range(site: Chaos) -> None:
    names = site.rng.sample(site.broadcasters, 7) + site.rng.sample(site.peripherals, 2)
    await site.take(names)
    await site.pause(site.rng.uniform(20, 120))
    await site.give_back()


async def gone(site: Chaos) -> None:
    """Devices that stay away are marked: stale after 60 s, bad_comm after 300 s, or when a read fails."""
    names = [site.broadcasters[0], site.broadcasters[2], site.peripherals[0]]
    await site.take(names)
    await site.pause(STALE_S + GONE_S + 1)
    assert {site.quality(name) for name in names[:2]} == {Quality.STALE}
    await site.pause(GONE_FOR_S - STALE_S + 1)
    assert {site.quality(name) for name in names} == {Quality.BAD_COMM}
    await site.give_back()


async def strangers(site: Chaos) -> None:
    await site.fault(strangers=30)
    await site.pause(20)
    await site.fault(strangers=0)


async def newer_bluez(site: Chaos) -> None:
    await site.fault(bluez="5.87")
    await site.fault(restart="clean")
    await site.flows()
    await site.fault(bluez="5.66")


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        crash_term,
        crash_kill,
        power_lost,
        power_cycled,
        unplugged,
        in_progress,
        deaf,
        hung_reads,
        hung_connects,
        drops,
        out_of_range,
        gone,
        strangers,
        newer_bluez,
    )
}
