"""Serves dumped devices on Modbus TCP or on a pty, and records every request, whatever its function code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway_sim.devices import plantfile
from gateway_sim.devices.fixture import Fixture, Refusal
from gateway_sim.devices.layout import BAUDRATE
from gateway_sim.devices.listen import listen_serial, listen_tcp
from gateway_sim.devices.plantfile import Device, Plant, PlantError

FRAME_BYTES = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10, 24: 6, 43: 7}
"""Requests on a serial line, of the functions whose requests have one length."""
COUNTED = {15: 6, 16: 6, 20: 2, 21: 2, 23: 10}
"""And where a byte counts the rest."""
RECORD_SUFFIX = ".asked.jsonl"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    unit: int
    function: int
    data: bytes


class Dumped:
    """The dumped units of one line. `asked` holds every request, `on_asked` is told of each."""

    def __init__(self, fixtures: Sequence[Fixture], record: Path | None = None) -> None:
        self.units = {fixture.unit: fixture for fixture in fixtures}
        if len(self.units) < len(fixtures):
            raise PlantError("two fixtures have one unit id")
        self.asked: list[Asked] = []
        self.on_asked: Callable[[Asked], None] = lambda asked: None
        self._record = record

    def note(self, unit: int, function: int, data: bytes) -> None:
        """Record a request before it is answered."""
        asked = Asked(unit, function, data)
        self.asked.append(asked)
        self.on_asked(asked)
        if self._record is not None:
            row = {"unit": unit, "function": function, "data": data.hex()}
            with self._record.open("a", encoding="ascii") as file:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")

    def requests(self, functions: Iterable[int] = range(1, 0x80)) -> list[type[ModbusPDU]]:
        """A class for each function code, by default all: pymodbus would keep unknown ones to itself."""
        return [_request(function) for function in functions]

    def simdevices(self) -> list[SimDevice]:
        """What pymodbus wants to have beside; it is never asked."""
        space = SimData(0, values=0, datatype=DataType.REGISTERS, readonly=True)
        return [SimDevice(unit, [space]) for unit in self.units]

    def trace(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """pymodbus's hook: records requests; those to other units, or that are not answered, are dropped."""
        if sending or not isinstance(pdu, _Request):
            return pdu
        self.note(pdu.dev_id, pdu.function_code, pdu.data)
        fixture = self.units.get(pdu.dev_id)
        if fixture is None:
            return None  # type: ignore[return-value]  # its request handler drops a request for None
        try:
            pdu.reply = _Reply(pdu.function_code, fixture.answer(pdu.function_code, pdu.data))
        except Refusal as refusal:
            if refusal.code == 0:
                return None  # type: ignore[return-value]  # as above
            pdu.reply = ExceptionResponse(pdu.function_code, refusal.code)
        return pdu


class _Request(ModbusPDU):
    """A request as it came, with the reply once `Dumped.trace` saw it."""

    data = b""
    reply: ModbusPDU | None = None

    def decode(self, data: bytes) -> None:
        self.data = data

    async def datastore_update(self, context: object, device_id: int) -> ModbusPDU:
        return self.reply or ExceptionResponse(self.function_code, ExcCodes.DEVICE_FAILURE)


def _request(function: int) -> type[ModbusPDU]:
    body: dict[str, Any] = {"function_code": function, "rtu_frame_size": FRAME_BYTES.get(function, 0)}
    if function in COUNTED:
        body["rtu_byte_count_pos"] = COUNTED[function]
    return type(f"Request{function}", (_Request,), body)


class _Reply(ModbusPDU):
    def __init__(self, function: int, data: bytes) -> None:
        super().__init__()
        self.function_code = function
        self.data = data

    def encode(self) -> bytes:
        return self.data


@contextlib.asynccontextmanager
async def serving(
    fixtures: Sequence[Fixture],
    *,
    transport: Literal["tcp", "rtu"] = "tcp",
    host: str = "127.0.0.1",
    directory: Path | None = None,
    name: str = "dumped",
) -> AsyncIterator[tuple[Device, Dumped]]:
    """Serve dumped units on one line while the context is open; yields where, and what was asked.

    With `directory`, `plant.json` and `<name>.asked.jsonl` appear there. Raises PlantError.
    """
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    dumped = Dumped(fixtures, None if directory is None else directory / f"{name}{RECORD_SUFFIX}")
    unit = fixtures[0].unit
    async with contextlib.AsyncExitStack() as stack:
        if transport == "tcp":
            port = await listen_tcp(
                dumped.simdevices(), name, host, stack, trace_pdu=dumped.trace, custom_pdu=dumped.requests()
            )
            device = Device(name, "tcp", unit, (), host=host, port=port)
        else:
            known = dumped.requests((*FRAME_BYTES, *COUNTED))
            path = await listen_serial(
                dumped.simdevices(), name, stack, trace_pdu=dumped.trace, custom_pdu=known
            )
            device = Device(name, "rtu", unit, (), path=path, baudrate=BAUDRATE)
        if directory is not None:
            plantfile.write(Plant(0, 0, (device,)), directory)
        yield device, dumped
