"""The Modbus bridge up to Bus.publish: cost, requests and exactness, beside a bare pymodbus loop."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench._processes import Child, child
from bench.form import Figure, Scenario, at_least, at_most, run
from gateway_sim.runs.usage import usage
from headgate.batch import decode

ROOT = Path(__file__).resolve().parents[1]
WARM_UP_S, MEASURED_S = 5.0, 30.0
CALLS = 200
MAX_COUNT = 125
"""Registers of one read (Modbus Application Protocol V1.1b3, 6.3)."""


@dataclass(frozen=True, slots=True)
class Load:
    """Equal devices, each on an endpoint of its own, every tag a uint16; `addresses` are one device's."""

    devices: int
    addresses: tuple[int, ...]
    interval_s: float

    @property
    def values_per_s(self) -> float:
        return self.devices * len(self.addresses) / self.interval_s

    def reads(self) -> list[list[int]]:
        """The fewest reads that cover the addresses: from the lowest one not covered, as far as one goes."""
        blocks: list[list[int]] = []
        for address in self.addresses:
            if blocks and address < blocks[-1][0] + MAX_COUNT:
                blocks[-1][1] = address - blocks[-1][0] + 1
            else:
                blocks.append([address, 1])
        return blocks


LOADS = {
    "1k": Load(10, tuple(range(100)), 1.0),
    "10k100ms": Load(10, tuple(range(100)), 0.1),
    "50k": Load(100, tuple(range(500)), 1.0),
    "scattered": Load(1, tuple(sorted(random.Random(4).sample(range(5_000), 1_000))), 1.0),
}
EXACT = {"gaps": at_most(0), "doubles": at_most(0), "wrong": at_most(0)}


def main(argv: Sequence[str]) -> int:
    """`./dev bench modbus [--json] [SCENARIO ...]`."""
    rate = {name: {"values_per_s": at_least(load.values_per_s * 0.99)} for name, load in LOADS.items()}
    whole = {"cpu_ratio": at_most(1.4), "requests_per_100_tags": at_most(1)} | EXACT
    goals = {
        "1k": whole | {"pss_over_floor_mb": at_most(8)},
        "10k100ms": whole,
        "50k": whole | {"pss_over_floor_mb": at_most(16), "on_demand_ms.p99": at_most(50)},
        "scattered": EXACT | {"requests_over_optimum": at_most(1.02)},
    }
    bridges = [Scenario(n, partial(_bridge, n), goals[n] | rate[n]) for n in LOADS]
    bare = [Scenario(f"pymodbus_{n}", partial(_bare, n), rate[n]) for n in ("1k", "50k")]
    return run("modbus", argv, [*bridges, *bare])


def _bridge(name: str) -> Mapping[str, Figure]:
    """The bridge under a load; its batches are decoded afterwards and compared with the server's counts."""
    load = LOADS[name]
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as folder, _server(load) as server:
        site, batches = Path(folder) / "site.json", Path(folder) / "batches.bin"
        site.write_text(json.dumps(_site(load, server.ports)))
        argv = ["bench._modbus_bridge", str(site), str(Path(folder) / "state"), str(batches)]
        with child(*argv) as process:
            process.line()
            time.sleep(WARM_UP_S)
            before, asked, cpu_s = time.monotonic(), server.totals(), usage(process.pid).cpu_s
            offset = batches.stat().st_size
            time.sleep(MEASURED_S)
            used, cpu_s = usage(process.pid), usage(process.pid).cpu_s - cpu_s
            seconds, done, end = time.monotonic() - before, server.totals(), batches.stat().st_size
            took_ms = json.loads(process.ask(f"call device-000/t{load.addresses[0]:04d} {CALLS}"))
        values = _values(batches, offset, end)
        found = _judge(batches)
        requests = done["requests"] - asked["requests"]
    bare, floor_mb = _bare(name), _floor_mb()
    optimum = len(load.reads()) * load.devices * seconds / load.interval_s
    per_million = cpu_s / values * 1e6
    return {
        "values_per_s": round(values / seconds, 1),
        **found,
        "requests_per_100_tags": round(requests / values * 100, 3),
        "requests_optimum": round(optimum / values * 100, 3),
        "requests_over_optimum": round(requests / optimum, 3),
        "cpu_s_per_million": round(per_million, 2),
        "cpu_ratio": round(per_million / float(bare["cpu_s_per_million"] or 0), 2),
        "pss_mb": round(used.pss_mb, 1),
        "import_floor_mb": floor_mb,
        "pss_over_floor_mb": round(used.pss_mb - floor_mb, 1),
        "on_demand_ms.p50": round(statistics.median(took_ms), 2),
        "on_demand_ms.p99": round(statistics.quantiles(took_ms, n=100)[98], 2),
    }


@cache
def _bare(name: str) -> Mapping[str, Figure]:
    """The same reads, phases and rates by pymodbus alone."""
    load = LOADS[name]
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as folder, _server(load) as server:
        plan = Path(folder) / "plan.json"
        rows = [{"port": port, "reads": load.reads(), "interval_s": load.interval_s} for port in server.ports]
        plan.write_text(json.dumps(rows))
        with child("bench._modbus_bare", str(plan)) as process:
            process.line()
            time.sleep(WARM_UP_S)
            before, counted, cpu_s = time.monotonic(), json.loads(process.ask("")), usage(process.pid).cpu_s
            time.sleep(MEASURED_S)
            used, cpu_s = usage(process.pid), usage(process.pid).cpu_s - cpu_s
            seconds, done = time.monotonic() - before, json.loads(process.ask(""))
    registers = done["values"] - counted["values"]
    # What it read without being asked for is no value: the gaps between scattered tags.
    values = registers * len(load.addresses) / sum(count for _, count in load.reads())
    return {
        "values_per_s": round(values / seconds, 1),
        "cpu_s_per_million": round(cpu_s / values * 1e6, 2),
        "pss_mb": round(used.pss_mb, 1),
        "late": done["late"] - counted["late"],
    }


@cache
def _floor_mb() -> float:
    """A process that has imported what the bridge imports, and does nothing."""
    with child("bench._modbus_bridge", "--imports") as process:
        process.line()
        return round(usage(process.pid).pss_mb, 1)


def _site(load: Load, ports: Sequence[int]) -> dict[str, Any]:
    tags = [
        {"name": f"t{address:04d}", "table": "holding", "address": address, "type": "uint16"}
        for address in load.addresses
    ]
    return {
        "schema": 1,
        "modbus": {
            "devices": [
                {
                    "name": f"device-{index:03d}",
                    "transport": {"kind": "tcp", "host": "127.0.0.1", "port": port},
                    "max_gap": MAX_COUNT,
                    "groups": [{"name": "all", "interval_s": load.interval_s, "tags": tags}],
                }
                for index, port in enumerate(ports)
            ]
        },
    }


def _batches(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    data = path.read_bytes()[start:end]
    at = 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _values(path: Path, start: int, end: int) -> int:
    return sum(len(frame.values) for wire in _batches(path, start, end) for frame in decode(wire).frames)


def _judge(path: Path) -> dict[str, Figure]:
    """Each response carries its number in every register: it must be the one after the last, everywhere."""
    last: dict[int, int] = {}
    gaps = doubles = wrong = 0
    for wire in _batches(path):
        for frame in decode(wire).frames:
            served = frame.values[0]
            if not isinstance(served, int) or any(value != served for value in frame.values):
                wrong += 1
                continue
            step = (served - last.get(frame.series[0], served - 1)) % 65_536
            gaps, doubles = gaps + max(0, step - 1) % 32_768, doubles + (step == 0 or step > 32_768)
            last[frame.series[0]] = served
    return {"gaps": gaps, "doubles": doubles, "wrong": wrong}


@dataclass(frozen=True, slots=True)
class _Server:
    """The devices: where they listen, and what they say that they served."""

    process: Child
    ports: Sequence[int]

    def totals(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.process.ask(""))
        return found


@contextlib.contextmanager
def _server(load: Load) -> Iterator[_Server]:
    with child("bench._modbus_server", str(load.devices)) as process:
        yield _Server(process, json.loads(process.line())["ports"])
