"""The running radio: every sensor sends in its own time, whoever listens on the bus hears it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Literal

from gateway_sim.ble import blefile, control, daemon
from gateway_sim.ble.blefile import BleError, Radio, sent_path, settings_path
from gateway_sim.ble.bluetoothd import Bluetoothd
from gateway_sim.ble.conditions import Conditions, Writes
from gateway_sim.ble.record import JsonLines, SentRecord
from gateway_sim.ble.sensors import Sensor
from gateway_sim.ble.station import ADAPTER, Packet, Station
from gateway_sim.ble.strangers import Strangers
from gateway_sim.ble.systemd import serving as serving_systemd
from gateway_sim.devices.plant import utc_now_ms

ADVERTISE_S = 1.0
"""How often a connectable sensor advertises."""
REPEAT_EVERY, REPEAT_S = 3, 0.12
"""Every third packet is sent again after this time, as radios do so that somebody hears it."""
RESTART_S = 0.2
AUTO_ENABLE_S = 0.1
"""How long after it appeared bluetoothd switches an adapter on (main.conf, AutoEnable)."""
TICK_S = 1.0
CONTROL_NAME = "control"
Restart = Literal["clean", "killed"]


class RunningRadio:
    """What is on the air, and the faults that can be done to it (README.md beside this file)."""

    def __init__(
        self,
        address: str,
        stations: Sequence[Station],
        log: JsonLines,
        utc_ms: Callable[[], int],
        seed: int,
    ) -> None:
        self._address, self._log, self._utc_ms = address, log, utc_ms
        self._stations = {station.path: station for station in stations}
        self._paths = {station.device.name: station.path for station in stations}
        self._tasks: asyncio.TaskGroup | None = None
        self._bluetoothd: Bluetoothd | None = None
        self._one_at_a_time = asyncio.Lock()
        self._strangers = Strangers(random.Random(f"{seed}/strangers"))
        self.conditions = Conditions()

    async def run(self, started: asyncio.Future[None]) -> None:
        """Be on the air until cancelled; `started` is done once `org.bluez` answers."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._begin()
            started.set_result(None)
            tasks.create_task(self._tick(), name="radio tick")
            for index, station in enumerate(self._stations.values()):
                phase_s = index / len(self._stations)
                tasks.create_task(self._send(station, phase_s), name=f"sensor {station.device.name}")

    def status(self) -> dict[str, object]:
        """What the radio is doing."""
        bluetoothd, now = self._bluetoothd, self.conditions
        if bluetoothd is None:
            return {"running": False}
        return {
            "running": True,
            "powered": bluetoothd.adapter.powered,
            "discovering": bluetoothd.adapter.discovering,
            "plugged": bluetoothd.adapter.plugged,
            "wedged": now.wedged,
            "deaf": now.deaf,
            "busy": now.busy,
            "hang_reads": now.hang_reads,
            "hang_connects": now.hang_connects,
            "writes": now.writes,
            "passive": now.passive,
            "absent": sorted(now.absent),
            "connected": [n for n, path in self._paths.items() if bluetoothd.peripherals.is_connected(path)],
            "strangers_per_s": self._strangers.per_s,
            "bluez": ".".join(map(str, now.bluez)),
        }

    def power(self, on: bool) -> None:
        """Switch the adapter, as `rfkill` would."""
        self._daemon().adapter.power(on, "power fault")

    def plug(self, on: bool) -> None:
        """Pull the adapter, or put it back: then it is switched on as bluetoothd does (AutoEnable)."""
        adapter = self._daemon().adapter
        if not on:
            self._daemon().peripherals.disconnect_all()
            adapter.unplug()
        elif not adapter.plugged:
            adapter.plug()
            self._switch_on_soon()

    def hang_reads(self, on: bool) -> None:
        """Take reads and never answer them."""
        self.conditions.hang_reads = on

    def hang_connects(self, on: bool) -> None:
        """Take connects and refuse them after the kernel's 20 s."""
        self.conditions.hang_connects = on

    def writes(self, how: Writes) -> None:
        """What becomes of every write from now on."""
        self.conditions.writes = how

    def busy(self, on: bool) -> None:
        """Refuse discovery with InProgress, as long as this is on."""
        self.conditions.busy = on

    def deaf(self, on: bool) -> None:
        """Hear nothing and say that all is well, until the power is off."""
        self.conditions.deaf = on

    def passive(self, on: bool) -> None:
        """Whether there are advertisement monitors; without them a passive scan is refused."""
        self.conditions.passive = on

    def absent(self, names: Sequence[str]) -> None:
        """Take just these devices out of range; their connections drop. Raises BleError."""
        for name in names:
            self.drop(name)
        self.conditions.absent = set(names)

    def drop(self, name: str) -> None:
        """End a device's connection, if it has one, as the device would. Raises BleError."""
        if name not in self._paths:
            raise BleError(f"there is no device {name!r}; there are {', '.join(self._paths)}")
        self.conditions.held.discard(self._paths[name])
        self._daemon().peripherals.disconnect(self._paths[name])

    def strangers(self, per_s: float) -> None:
        """Have so many packets a second from ever new random addresses."""
        self._strangers.per_s = per_s

    def bluez(self, version: str) -> None:
        """Signal by the rules of this version ("5.66")."""
        major, minor = map(int, version.split("."))
        self.conditions.bluez = major, minor

    async def restart(self, how: Restart, down_s: float = RESTART_S) -> None:
        """Restart the Bluetooth daemon: it forgets everything. After `clean` (SIGTERM) the adapter was off
        and comes up by itself. One that was `killed` leaves the adapter scanning, so that discovery is
        refused until the power has been off, and its connections standing."""
        async with self._one_at_a_time:
            daemon = self._daemon()
            if how == "killed":
                self.conditions.wedged = True
                self.conditions.held |= daemon.peripherals.connected()
            elif daemon.adapter.powered:
                self.conditions.power_off()
            plugged, powered = daemon.adapter.plugged, daemon.adapter.powered
            self._bluetoothd = None
            await daemon.stop(f"restart {how}")
            await asyncio.sleep(down_s)
            await self._begin(powered=powered and how == "killed", plugged=plugged)
            if how == "clean" and plugged:
                self._switch_on_soon()

    async def stop(self) -> None:
        """Leave the bus."""
        if self._bluetoothd is not None:
            await self._bluetoothd.stop("radio stopped")
            self._bluetoothd = None

    async def _begin(self, *, powered: bool = True, plugged: bool = True) -> None:
        assert self._tasks is not None
        bluetoothd = Bluetoothd(
            self._address, self._stations, self._tasks, self._discovery, self.conditions, powered=powered
        )
        await bluetoothd.start(plugged=plugged)
        self._bluetoothd = bluetoothd

    def _switch_on_soon(self) -> None:
        async def switch_on(daemon: Bluetoothd) -> None:
            await asyncio.sleep(AUTO_ENABLE_S)
            if daemon is self._bluetoothd:
                daemon.adapter.power(True, "AutoEnable")

        assert self._tasks is not None
        self._tasks.create_task(switch_on(self._daemon()), name="auto-enable")

    def _daemon(self) -> Bluetoothd:
        if self._bluetoothd is None:
            raise BleError("the Bluetooth daemon is restarting; try again")
        return self._bluetoothd

    def _discovery(self, on: bool, why: str) -> None:
        self._log.append({"t_ms": self._utc_ms(), "discovering": on, "why": why})

    async def _tick(self) -> None:
        """What happens every second: strangers pass, devices unseen are forgotten."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._bluetoothd is not None:
                self._strangers.pass_by(self._bluetoothd, TICK_S)
                self._bluetoothd.peripherals.forget()

    async def _send(self, station: Station, phase_s: float) -> None:
        loop = asyncio.get_running_loop()
        interval_s = ADVERTISE_S if station.sensor.connectable else station.device.interval_s
        due_s = loop.time() + phase_s * interval_s
        while True:
            await asyncio.sleep(due_s - loop.time())
            due_s += interval_s
            if self._connected(station):  # a connected peripheral does not advertise
                continue
            packet = station.packet()
            self._transmit(station, packet)
            if packet.count % REPEAT_EVERY == 0:
                await asyncio.sleep(REPEAT_S)
                self._transmit(station, packet)

    def _connected(self, station: Station) -> bool:
        if station.path in self.conditions.held:
            return True
        if self._bluetoothd is None or not self._bluetoothd.peripherals.is_connected(station.path):
            return False
        self._bluetoothd.peripherals.tick(station)
        return True

    def _transmit(self, station: Station, packet: Packet) -> None:
        if self._bluetoothd is None or station.device.name in self.conditions.absent:
            station.send(packet, heard=False)
        else:
            self._bluetoothd.transmit(station, packet)


@contextlib.asynccontextmanager
async def running(
    sensors: Sequence[Sensor],
    directory: Path,
    *,
    seed: int = 1,
    utc_ms: Callable[[], int] = utc_now_ms,
) -> AsyncIterator[tuple[Radio, RunningRadio]]:
    """Have the sensors on the air while the context is open; records and `ble.json` stay in `directory`.

    Raises BleError when there can be no bus or the directory cannot be written.
    """
    _prepare(directory)
    socket = daemon.socket_path(directory, CONTROL_NAME)
    origin_ms = utc_ms()
    async with contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(daemon.running(directory))
        log = stack.enter_context(contextlib.closing(JsonLines(directory / blefile.RADIO_RECORD)))
        stations = []
        for sensor in sensors:
            record = SentRecord(sent_path(directory, sensor.device.name))
            stack.callback(record.close)
            written = None
            if sensor.settings:
                written = JsonLines(settings_path(directory, sensor.device.name))
                stack.callback(written.close)
            stations.append(Station(sensor, record, utc_ms, origin_ms, seed, written))
        running_radio = RunningRadio(address, stations, log, utc_ms, seed)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        task = tasks.create_task(running_radio.run(started), name="radio")
        stack.callback(task.cancel)
        stack.push_async_callback(running_radio.stop)
        await _first(started, task)
        await stack.enter_async_context(serving_systemd(address, running_radio.restart, tasks))
        await stack.enter_async_context(control.serving(running_radio, socket))
        devices = tuple(sensor.device for sensor in sensors)
        radio = Radio(seed, origin_ms, address, ADAPTER, str(socket), devices)
        blefile.write(radio, directory)
        yield radio, running_radio


async def _first(started: asyncio.Future[None], task: asyncio.Task[None]) -> None:
    """Wait until the radio is on the air, or say why it is not."""
    await asyncio.wait({started, task}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / blefile.FILE_NAME).unlink(missing_ok=True)  # whoever waits for it waits for this run's
    except OSError as error:
        raise BleError(f"cannot use {directory}: {error.strerror}") from error
