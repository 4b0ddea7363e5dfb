"""What every role's process shares: log lines on stdout, signals, one bus, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

from headgate.bus.api import Bus
from headgate.clock import Clock, SystemClock
from headgate.errors import Fatal, Reject, Retry

EXIT_OK = 0
EXIT_UNEXPECTED = 70
EXIT_FATAL = 69
EXIT_REJECTED = 78
"""Exit codes, the numbers of sysexits.h: software error, service unavailable, configuration error."""

Run = Callable[[Bus, Clock, asyncio.Event], Awaitable[None]]
"""A role: works on the bus until the event `stop` is set, then ends in order."""
OpenBus = Callable[[], AbstractAsyncContextManager[Bus]]

log = logging.getLogger(__name__)


def main(name: str, run: Run, *, open_bus: OpenBus | None = None, clock: Clock | None = None) -> int:
    """Run a role as this process until it ends, fails, or a signal stops it; return the exit code.

    The log goes to stdout as `LEVEL name: message`; the nucleus adds the time. `open_bus` is the bus of
    Greengrass, from the environment, unless given.
    """
    log_to_stdout(name)
    return asyncio.run(_run(run, open_bus or _greengrass_bus, clock or SystemClock()))


def log_to_stdout(name: str, level: int = logging.INFO) -> None:
    """Send this process's log to stdout, one line per record."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(f"%(levelname)s {name}: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def causes(error: BaseException) -> list[BaseException]:
    """The errors inside an exception group, flattened; the error itself when it is none."""
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in causes(inner)]
    return [error]


async def _run(run: Run, open_bus: OpenBus, clock: Clock) -> int:
    stop = asyncio.Event()
    with _signals_handled(stop) as opened:
        try:
            async with open_bus() as bus:
                opened()
                await run(bus, clock, stop)
        except Exception as error:  # noqa: BLE001  # the role's boundary: everything ends as a log line and a code
            return max(_report(cause) for cause in causes(error))
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
    log.info("stopped")
    return EXIT_OK


def _report(error: BaseException) -> int:
    if isinstance(error, Fatal | Retry):
        log.critical("cannot go on: %s", error)
        return EXIT_FATAL
    if isinstance(error, Reject):
        log.critical("refused: %s", error)
        return EXIT_REJECTED
    log.critical("unexpected %s: %s", type(error).__name__, error, exc_info=error)
    return EXIT_UNEXPECTED


@contextlib.contextmanager
def _signals_handled(stop: asyncio.Event) -> Iterator[Callable[[], None]]:
    """While entered, SIGTERM and SIGINT set `stop`; until the yielded function is called they also cancel.

    A bus that waits for its nucleus has nothing to end in order. Repeated signals change nothing.
    """
    loop = asyncio.get_running_loop()
    opening = asyncio.current_task()

    def opened() -> None:
        nonlocal opening
        opening = None

    def on_signal() -> None:
        if opening is not None and not stop.is_set():
            opening.cancel()
        stop.set()

    former = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        # signal.signal works on every platform; asyncio wakes the loop through its own descriptor.
        former[number] = signal.signal(number, lambda *_: loop.call_soon_threadsafe(on_signal))
    try:
        yield opened
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _greengrass_bus() -> AbstractAsyncContextManager[Bus]:
    # Late, so that a role over MemoryBus never loads the IPC client.
    from headgate.bus.greengrass import Environment, GreengrassBus

    return GreengrassBus(Environment.read(os.environ))
