"""One simulated device behind a pymodbus server: answers reads, counts them and records what it served."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway_sim.devices import registers as codec
from gateway_sim.devices.maps import Block
from gateway_sim.devices.plantfile import served_path
from gateway_sim.devices.settings import COIL_FUNCTIONS, COILS, REGISTERS, Settings

TABLE_OF_FUNCTION = {3: "holding", 4: "input"}
COUNT_LIMIT = 1 << 32


class ServedRecord:
    """`<device>.served.jsonl`: a line per answered read, in the kernel's hands before the reply leaves."""

    def __init__(self, directory: Path, device: str) -> None:
        self.path = served_path(directory, device)
        self.counts = self._last_counts()
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _last_counts(self) -> dict[str, int]:
        """Where a device that was started again goes on counting: no count ever names two responses."""
        counts: dict[str, int] = {}
        if self.path.exists():
            whole, _, torn = self.path.read_bytes().rpartition(b"\n")
            if torn:
                os.truncate(self.path, len(whole) + 1 if whole else 0)
            for line in whole.splitlines():
                row = json.loads(line)
                if row["group"] is not None:
                    counts[row["group"]] = row["count"]
        return counts

    def append(self, row: dict[str, object]) -> None:
        os.write(self._fd, json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)


class SimulatedDevice:
    """The registers of one unit. All tags of a response show the same moment of the story.

    `utc_ms` is the clock, `origin_ms` the UTC time of the story's second 0, and `answer_delay_s`
    makes a slow device (it may be changed while it runs).
    """

    def __init__(
        self,
        name: str,
        unit: int,
        blocks: Sequence[Block],
        settings: Settings,
        record: ServedRecord,
        utc_ms: Callable[[], int],
        origin_ms: int,
    ) -> None:
        self.name, self.unit, self.blocks, self.settings = name, unit, tuple(blocks), settings
        self.answer_delay_s = 0.0
        self._record, self._utc_ms, self._origin_ms = record, utc_ms, origin_ms
        self._counts = {block.group.name: record.counts.get(block.group.name, 0) for block in blocks}

    def simdevice(self) -> SimDevice:
        """The device as pymodbus serves it: registers filled anew by every read, settings that are kept."""
        size = max(block.group.address + block.group.count for block in self.blocks)
        size = max(size, REGISTERS.stop)
        coils = [SimData(0, count=len(COILS), values=False, datatype=DataType.BITS)]
        holding, inputs = ([SimData(0, count=size, values=0, datatype=DataType.REGISTERS)] for _ in range(2))
        bits = [SimData(0, count=16, values=False, datatype=DataType.BITS, readonly=True)]
        return SimDevice(self.unit, (coils, bits, holding, inputs), action=self._answer)

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current: list[int],
        writes: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus' hook before an access: fill what it will send, record what it takes, or refuse."""
        if self.answer_delay_s:
            await asyncio.sleep(self.answer_delay_s)
        # Of coils pymodbus gives the number of registers that they lie in.
        cells = len(writes) if writes is not None else count if function_code not in COIL_FUNCTIONS else 1
        if self.settings.covers(function_code, address, cells):
            held = self.settings.held(function_code, start_address, address, cells, current)
            self.settings.access(self._utc_ms(), function_code, address, held, writes)
            return None
        table = TABLE_OF_FUNCTION.get(function_code)
        block = next((b for b in self.blocks if _covers(b, table, address, count)), None)
        if block is None or writes is not None:
            return ExcCodes.ILLEGAL_ADDRESS
        # No await from here to pymodbus' copy of the registers: a response is one snapshot.
        first = address - start_address
        current[first : first + count] = self._serve(block, address, count)
        return None

    def _serve(self, block: Block, address: int, count: int) -> list[int]:
        group, t_ms = block.group, self._utc_ms()
        whole = (address, count) == (group.address, group.count)
        if whole:
            self._counts[group.name] = (self._counts[group.name] + 1) % COUNT_LIMIT
        polls = self._counts[group.name]
        values = block.sample((t_ms - self._origin_ms) / 1000)
        if group.counter is not None:
            values.insert(0, polls)
        served = codec.encode(group.tags, values)[address - group.address :][:count]
        if whole:
            self._record.append({"t_ms": t_ms, "group": group.name, "count": polls, "registers": served})
        else:
            where = {"table": group.table, "address": address}
            self._record.append({"t_ms": t_ms, "group": None, **where, "registers": served})
        return served


def _covers(block: Block, table: str | None, address: int, count: int) -> bool:
    group = block.group
    return (
        group.table == table and group.address <= address and address + count <= group.address + group.count
    )
