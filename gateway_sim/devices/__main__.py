"""`python -m gateway_sim.devices --dir DIR`: run the simulated plant until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway_sim.devices import fixture
from gateway_sim.devices.dumped import serving
from gateway_sim.devices.layout import SCALES, DeviceLayout, Size, plant_room, uniform
from gateway_sim.devices.plant import running
from gateway_sim.devices.plantfile import FILE_NAME, PlantError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; 0 after an orderly stop, 2 when the plant cannot be."""
    options = _parser().parse_args(arguments)
    try:
        if options.fixture:
            asyncio.run(_serve_dumped([fixture.read(path) for path in options.fixture], options))
        else:
            asyncio.run(_serve(_layouts(options), options))
    except PlantError as error:
        print(f"plant: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway_sim.devices", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where plant.json and the records go")
    parser.add_argument("--seed", type=int, default=1, help="what the story is drawn from (default 1)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--scale", choices=sorted(SCALES), default="demo", help="a named size (default demo)")
    parser.add_argument("--delay", type=float, default=0.0, metavar="S", help="how long each answer takes")
    dumped = parser.add_argument_group("dumped devices instead (schemas/fixture.v1.json)")
    dumped.add_argument(
        "--fixture",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="serve it; more of them: one line",
    )
    dumped.add_argument("--line", choices=("tcp", "rtu"), default="tcp", help="where (default tcp)")
    sizes = parser.add_argument_group("a plant of equal meters; each overrides the scale's")
    sizes.add_argument("--devices", type=int, help="number of devices")
    sizes.add_argument("--tags", type=int, help="tags per device, the counter included")
    sizes.add_argument("--interval", type=float, metavar="S", help="poll interval in s")
    return parser


def _layouts(options: argparse.Namespace) -> list[DeviceLayout]:
    size = SCALES[options.scale]
    if size is None and (options.devices, options.tags, options.interval) == (None, None, None):
        return plant_room(options.seed)
    base = size or Size(10, 100, 1.0)
    return uniform(
        options.seed,
        Size(
            base.devices if options.devices is None else options.devices,
            base.tags if options.tags is None else options.tags,
            base.interval_s if options.interval is None else options.interval,
        ),
    )


async def _serve(layouts: Sequence[DeviceLayout], options: argparse.Namespace) -> None:
    directory: Path = options.dir
    stop = _stopped_by_signals()
    async with running(
        layouts, directory, seed=options.seed, host=options.host, answer_delay_s=options.delay
    ) as plant:
        rate = plant.plant.values_per_s()
        print(f"plant: {len(layouts)} devices, {rate:,.0f} values/s, {directory / FILE_NAME}", flush=True)
        await stop.wait()


async def _serve_dumped(fixtures: Sequence[fixture.Fixture], options: argparse.Namespace) -> None:
    directory: Path = options.dir
    stop = _stopped_by_signals()
    name = options.fixture[0].stem
    async with serving(
        fixtures, transport=options.line, host=options.host, directory=directory, name=name
    ) as (device, _):
        where = device.path if device.path is not None else f"{device.host}:{device.port}"
        units = ", ".join(str(each.unit) for each in fixtures)
        print(f"plant: dumped unit {units} on {where}, {directory / FILE_NAME}", flush=True)
        await stop.wait()


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


if __name__ == "__main__":
    sys.exit(main())
