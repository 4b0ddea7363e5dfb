"""A direct read, from the operator's warm connection to the device and back, beside 1,000 values a second."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.form import Figure, Scenario, at_most, run
from gateway_sim.devices import plantfile
from gateway_sim.runs.gateway import Plan, VirtualGateway
from gateway_sim.runs.processes import Processes
from gateway_sim.runs.rundir import make_run
from headgate_cloud.cli.asking import Question
from headgate_cloud.cli.cloud import SimulatedCloud
from headgate_cloud.cli.direct import ask

ROOT = Path(__file__).resolve().parents[1]
THING = "gw-bench"
POLLED = ("--scale", "1k")
WARM_UP_S = 10
WARM_UP_READS, READS, CLI_READS = 10, 300, 7
PAUSE_S = 0.05
"""Between two reads, so that they fall into every phase of the polls and not behind one another."""
TIMEOUT_S = 10.0
GOALS = {"latency_ms.p99": at_most(300), "failed": at_most(0)}


def main(argv: Sequence[str]) -> int:
    """`./dev bench reading [--json]`; also the scenario `read` of `./dev bench files`."""
    return run("reading", argv, [scenario()])


def scenario() -> Scenario:
    """Direct request to answer while the gateway polls."""
    return Scenario("read", lambda: asyncio.run(_measure()), GOALS)


async def _measure() -> Mapping[str, Figure]:
    build = [sys.executable, "-m", "devtools", "build"]
    await asyncio.to_thread(subprocess.run, build, cwd=ROOT, stdout=sys.stderr, check=True)
    environment = {"HEADGATE_RUNTIME_CACHE": str(ROOT / ".cache" / "runtime")}
    async with Processes(make_run(ROOT / ".run"), environment) as processes:
        gateway = VirtualGateway(Plan(plant=POLLED, thing=THING), processes, ROOT)
        await gateway.start()
        await asyncio.sleep(WARM_UP_S)
        # Off this loop, as an operator's machine is: the processes' keeper must not add to what is measured.
        took_ms, failed = await asyncio.to_thread(_reads, gateway)
        start_ms = await asyncio.to_thread(_starts, gateway)
        polled = plantfile.read(gateway.run.plant).values_per_s()
    hundredths = statistics.quantiles(took_ms, n=100, method="inclusive")
    return {
        "latency_ms.p50": round(hundredths[49], 1),
        "latency_ms.p99": round(hundredths[98], 1),
        "latency_ms.max": round(max(took_ms), 1),
        "reads": len(took_ms),
        "failed": failed,
        "cli_startup_ms": round(statistics.median(start_ms), 1),
        "polled_values_per_s": polled,
    }


def _questions(gateway: VirtualGateway) -> list[Question]:
    """One per device: a series by name and ten registers as they are."""
    return [
        Question(
            "read",
            {
                "series": [next(series for series in device.series() if series.endswith("/power"))],
                "registers": [{"device": device.name, "table": "holding", "address": 10, "count": 10}],
            },
        )
        for device in plantfile.read(gateway.run.plant).devices
    ]


def _reads(gateway: VirtualGateway) -> tuple[list[float], int]:
    """Milliseconds from publishing each request to its answer, over one connection; how many failed."""
    questions = _questions(gateway)
    took_ms: list[float] = []
    failed = 0
    with SimulatedCloud(gateway.run.cloud).link() as link:
        for number in range(-WARM_UP_READS, READS):
            (answer,) = ask(link, [THING], questions[number % len(questions)], TIMEOUT_S)
            if number >= 0:
                took_ms.append(answer.latency_ms)
                failed += not (answer.good and _whole(answer.reply))
            time.sleep(PAUSE_S)
    return took_ms, failed


def _whole(reply: Mapping[str, object] | None) -> bool:
    """Whether everything asked for has a value."""
    result = reply["result"] if reply is not None else None
    return isinstance(result, dict) and all(
        "error" not in row for key in ("values", "registers") for row in result[key]
    )


def _starts(gateway: VirtualGateway) -> list[float]:
    """What whole commands take beside request and answer: interpreter, imports, TLS, subscription."""
    series = str(next(plantfile.read(gateway.run.plant).devices[0].series()))
    command = [
        sys.executable,
        "-m",
        "headgate_cloud.cli",
        f"--sim={gateway.run.path}",
        "read",
        series,
        "--json",
    ]
    beside_ms = []
    for _ in range(CLI_READS):
        start = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        beside_ms.append((time.monotonic() - start) * 1000 - json.loads(done.stdout)["latency_ms"])
    return beside_ms
