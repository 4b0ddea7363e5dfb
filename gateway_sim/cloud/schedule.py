"""Lambda on a schedule: runs a handler every so often, and at once when told to."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Mapping

from gateway_sim.cloud.control import Command
from gateway_sim.cloud.event_source import Handler
from gateway_sim.cloud.stack import Function


class Schedule:
    """`runs` counts those that have ended, well or not."""

    def __init__(self, function: Function, handler: Handler) -> None:
        self._function, self._handler = function, handler
        self._wanted = asyncio.Event()
        self.runs = 0

    def now(self) -> dict[str, object]:
        """Run it at once; tells how many runs have ended, so that its own can be waited for."""
        self._wanted.set()
        return self.ended()

    def ended(self) -> dict[str, object]:
        return {"runs": self.runs}

    async def run(self) -> None:
        """Until cancelled; AWS runs a new schedule a whole period after it was made."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._function.every_s):
                    await self._wanted.wait()
            self._wanted.clear()
            await asyncio.to_thread(self._invoke)
            self.runs += 1

    def _invoke(self) -> None:
        try:
            self._handler({}, None)
        except Exception:  # noqa: BLE001 Lambda's boundary: the next period is another try
            traceback.print_exc()


def commands(schedules: Mapping[str, Schedule]) -> dict[str, Command]:
    """For the control socket: `run_<Function>` runs one at once, `runs_<Function>` counts."""
    found: dict[str, Command] = {}
    for name, schedule in schedules.items():
        found |= {f"run_{name}": schedule.now, f"runs_{name}": schedule.ended}
    return found
