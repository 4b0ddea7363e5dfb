"""`python -m gateway_sim.devices.sunspec --dir DIR`: a SunSpec inverter (unit 1) and a meter (unit 2) on TCP.

Their scale factors change with every answer, as those of real inverters do with the size of a value. Each
answer is a snapshot, and `DIR/<device>.served.jsonl` says what was in it before it leaves: the registers, and
for each point that it shows whole the decimal that they mean.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway_sim.devices.plantfile import served_path
from gateway_sim.devices.sunspec_models import (
    COMMON,
    INVERTER,
    METER,
    MPPT,
    MPPT_MODULE,
    Point,
    Quantity,
    Shown,
    points,
    show,
)

MARK = (0x5375, 0x6E53)
END = 0xFFFF
HOLDING = 3
VENDOR_MODEL = 64_900

Quantities = Mapping[str, Quantity]
Tell = Callable[[float, int], Sequence[tuple[Sequence[Point], Quantities, Mapping[str, int]]]]
"""From the time in s and the number of the answer: points, their quantities and scale factors, in order."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a device: `name` stands before its points in the record."""

    id: int
    name: str
    tell: Tell


class SunSpecDevice:
    """One unit with a SunSpec map. What may be changed while it runs: `base`, `models`, `most`, `refusing`.

    `most`: registers of one read. `refusing`: every read gets exception 02, as if there were no map.
    """

    def __init__(
        self,
        name: str,
        unit: int,
        base: int,
        models: Sequence[Model],
        directory: Path,
        t_s: Callable[[], float],
    ) -> None:
        self.name, self.unit, self.base, self.models = name, unit, base, tuple(models)
        self.most = 125
        self.refusing = False
        self._t_s = t_s
        self._answers = count()
        self._record = os.open(served_path(directory, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def close(self) -> None:
        """Close the record."""
        os.close(self._record)

    def simdevice(self) -> SimDevice:
        """The device as pymodbus serves it."""
        space = SimData(0, count=65_536, values=0, datatype=DataType.REGISTERS, readonly=True)
        return SimDevice(self.unit, [space], action=self._answer)

    def snapshot(self) -> tuple[list[int], list[Shown]]:
        """All registers from `base` on at this moment, and what they mean."""
        t_s, number = self._t_s(), next(self._answers)
        registers, shown = list(MARK), []
        for model in self.models:
            parts: list[Shown] = []
            for layout, quantities, scales in model.tell(t_s, number):
                at = len(registers) + 2 + sum(len(each.registers) for each in parts)
                parts += show(layout, quantities, scales, at)
            body = [register for each in parts for register in each.registers]
            registers += [model.id, len(body), *body]
            shown += [Shown(f"{model.name}.{p.name}", p.offset, p.registers, p.meaning) for p in parts]
        return [*registers, END, 0], shown

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current: list[int],
        writes: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus' hook before a read."""
        registers, shown = self.snapshot()
        first = address - self.base
        wrong = function_code != HOLDING or writes is not None or self.refusing or count > self.most
        if wrong or first < 0 or first + count > len(registers):
            return ExcCodes.ILLEGAL_ADDRESS
        answer = registers[first : first + count]
        whole = {
            each.name: each.meaning
            for each in shown
            if first <= each.offset and each.offset + len(each.registers) <= first + count
        }
        row = {"t_s": round(self._t_s(), 3), "address": address, "registers": answer, "points": whole}
        os.write(self._record, json.dumps(row, separators=(",", ":")).encode() + b"\n")
        current[address - start_address : address - start_address + count] = answer
        return None


def common(model: str, serial: str) -> Model:
    """Model 1."""
    said: Quantities = {"Mn": "Headgate", "Md": model, "Vr": "1.2.3", "SN": serial}
    return Model(1, "common", lambda t_s, number: [(points(COMMON), said, {})])


def inverter() -> Model:
    """Model 103; of its temperatures only the cabinet's is there."""
    layout = points(INVERTER)

    def tell(t_s: float, number: int) -> list[tuple[Sequence[Point], Quantities, Mapping[str, int]]]:
        power_w, volts = 2_200 + 800 * math.sin(t_s / 7), 231.5 + math.sin(t_s)
        quantities: dict[str, Quantity] = {
            **_phases("A", "AphA AphB AphC", power_w / volts),
            **dict.fromkeys(("PhVphA", "PhVphB", "PhVphC"), volts),
            **{name: volts * math.sqrt(3) for name in ("PPVphAB", "PPVphBC", "PPVphCA")},
            "W": power_w,
            "VA": power_w * 1.01,
            "VAr": power_w * -0.14,
            "PF": 99.0,
            "Hz": 50 + math.sin(t_s) / 50,
            "WH": 1_234_567 + t_s,
            "DCV": 620.0,
            "DCA": power_w / 600,
            "DCW": power_w * 1.03,
            "TmpCab": 41.5,
            "St": 4,
            "Evt1": 0,
            "Evt2": 0,
        }
        power_scale = number % 3 - 1
        return [
            (
                layout,
                quantities,
                {
                    "A_SF": -2,
                    "V_SF": -1 - number % 2,
                    "W_SF": power_scale,
                    "VA_SF": power_scale,
                    "VAr_SF": 0,
                    "Hz_SF": -2,
                    "PF_SF": 0,
                    "WH_SF": 0,
                    "DCA_SF": -2,
                    "DCV_SF": -1,
                    "DCW_SF": power_scale,
                    "Tmp_SF": -1,
                },
            )
        ]

    return Model(103, "inverter", tell)


def mppt(modules: int) -> Model:
    """Model 160 with so many modules; the scale factor of the powers changes with every tenth answer."""
    head, each = points(MPPT), points(MPPT_MODULE)

    def tell(t_s: float, number: int) -> list[tuple[Sequence[Point], Quantities, Mapping[str, int]]]:
        scales = {"DCA_SF": -2, "DCV_SF": -1, "DCW_SF": -(number // 10 % 2), "DCWH_SF": 0}
        told: list[tuple[Sequence[Point], Quantities, Mapping[str, int]]] = [
            (head, {"Evt": 0, "N": modules, "TmsPer": 0}, scales)
        ]
        for module in range(1, modules + 1):
            volts, amps = 600.0 + module, 2.5 + math.sin(t_s / 5 + module)
            quantities: dict[str, Quantity] = {
                "ID": module,
                "IDStr": f"String {module}",
                "DCV": volts,
                "DCA": amps,
                "DCW": volts * amps,
                "DCWH": 1000.0 * module + t_s,
                "DCSt": 4,
                "DCEvt": 0,
            }
            told.append(
                (
                    [Point(f"{module}.{p.name}", p.type, p.registers, p.scale) for p in each],
                    {f"{module}.{name}": value for name, value in quantities.items()},
                    scales,
                )
            )
        return told

    return Model(160, "mppt", tell)


def meter() -> Model:
    """Model 203: draws and feeds in; without apparent and reactive energy."""
    layout = points(METER)

    def tell(t_s: float, number: int) -> list[tuple[Sequence[Point], Quantities, Mapping[str, int]]]:
        power_w = 3_000 * math.sin(t_s / 11)
        quantities: dict[str, Quantity] = {
            **_phases("A", "AphA AphB AphC", power_w / 230),
            **_phases("W", "WphA WphB WphC", power_w),
            **_phases("VA", "VAphA VAphB VAphC", abs(power_w)),
            **dict.fromkeys(("PhV", "PhVphA", "PhVphB", "PhVphC"), 230.1),
            "Hz": 50.01,
            "PF": 100.0 if power_w >= 0 else -100.0,
            "TotWhExp": 7_000_000 + t_s,
            "TotWhImp": 3_000_000 + t_s,
        }
        scales = {
            "A_SF": -2,
            "V_SF": -1,
            "Hz_SF": -2,
            "W_SF": number % 2,
            "VA_SF": number % 2,
            "VAR_SF": 0,
            "PF_SF": -1,
            "TotWh_SF": number % 2,
        }
        return [(layout, quantities, scales)]

    return Model(203, "meter", tell)


def vendor() -> Model:
    """A model that nobody knows."""
    return Model(
        VENDOR_MODEL, "vendor", lambda t_s, number: [(points("a:uint16 b:uint16 c:uint32"), {"a": 1}, {})]
    )


def _phases(total: str, phases: str, value: float) -> dict[str, Quantity]:
    return {total: value, **dict.fromkeys(phases.split(), value / 3)}


@asynccontextmanager
async def serving(
    devices: Sequence[SunSpecDevice], host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Serve the devices behind one endpoint; yields its port."""
    server = ModbusTcpServer([device.simdevice() for device in devices], address=(host, port))
    await server.serve_forever(background=True)
    try:
        # pymodbus types its transport as one connection's; a listening one is asyncio's Server.
        yield server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def plant(directory: Path, t_s: Callable[[], float], modules: int = 2) -> Iterator[list[SunSpecDevice]]:
    """An inverter at 40000 and a meter at 50000."""
    made = [
        SunSpecDevice(
            "pv",
            1,
            40_000,
            [common("Inverter", "pv-0001"), inverter(), vendor(), mppt(modules)],
            directory,
            t_s,
        ),
        SunSpecDevice("grid", 2, 50_000, [common("Meter", "grid-0001"), meter()], directory, t_s),
    ]
    try:
        yield made
    finally:
        for device in made:
            device.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="gateway_sim.devices.sunspec", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where the records go")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="TCP port (default: any)")
    parser.add_argument("--modules", type=int, default=2, help="modules of the inverter (default 2)")
    asyncio.run(_serve(parser.parse_args(arguments)))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    options.dir.mkdir(parents=True, exist_ok=True)
    with plant(options.dir, loop.time, options.modules) as devices:
        async with serving(devices, options.host, options.port) as port:
            print(
                f"SunSpec: inverter unit 1, meter unit 2 at {options.host}:{port}, {options.dir}", flush=True
            )
            await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
