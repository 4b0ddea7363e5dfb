"""The running radio: every sensor sends in its own time, whoever listens on the bus hears it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Literal

from gateway_sim.ble import blefile, control, daemon
from gateway_sim.ble.blefile import BleError, Radio, sent_path
from gateway_sim.ble.bluetoothd import Bluetoothd
from gateway_sim.ble.record import JsonLines, SentRecord
from gateway_sim.ble.sensors import Sensor
from gateway_sim.ble.station import ADAPTER, Packet, Station
from gateway_sim.devices.plant import utc_now_ms

ADVERTISE_S = 1.0
"""How often a connectable sensor advertises."""
REPEAT_EVERY, REPEAT_S = 3, 0.12
"""Every third packet is sent again after this time, as radios do so that somebody hears it."""
RESTART_S = 0.2
CONTROL_NAME = "control"
Restart = Literal["clean", "killed"]


class RunningRadio:
    """What is on the air, and the faults that can be done to it."""

    def __init__(
        self, address: str, stations: Sequence[Station], log: JsonLines, utc_ms: Callable[[], int]
    ) -> None:
        self._address, self._log, self._utc_ms = address, log, utc_ms
        self._stations = {station.path: station for station in stations}
        self._tasks: asyncio.TaskGroup | None = None
        self._bluetoothd: Bluetoothd | None = None
        self._one_at_a_time = asyncio.Lock()

    async def run(self, started: asyncio.Future[None]) -> None:
        """Be on the air until cancelled; `started` is done once `org.bluez` answers."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._begin()
            started.set_result(None)
            for index, station in enumerate(self._stations.values()):
                phase_s = index / len(self._stations)
                tasks.create_task(self._send(station, phase_s), name=f"sensor {station.device.name}")

    def status(self) -> dict[str, object]:
        """What the radio is doing."""
        bluetoothd = self._bluetoothd
        if bluetoothd is None:
            return {"running": False}
        adapter, hang = bluetoothd.adapter, bluetoothd.peripherals.hang_reads
        told = {"powered": adapter.powered, "discovering": adapter.discovering, "wedged": adapter.wedged}
        return {"running": True, **told, "hang_reads": hang}

    def power(self, on: bool) -> None:
        """Switch the adapter, as a pulled and replugged dongle or `rfkill` would."""
        self._daemon().adapter.power(on, "power fault")

    def hang_reads(self, on: bool) -> None:
        """Take reads and never answer them."""
        self._daemon().peripherals.hang_reads = on

    async def restart(self, how: Restart) -> None:
        """Restart the Bluetooth daemon: it forgets everything. One that was `killed` leaves the adapter
        scanning, so that discovery is refused until the power has been off."""
        async with self._one_at_a_time:
            await self._daemon().stop(f"restart {how}")
            self._bluetoothd = None
            await asyncio.sleep(RESTART_S)
            await self._begin(wedged=how == "killed")

    async def stop(self) -> None:
        """Leave the bus."""
        if self._bluetoothd is not None:
            await self._bluetoothd.stop("radio stopped")
            self._bluetoothd = None

    async def _begin(self, *, wedged: bool = False) -> None:
        assert self._tasks is not None
        bluetoothd = Bluetoothd(self._address, self._stations, self._tasks, self._discovery, wedged=wedged)
        await bluetoothd.start()
        self._bluetoothd = bluetoothd

    def _daemon(self) -> Bluetoothd:
        if self._bluetoothd is None:
            raise BleError("the Bluetooth daemon is restarting; try again")
        return self._bluetoothd

    def _discovery(self, on: bool, why: str) -> None:
        self._log.append({"t_ms": self._utc_ms(), "discovering": on, "why": why})

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
        if self._bluetoothd is None or not self._bluetoothd.peripherals.is_connected(station.path):
            return False
        self._bluetoothd.peripherals.tick(station)
        return True

    def _transmit(self, station: Station, packet: Packet) -> None:
        if self._bluetoothd is None:
            station.send(packet, heard=False)
            return
        self._bluetoothd.transmit(station, packet)
        self._bluetoothd.peripherals.forget()


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
            stations.append(Station(sensor, record, utc_ms, origin_ms, seed))
        running_radio = RunningRadio(address, stations, log, utc_ms)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        task = tasks.create_task(running_radio.run(started), name="radio")
        stack.callback(task.cancel)
        stack.push_async_callback(running_radio.stop)
        await _first(started, task)
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
