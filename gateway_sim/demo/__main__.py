"""`./dev demo`: starts a virtual gateway, tells the story, checks it, and cleans up behind itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

from gateway_sim.ble.blefile import BleError
from gateway_sim.checker.tables import TablesError
from gateway_sim.demo.report import Report, Samples, StepResult
from gateway_sim.demo.screen import Screen
from gateway_sim.demo.steps import STEPS
from gateway_sim.demo.story import StepFailed, Story, now_ms
from gateway_sim.demo.watch import Watch
from gateway_sim.devices.plantfile import PlantError
from gateway_sim.runs.gateway import Plan, VirtualGateway
from gateway_sim.runs.processes import NotStarted, Processes
from gateway_sim.runs.rundir import RunDir, make_run

REPOSITORY = Path(__file__).resolve().parents[2]
START = ("start", "Virtual gateway, plant and cloud come up")
WINDOW_S = 5
"""Shorter than a site's usual window, so that a short story sees several."""
INTERRUPTED = 130
TOLD = (StepFailed, NotStarted, TablesError, PlantError, BleError)
"""What ends a step in words; anything else is a fault of the demo itself."""


def main(argv: Sequence[str]) -> int:
    """Run the demo; 0 only if everything held, 130 when interrupted."""
    options = _options(argv)
    try:
        build = [sys.executable, "-m", "devtools", "build"]
        built = subprocess.run(build, cwd=REPOSITORY, stdout=sys.stderr, check=False)
        return built.returncode or asyncio.run(_demo(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("demo: interrupted; everything it started is gone", file=sys.stderr)
        return INTERRUPTED


async def _demo(options: argparse.Namespace) -> int:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    run = make_run(REPOSITORY / ".run")
    environment = {"HEADGATE_RUNTIME_CACHE": str(REPOSITORY / ".cache" / "runtime")}
    plan = Plan(
        writes=True,
        profile=options.profile,
        window_s=WINDOW_S,
        ble=True,
        files=True,
        all_in_one=options.all_in_one,
        codec=options.codec,
    )
    titles = [START, *((step.name, step.title) for step in STEPS)]
    shape = ", all in one process" if plan.all_in_one else ""
    heading = f"Headgate demo: {plan.thing} on the {plan.profile} nucleus{shape}"
    async with Processes(run, environment) as processes:
        gateway = VirtualGateway(plan, processes, REPOSITORY)
        with Screen(titles, heading, quiet=options.json) as screen:
            report = await _tell(gateway, screen)
        screen.summary(report, _places(run))
        if options.json:
            print(json.dumps(report.as_json()), flush=True)
        if report.ok and options.keep:
            await _keep(gateway, screen)
        elif report.ok and sys.stdin.isatty() and not (options.once or options.json):
            await _ask(gateway, screen, titles)
    return 0 if report.ok else 1


async def _tell(gateway: VirtualGateway, screen: Screen) -> Report:
    """Run every step; the first that fails ends the story, and the sums are taken all the same."""
    results: list[StepResult] = []
    story = Story(gateway, Watch(gateway), now_ms(), screen.note)
    told = [(START[0], _start(gateway)), *((step.name, step.tell(story)) for step in STEPS)]
    for name, telling in told:
        if results and not results[-1].ok:
            telling.close()
            continue
        screen.begin(name)
        results.append(await _result(name, telling))
        screen.end(results[-1])
    samples = await story.account() if results[0].ok else Samples()
    memory = gateway.pss_mb() if results[0].ok else {}
    plan = gateway.plan
    return Report(plan.profile, len(told), results, samples, memory, all_in_one=plan.all_in_one)


async def _result(name: str, telling: Coroutine[None, None, str]) -> StepResult:
    start = time.monotonic()
    try:
        ok, detail = True, await telling
    except TOLD as error:
        ok, detail = False, str(error)
    except ExceptionGroup as group:
        ours, others = group.split(TOLD)
        if ours is None or others is not None:
            raise
        ok, detail = False, "; ".join(map(str, ours.exceptions))
    return StepResult(name, ok, detail, time.monotonic() - start)


async def _start(gateway: VirtualGateway) -> str:
    await gateway.start()
    return f"{len(gateway.components)} components deployed from greengrass-build/"


async def _keep(gateway: VirtualGateway, screen: Screen) -> None:
    cloud, keys = gateway.cloud, gateway.cloud["observer"]
    hub = gateway.status()["components"][gateway.hub]["pid"]
    broker = f"-h localhost -p {cloud['broker']['port']} --cafile {cloud['ca']}"
    pokes = (
        ("the hub's log", f"tail -f {gateway.run.gateway}/logs/{gateway.hub}.log"),
        ("every message", f"mosquitto_sub {broker} --cert {keys['cert']} --key {keys['key']} -v -t '#'"),
        ("kill the hub", f"kill -9 {hub}"),
        ("judge it again", f".venv/bin/python -m gateway_sim.checker {_checker_options(gateway)}"),
    )
    screen.console.print("\nStill running; Ctrl-C ends it. In another terminal:\n")
    for what, command in pokes:
        screen.console.print(f"  # {what}\n  {command}", markup=False, highlight=False, soft_wrap=True)
    await asyncio.Event().wait()


def _checker_options(gateway: VirtualGateway) -> str:
    where = f"--plant {gateway.run.plant} --ble {gateway.run.ble} --cloud {gateway.run.cloud / 'cloud.json'}"
    return f"{where} --window {gateway.plan.window_s} --until $(($(date +%s%3N) - 15000))"


async def _ask(gateway: VirtualGateway, screen: Screen, titles: list[tuple[str, str]]) -> None:
    """Let a person repeat a step of their choice until they have seen enough."""
    story = Story(gateway, Watch(gateway), now_ms(), lambda _: None)
    while True:
        for number, (_, title) in enumerate(titles[1:], 1):
            screen.console.print(f"  {number}  {title}", markup=False)
        screen.console.print(
            "The gateway is still running. A number repeats a step, Enter ends the demo: ", end=""
        )
        answer = (await _typed_line()).strip()
        if not answer:
            return
        if answer.isdigit() and 0 < int(answer) <= len(STEPS):
            step = STEPS[int(answer) - 1]
            result = await _result(step.name, step.tell(story))
            screen.console.print(f"{'ok' if result.ok else 'FAILED'}  {result.detail}", markup=False)
        else:
            screen.console.print(f"No step {answer!r}.", markup=False)


async def _typed_line() -> str:
    """A line of standard input; a thread would outlive Ctrl-C."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


def _places(run: RunDir) -> list[tuple[str, str]]:
    return [
        ("component logs", str(run.gateway / "logs")),
        ("simulator logs", str(run.logs)),
        ("state root", str(run.state)),
        ("devices' records", str(run.plant)),
    ]


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev demo", description="A virtual gateway in seconds, checked.")
    parser.add_argument(
        "--profile", choices=("classic", "lite"), default="classic", help="which nucleus to play"
    )
    parser.add_argument(
        "--codec", choices=("json", "compact"), default="json", help="of the envelopes to the cloud"
    )
    parser.add_argument("--all-in-one", action="store_true", help="run every role in one process")
    parser.add_argument("--once", action="store_true", help="tell the story once and end, without a prompt")
    parser.add_argument("--keep", action="store_true", help="leave the gateway running afterwards")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on standard output, nothing else"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
