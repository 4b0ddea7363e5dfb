"""`python -m gateway_sim.cloud --dir DIR --things gw-1,gw-2`: the simulated cloud, until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway_sim.cloud.child import NotStarted
from gateway_sim.cloud.rules import BadRule
from gateway_sim.cloud.run import READY, TEMPLATE, Options, check_things, run
from gateway_sim.cloud.template import Unsupported


def parse(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m gateway_sim.cloud", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, required=True, help="the run's directory; cloud.json appears in it"
    )
    parser.add_argument("--things", required=True, help="thing names, separated by commas")
    parser.add_argument("--template", type=Path, default=TEMPLATE)
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(argv)
    things = tuple(filter(None, given.things.split(",")))
    try:
        check_things(things)
        parameters = dict(pair.split("=", 1) for pair in given.parameter)
    except ValueError as error:
        parser.error(str(error))
    return Options(given.dir.resolve(), things, given.template, parameters)


async def until_stopped(options: Options) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stderr.write("simulated cloud: starting\n")
    async with asyncio.TaskGroup() as group:
        whole = group.create_task(run(options, stop), name="cloud")
        waiter = group.create_task(stop.wait(), name="stop")
        await asyncio.wait((whole, waiter), return_when=asyncio.FIRST_COMPLETED)
        if not (options.directory / READY).exists():
            whole.cancel()  # asked to stop while it still starts
        waiter.cancel()


def main(argv: Sequence[str] | None = None) -> int:
    options = parse(argv)
    options.directory.mkdir(parents=True, exist_ok=True)
    (options.directory / READY).unlink(missing_ok=True)
    failed = False
    try:
        asyncio.run(until_stopped(options))
    except* (NotStarted, Unsupported, BadRule) as faults:
        for fault in _leaves(faults):
            sys.stderr.write(f"simulated cloud: {fault}\n")
        failed = True
    finally:
        (options.directory / READY).unlink(missing_ok=True)
    return int(failed)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


if __name__ == "__main__":
    sys.exit(main())
