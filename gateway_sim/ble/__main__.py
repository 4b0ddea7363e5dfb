"""`python -m gateway_sim.ble --dir DIR`: run the simulated radio until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway_sim.ble.blefile import FILE_NAME, BleError
from gateway_sim.ble.radio import running
from gateway_sim.ble.sensors import building


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; 0 after an orderly stop, 2 when the radio cannot be."""
    parser = argparse.ArgumentParser(prog="gateway_sim.ble", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where ble.json, the bus and the records go")
    parser.add_argument("--seed", type=int, default=1, help="what the story is drawn from (default 1)")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(options.dir, options.seed))
    except* BleError as group:
        for error in _leaves(group):
            print(f"ble: {error}", file=sys.stderr)
        return_code = 2
    else:
        return_code = 0
    return return_code


def _leaves(group: BaseExceptionGroup[BleError]) -> list[BleError]:
    """The errors themselves, out of whatever groups they came in."""
    found: list[BleError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _serve(directory: Path, seed: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(building(seed), directory, seed=seed) as (radio, _):
        print(
            f"ble: {len(radio.devices)} sensors on {radio.bus_address}, {directory / FILE_NAME}", flush=True
        )
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
