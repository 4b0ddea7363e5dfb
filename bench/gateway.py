"""The whole gateway, from registers to the ingest's tables: memory at rest, and its cost under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench._latency import Latency
from bench._peer import ENTRIES, Entries, measure_peer, plain_broker
from bench._processes import child
from bench.form import Figure, Scenario, at_least, at_most, run
from gateway_sim.checker.checker import Checker
from gateway_sim.checker.tables import cloud_of
from gateway_sim.devices import plantfile
from gateway_sim.devices.plantfile import Plant
from gateway_sim.faults.control import command
from gateway_sim.runs.gateway import Plan, VirtualGateway
from gateway_sim.runs.processes import Processes
from gateway_sim.runs.rundir import make_run
from gateway_sim.runs.usage import Usage, usage

ROOT = Path(__file__).resolve().parents[1]
WARM_UP_S, MEASURED_S, SETTLE_S = 10, 60, 60
RATES = {"1k": 1_000, "10k": 10_000, "50k": 50_000}
"""Values per second of the plant's named sizes."""
RATIOS = {"1k": 2.5, "50k": 2.0}
"""How often the CPU time of a bare loop the whole gateway may take."""
IDLE_PLANT = ("--devices", "1", "--tags", "10", "--interval", "10")

Scene = Callable[[VirtualGateway], Coroutine[None, None, dict[str, Figure]]]


def main(argv: Sequence[str]) -> int:
    """`./dev bench gateway [--peer] [--json] [SCENARIO ...]`."""
    loads = [
        Scenario(
            name,
            partial(_loaded, name),
            {
                "values_per_s": at_least(0.99 * rate),
                "lost": at_most(0),
                "doubled": at_most(0),
                **({"cpu_ratio": at_most(RATIOS[name])} if name in RATIOS else {}),
            },
        )
        for name, rate in RATES.items()
    ]
    bare = [Scenario(f"pymodbus_{name}", partial(_bare, name)) for name in RATIOS]
    peers = [Scenario(f"peer_{entries}_1k", partial(_peer_1k, entries)) for entries in ENTRIES]
    json_1k = Scenario("1k_json", partial(_loaded, "1k", "json"), {"lost": at_most(0), "doubled": at_most(0)})
    idle = Scenario("idle", _idle_both, {"pss_split_mb": at_most(120), "pss_all_in_one_mb": at_most(60)})
    chosen = [word for word in argv if word != "--peer"]
    asked = peers if "--peer" in argv or any(word.startswith("peer_") for word in argv) else []
    return run("gateway", chosen, [idle, *loads, json_1k, *bare, *asked], more="[--peer]")


def _measure(
    plant: Sequence[str],
    scene: Scene,
    *,
    all_in_one: bool = False,
    whole: bool = False,
    codec: str = "compact",
) -> Mapping[str, Figure]:
    plan = Plan(
        plant=plant,
        thing="gw-bench",
        window_s=60,
        all_in_one=all_in_one,
        ble=whole,
        files=whole,
        codec=codec,
    )
    return asyncio.run(_run(plan, scene))


def _loaded(name: str, codec: str = "compact") -> Mapping[str, Figure]:
    """The gateway at this rate, and how its CPU time compares with a loop that only reads."""
    found = _measure(("--scale", name), _load, codec=codec)
    bare = _bare(name)
    cost, floor = found["cpu_s_per_million"], bare["cpu_s_per_million"]
    assert isinstance(cost, float)
    assert isinstance(floor, float)
    return {"codec": codec, **found, "cpu_ratio": round(cost / floor, 2)}


@cache
def _bare(name: str) -> Mapping[str, Figure]:
    """The same reads of the same plant by pymodbus alone, values thrown away."""
    with _plant(name) as (plant, folder):
        path = folder / "plan.json"
        path.write_text(json.dumps(_reads(plant)))
        with child("bench._modbus_bare", str(path)) as process:
            process.line()
            time.sleep(WARM_UP_S)
            before, counted, cpu_s = time.monotonic(), json.loads(process.ask("")), usage(process.pid).cpu_s
            time.sleep(MEASURED_S)
            used, done = usage(process.pid), json.loads(process.ask(""))
            seconds = time.monotonic() - before
        registers = sum(group.count for device in plant.devices for group in device.groups)
        tags = sum(len(group.tags) for device in plant.devices for group in device.groups)
    values = (done["values"] - counted["values"]) * tags / registers
    return {
        "values_per_s": round(values / seconds, 1),
        "cpu_s_per_million": round((used.cpu_s - cpu_s) / values * 1e6, 2),
        "pss_mb": round(used.pss_mb, 1),
    }


def _reads(plant: Plant) -> list[dict[str, Any]]:
    return [
        {"port": device.port, "reads": [[group.address, group.count]], "interval_s": group.interval_s}
        for device in plant.devices
        for group in device.groups
    ]


def _peer_1k(entries: Entries) -> Mapping[str, Figure]:
    """ThingsBoard's gateway on the same plant."""
    with _plant("1k") as (plant, folder), plain_broker(folder) as port:
        return measure_peer(plant, folder / "peer", port, entries)


@contextlib.contextmanager
def _plant(name: str) -> Iterator[tuple[Plant, Path]]:
    """A plant of this size in a process of its own, and a folder that goes away with it."""
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as path:
        folder = Path(path)
        words = ["--dir", str(folder / "plant"), "--scale", name]
        with child("gateway_sim.devices", *words) as process:
            process.line()
            yield plantfile.read(folder / "plant"), folder


def _idle_both() -> Mapping[str, Figure]:
    """At rest, with every role: one after the other, in processes of their own and in one."""
    split = _measure(IDLE_PLANT, _idle, whole=True)
    (alone,) = _measure(IDLE_PLANT, _rest, all_in_one=True, whole=True).values()
    return {**split, "pss_all_in_one_mb": alone}


async def _run(plan: Plan, scene: Scene) -> dict[str, Figure]:
    environment = {"HEADGATE_RUNTIME_CACHE": str(ROOT / ".cache" / "runtime")}
    async with Processes(make_run(ROOT / ".run"), environment) as processes:
        gateway = VirtualGateway(plan, processes, ROOT)
        await gateway.start()
        await asyncio.sleep(WARM_UP_S)
        return await scene(gateway)


async def _idle(gateway: VirtualGateway) -> dict[str, Figure]:
    """A gateway with a device that is read every 10 s, four sensors and a folder; each part, and the sum."""
    sizes = await _rest(gateway)
    return {**sizes, "pss_split_mb": round(sum(float(mb or 0) for mb in sizes.values()), 1)}


async def _rest(gateway: VirtualGateway) -> dict[str, Figure]:
    await asyncio.sleep(MEASURED_S / 2)
    return {f"pss_{name.rpartition('.')[2].lower()}_mb": mb for name, mb in gateway.pss_mb().items()}


async def _load(gateway: VirtualGateway) -> dict[str, Figure]:
    """Costs over the measured minute; the samples of that minute, followed to the cloud's tables."""
    before, since_ms, start = await _costs(gateway), _now_ms(), time.monotonic()
    await asyncio.sleep(MEASURED_S)
    after, until_ms, seconds = await _costs(gateway), _now_ms(), time.monotonic() - start
    latency = Latency()
    result = await _settled(gateway, since_ms, until_ms, latency)
    values = max(1, result["served"])
    components = after["components"].cpu_s - before["components"].cpu_s
    nucleus = after["nucleus"].cpu_s - before["nucleus"].cpu_s
    return {
        "values_per_s": round(result["served"] / seconds, 1),
        **latency.figures(since_ms, until_ms),
        "lost": result["lost"],
        "doubled": result["doubled"],
        "cpu_s_per_million": round(components / values * 1e6, 2),
        "nucleus_cpu_s_per_million": round(nucleus / values * 1e6, 2),
        "pss_mb": round(after["components"].pss_mb, 1),
        "disk_bytes_per_value": round(
            (after["components"].written_bytes - before["components"].written_bytes) / values, 1
        ),
        "mqtt_bytes_per_value": round((after["up_bytes"] - before["up_bytes"]) / values, 2),
    }


async def _settled(gateway: VirtualGateway, since_ms: int, until_ms: int, latency: Latency) -> dict[str, int]:
    cloud = cloud_of(gateway.run.cloud / "cloud.json")
    checker = Checker(gateway.run.plant, cloud, thing=gateway.plan.thing, heard=latency.take)
    end = time.monotonic() + SETTLE_S
    while True:
        await asyncio.to_thread(checker.look)
        telemetry = checker.result(since_ms, until_ms).telemetry
        if telemetry.ok or time.monotonic() > end:
            return {"served": telemetry.served, "lost": telemetry.lost, "doubled": telemetry.doubled}
        await asyncio.sleep(0.5)


async def _costs(gateway: VirtualGateway) -> dict[str, Any]:
    pids = [state["pid"] for state in gateway.status()["components"].values() if state.get("pid")]
    parts = [usage(pid) for pid in pids]
    together = Usage(
        sum(p.cpu_s for p in parts), sum(p.pss_mb for p in parts), sum(p.written_bytes for p in parts)
    )
    nucleus = usage(gateway.processes.pid("nucleus"))
    apart = Usage(nucleus.cpu_s - together.cpu_s, nucleus.pss_mb - together.pss_mb, 0)
    proxy = await command(gateway.run.control / "proxy.socket")
    return {"components": together, "nucleus": apart, "up_bytes": proxy["up_bytes"]}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
