"""Keeps what is polled of a SunSpec device in line with what the device says of itself.

It reads by errands, as the cloud's requests do: between the polls of the line, and leaving alone what its
breaker leaves alone. It looks again whenever the device's registers may be others: after it was silent, when
a read shows another model or is refused, and from time to time while it has no map at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from headgate.clock import Clock
from headgate.driver import Refused
from headgate.errors import HeadgateError, Retry
from headgate.modbus.client import CONFIGURATION_EXCEPTIONS, ExceptionReply
from headgate.modbus.config import Device
from headgate.modbus.errands import carry_out
from headgate.modbus.line import Line, Notice
from headgate.modbus.planner import Span
from headgate.modbus.sunspec.options import SunSpec
from headgate.modbus.sunspec.survey import Survey, groups_of, missing, survey
from headgate.modbus.sunspec.tags import expected
from headgate.modbus.sunspec.walk import NoModel, NotSunSpec, carried
from headgate.modbus.tags import Tag
from headgate.modbus.transports import Transport
from headgate.modbus.work import Ask, Errand, Unit
from headgate.model import Quality
from headgate.sleeper import Sleeper

ABSENT_MS = 1_000
"""Between looks for a device that does not answer; its breaker makes it longer."""
AGAIN_MS = 10_000
AGAIN_MAX_MS = 3_600_000
"""Between looks at a device that answers, and shows nothing new: twice as long each time."""
IDLE_MS = 3_600_000

Settle = Callable[[Unit, Device], None]
"""Takes the device with the groups that are polled from now on."""
Mark = Callable[[Unit, Sequence[Tag], Quality], None]


class Mapper:
    """Of one device; `run` is its task."""

    def __init__(
        self,
        unit: Unit,
        options: SunSpec,
        lines: Mapping[Transport, Line],
        clock: Clock,
        notice: Notice,
        *,
        settle: Settle,
        mark: Mark,
    ) -> None:
        self._unit = unit
        self._device = unit.device
        self._options = options
        self._lines = lines
        self._clock = clock
        self._notice = notice
        self._settle = settle
        self._mark = mark
        self._sleeper = Sleeper(clock)
        self._found: Survey | None = None
        self._bases = options.bases
        self._doubted = False
        self._marked: Quality | None = None
        self._again_ms = AGAIN_MS
        unit.doubt = self._doubt
        unit.map_fault = "its SunSpec models are not known yet"

    async def run(self) -> None:
        """Look, and look again when there is reason to, until cancelled."""
        while True:
            try:
                options = replace(self._options, bases=self._bases)
                found = await carried(survey(options, self._device.max_registers), self._read)
            except (NotSunSpec, NoModel) as error:
                self._lose(f"{error}; check unit and transport, or sunspec in the site document")
                await self._rest(self._again_ms)
                self._again_ms = min(2 * self._again_ms, AGAIN_MAX_MS)
            except (Retry, Refused):
                self._absent()
                wait_ms = self._unit.breaker.retry_at_ms - self._clock.boot_ms()
                await self._rest(max(ABSENT_MS, wait_ms))
            else:
                looked_ms = self._clock.boot_ms()
                self._take(found)
                while not self._doubted:
                    await self._sleeper.until(self._clock.boot_ms() + IDLE_MS)
                await self._hold_off(looked_ms)

    def _doubt(self) -> None:
        self._doubted = True
        self._sleeper.wake()

    async def _rest(self, wait_ms: int) -> None:
        """Wait so long, or until the device answers again."""
        self._doubted = False
        end_ms = self._clock.boot_ms() + wait_ms
        while not self._doubted and self._clock.boot_ms() < end_ms:
            await self._sleeper.until(end_ms)

    async def _hold_off(self, looked_ms: int) -> None:
        """Doubts that come again and again are looked into ever more rarely."""
        since_ms = self._clock.boot_ms() - looked_ms
        if since_ms > 2 * self._again_ms:
            self._again_ms = AGAIN_MS
        await self._clock.sleep_until(looked_ms + (0 if since_ms >= self._again_ms else self._again_ms))
        self._again_ms = min(2 * self._again_ms, AGAIN_MAX_MS)

    async def _read(self, span: Span) -> Sequence[int] | None:
        """One read as an errand; None where it is refused. Raises Retry, Refused."""
        ask = Ask(self._options.table, span.address, span.count)
        errand = Errand(self._unit, [ask], asyncio.get_running_loop().create_future())
        await carry_out([errand], self._lines, self._clock, None, Retry("not read"))
        (result,) = errand.results
        if isinstance(result, ExceptionReply):
            if result.code in CONFIGURATION_EXCEPTIONS:
                return None
            raise Retry(str(result))
        if isinstance(result, HeadgateError):
            raise result
        return result[1]

    def _take(self, found: Survey) -> None:
        """Have polled what was found, if it is news."""
        self._doubted = False
        self._unit.map_fault = ""
        self._marked = None
        if found == self._found:
            return
        first, self._found = self._found is None, found
        self._bases = (found.map.base, *(base for base in self._options.bases if base != found.map.base))
        self._again_ms = AGAIN_MS
        groups = groups_of(self._options, found)
        self._settle(
            self._unit,
            replace(self._device, groups=(*self._device.groups, *groups), max_registers=found.limit),
        )
        points = sum(len(group.tags) for group in groups)
        models = ", ".join(str(model.id) for model in found.map.models)
        said = f"{self._device.name}: {found.map.identity}: SunSpec at {found.map.base}, models {models}"
        self._notice(f"{said}; {points} points are polled" + ("" if first else "; it is not what it was"))
        if found.limit < self._device.max_registers:
            self._notice(f"{self._device.name}: gives {found.limit} registers at once")
        if lacking := missing(self._options, found.map):
            self._notice(f"{self._device.name}: it has no model {', '.join(lacking)}")
            self._mark(self._unit, self._expected(lacking), Quality.BAD_CONFIG)

    def _lose(self, fault: str) -> None:
        """The device answers, and it is not what it is taken for: nothing of it is polled as SunSpec."""
        if self._unit.map_fault != fault:
            self._unit.map_fault = fault
            self._notice(f"{self._device.name}: {fault}")
        self._mark_once(Quality.BAD_CONFIG)
        if self._found is not None:
            self._found = None
            self._settle(self._unit, self._device)

    def _absent(self) -> None:
        """The device does not answer. Once it is known, its polls say so."""
        if self._found is None:
            self._mark_once(Quality.BAD_COMM)
            # Some devices are silent where they have no registers: another base comes first next time.
            self._bases = (*self._bases[1:], self._bases[0])

    def _mark_once(self, quality: Quality) -> None:
        if self._marked != quality:
            self._marked = quality
            polled = [tag for group in self._unit.device.groups for tag in group.tags if tag.head is not None]
            self._mark(self._unit, polled or self._expected(None), quality)

    def _expected(self, words: Sequence[str] | None) -> list[Tag]:
        """What the site document names, of all its models or of these."""
        models = tuple(each for each in self._options.models if words is None or each.word in words)
        return expected(replace(self._options, models=models))
