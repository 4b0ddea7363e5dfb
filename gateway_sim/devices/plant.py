"""The running plant: every device behind its own pymodbus server, and `plant.json` once all listen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pymodbus.pdu import ModbusPDU

from gateway_sim.devices import plantfile
from gateway_sim.devices.device import ServedRecord, SimulatedDevice
from gateway_sim.devices.layout import BAUDRATE, DeviceLayout
from gateway_sim.devices.listen import Trace, listen_serial, listen_tcp
from gateway_sim.devices.plantfile import Device, Plant, PlantError
from gateway_sim.devices.settings import Settings


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
    served, trace = [device.simdevice()], _only_unit(layout.unit)
    if layout.transport == "tcp":
        port = await listen_tcp(served, layout.name, host, stack, trace_pdu=trace)
        return replace(made, host=host, port=port)
    path = await listen_serial(served, layout.name, stack, trace_pdu=trace)
    return replace(made, path=path, baudrate=BAUDRATE)


def _only_unit(unit: int) -> Trace:
    """Requests to another unit id go unanswered, as on a bus; pymodbus would answer exception 04.

    Its request handler drops a request for which this hook returns None.
    """

    def trace(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending and pdu.dev_id != unit:
            return cast(ModbusPDU, None)
        return pdu

    return trace
