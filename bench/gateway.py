"""The whole gateway, from registers to the ingest's tables: memory at rest, and its cost under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.form import Figure, Scenario, at_least, at_most, run
from gateway_sim.checker.checker import Checker
from gateway_sim.checker.tables import cloud_of
from gateway_sim.faults.control import command
from gateway_sim.runs.gateway import Plan, VirtualGateway
from gateway_sim.runs.processes import Processes
from gateway_sim.runs.rundir import make_run
from gateway_sim.runs.usage import Usage, usage

ROOT = Path(__file__).resolve().parents[1]
WARM_UP_S, MEASURED_S, SETTLE_S = 10, 60, 30
IDLE_PLANT = ("--devices", "1", "--tags", "10", "--interval", "10")

Scene = Callable[[VirtualGateway], Coroutine[None, None, dict[str, Figure]]]


def main(argv: Sequence[str]) -> int:
    """`./dev bench gateway [--json] [SCENARIO ...]`."""
    return run(
        "gateway",
        argv,
        [
            Scenario(
                "idle",
                _idle_both,
                {"pss_split_mb": at_most(120), "pss_all_in_one_mb": at_most(60)},
            ),
            Scenario(
                "1k",
                lambda: _measure(("--scale", "1k"), _load),
                {"values_per_s": at_least(990), "lost": at_most(0), "doubled": at_most(0)},
            ),
        ],
    )


def _measure(
    plant: Sequence[str], scene: Scene, *, all_in_one: bool = False, whole: bool = False
) -> Mapping[str, Figure]:
    plan = Plan(plant=plant, thing="gw-bench", all_in_one=all_in_one, ble=whole, files=whole)
    return asyncio.run(_run(plan, scene))


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
    result = await _settled(gateway, since_ms, until_ms)
    values = max(1, result["served"])
    components = after["components"].cpu_s - before["components"].cpu_s
    nucleus = after["nucleus"].cpu_s - before["nucleus"].cpu_s
    return {
        "values_per_s": round(result["served"] / seconds, 1),
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


async def _settled(gateway: VirtualGateway, since_ms: int, until_ms: int) -> dict[str, int]:
    checker = Checker(gateway.run.plant, cloud_of(gateway.run.cloud / "cloud.json"), thing=gateway.plan.thing)
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
