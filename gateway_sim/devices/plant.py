"""The running plant: every device behind its own pymodbus server, and `plant.json` once all listen."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from gateway_sim.devices import plantfile
from gateway_sim.devices.device import ServedRecord, SimulatedDevice
from gateway_sim.devices.layout import BAUDRATE, DeviceLayout
from gateway_sim.devices.line import SerialLine
from gateway_sim.devices.plantfile import Device, Plant, PlantError
from gateway_sim.devices.settings import Settings

Server = ModbusTcpServer | ModbusSerialServer


def utc_now_ms() -> int:
    """The machine's UTC clock, ms."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class RunningPlant:
    """What listens: its description as in `plant.json`, and the devices by name."""

    plant: Plant
    devices: dict[str, SimulatedDevice]


@contextlib.asynccontextmanager
async def running(
    layouts: Sequence[DeviceLayout],
    directory: Path,
    *,
    seed: int = 1,
    host: str = "127.0.0.1",
    utc_ms: Callable[[], int] = utc_now_ms,
    answer_delay_s: float = 0.0,
) -> AsyncIterator[RunningPlant]:
    """Serve the devices while the context is open; their records and `plant.json` stay in `directory`.

    Raises PlantError when a device cannot listen or the directory cannot be written.
    """
    _prepare(directory)
    origin_ms = utc_ms()
    async with contextlib.AsyncExitStack() as stack:
        devices: dict[str, SimulatedDevice] = {}
        described: list[Device] = []
        for layout in layouts:
            record = stack.enter_context(contextlib.closing(ServedRecord(directory, layout.name)))
            settings = Settings(layout.settings, record.append)
            device = SimulatedDevice(
                layout.name, layout.unit, layout.blocks, settings, record, utc_ms, origin_ms
            )
            device.answer_delay_s = answer_delay_s
            devices[layout.name] = device
            described.append(await _listen(layout, device, host, stack))
        plant = Plant(seed, origin_ms, tuple(described))
        plantfile.write(plant, directory)
        yield RunningPlant(plant, devices)


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / plantfile.FILE_NAME).unlink(missing_ok=True)  # whoever waits for it waits for this run's
    except OSError as error:
        raise PlantError(f"cannot use {directory}: {error.strerror}") from error


async def _listen(
    layout: DeviceLayout, device: SimulatedDevice, host: str, stack: contextlib.AsyncExitStack
) -> Device:
    groups = tuple(block.group for block in layout.blocks)
    made = Device(
        layout.name, layout.transport, layout.unit, groups, settings=layout.settings, profile=layout.profile
    )
    if layout.transport == "tcp":
        server = ModbusTcpServer(device.simdevice(), address=(host, 0), trace_pdu=_only_unit(layout.unit))
        await _start(server, layout.name, f"{host}, any port", stack)
        # pymodbus types its transport as one connection's; a listening one is asyncio's Server.
        port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return replace(made, host=host, port=port)
    try:
        line = stack.enter_context(SerialLine())
    except OSError as error:
        raise PlantError(
            f"{layout.name}: no pty to be had ({error.strerror}): is /dev/pts mounted?"
        ) from error
    serial = ModbusSerialServer(
        device.simdevice(),
        framer=FramerType.RTU,
        port=line.device_path,
        baudrate=BAUDRATE,
        trace_pdu=_only_unit(layout.unit),
    )
    await _start(serial, layout.name, line.device_path, stack)
    return replace(made, path=line.gateway_path, baudrate=BAUDRATE)


async def _start(server: Server, name: str, where: str, stack: contextlib.AsyncExitStack) -> None:
    stack.push_async_callback(server.shutdown)
    try:
        await server.serve_forever(background=True)
    except (RuntimeError, OSError) as error:  # pymodbus turns a bind's OSError into RuntimeError
        reason = errno.errorcode.get(getattr(error, "errno", None) or 0, str(error))
        raise PlantError(f"{name}: cannot listen on {where}: {reason}") from error


def _only_unit(unit: int) -> Callable[[bool, ModbusPDU], ModbusPDU]:
    """Requests to another unit id go unanswered, as on a bus; pymodbus would answer exception 04.

    Its request handler drops a request for which this hook returns None.
    """

    def trace(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending and pdu.dev_id != unit:
            return cast(ModbusPDU, None)
        return pdu

    return trace
