"""What may be written to a simulated device: registers and coils that hold it, each write recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway_sim.devices.plantfile import Setting

REGISTERS, COILS = range(200, 216), range(16)
"""Addresses that can be written."""
READS, COIL_FUNCTIONS = (1, 3), (1, 5, 15)
TABLE_OF_FUNCTION = {
    1: "coil",
    3: "holding",
    5: "coil",
    6: "holding",
    15: "coil",
    16: "holding",
    22: "holding",
}
BOILER_SETTINGS: tuple[Setting, ...] = (
    Setting("setpoint", "holding", 200, "int16", 1, "°C"),
    Setting("night_setpoint", "holding", 201, "int16", 1, "°C"),
    Setting("gas_price", "holding", 202, "float32", None, "EUR/kWh"),
    Setting("hold_until", "holding", 204, "uint32", 0, "s"),
    Setting("away", "holding", 206, "bit", None, "", bit=3),
    Setting("pump", "coil", 0, "bool", None, ""),
    Setting("vent", "coil", 1, "bool", None, ""),
)
Append = Callable[[dict[str, object]], None]


class Settings:
    """The cells behind some settings, all zero at first; `append` takes a row of each read and each write.

    `ignored` are addresses whose writes are confirmed and not taken over, as some devices do.
    """

    def __init__(self, settings: Sequence[Setting], append: Append) -> None:
        self.settings = tuple(settings)
        self.ignored: set[int] = set()
        self._append = append

    def covers(self, function: int, address: int, count: int) -> bool:
        """Whether all of an access is of cells that can be written."""
        cells = COILS if TABLE_OF_FUNCTION.get(function) == "coil" else REGISTERS
        return bool(self.settings) and address in cells and address + count - 1 in cells

    @staticmethod
    def held(function: int, start: int, address: int, count: int, current: Sequence[int]) -> list[int]:
        """The values of `count` cells from `address` on; pymodbus keeps sixteen coils in a register."""
        if TABLE_OF_FUNCTION[function] == "holding":
            return list(current[address - start : address - start + count])
        bits = [word >> i & 1 for word in current for i in range(16)]
        return bits[address - 16 * start :][:count]

    def access(
        self,
        t_ms: int,
        function: int,
        address: int,
        held: Sequence[int],
        writes: list[Any] | None,
    ) -> None:
        """Record a read of what is `held`, or a write; what is ignored is put back into `writes`."""
        row: dict[str, object] = {"t_ms": t_ms, "group": None, "table": TABLE_OF_FUNCTION[function]}
        if writes is None:
            if function in READS:  # pymodbus' server reads for itself where it carries a write out
                self._append({**row, "address": address, "registers": list(held)})
            return
        self._append({**row, "address": address, "function": function, "wrote": [int(v) for v in writes]})
        for i in range(len(writes)):
            if address + i in self.ignored:
                writes[i] = held[i]
