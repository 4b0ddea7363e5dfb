"""The Modbus driver: lines made from a configuration, kept through changes of it, ended in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from headgate.clock import Clock
from headgate.driver import Change, Emit, Reply, Request
from headgate.errors import Reject, Retry
from headgate.modbus.client import Client
from headgate.modbus.config import Device, Group, ModbusConfig, parse_mapping
from headgate.modbus.group_plan import GroupPlan
from headgate.modbus.line import Line, Notice
from headgate.modbus.link import PymodbusClient
from headgate.modbus.on_demand import OnDemand
from headgate.modbus.schedule import spread_phase_ms
from headgate.modbus.series_table import SeriesTable
from headgate.modbus.staleness import Staleness
from headgate.modbus.sunspec.mapper import Mapper
from headgate.modbus.sunspec.plan import ModelPlan
from headgate.modbus.tags import Tag
from headgate.modbus.thinning import Tally
from headgate.modbus.transports import Transport
from headgate.modbus.work import Plan, Poll, Unit
from headgate.modbus.writes import Writes
from headgate.model import Frame, Quality, Series
from headgate.scans import Scans

OpenClient = Callable[[Transport], Client]


class ModbusDriver:
    """A Driver (see `headgate.driver.Driver`) for Modbus on every transport that `transports` names.

    `notice` is told in words when a device falls silent, answers again or refuses a read.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        notice: Notice = lambda text: None,
        open_client: OpenClient = PymodbusClient,
    ) -> None:
        self._clock = clock
        self._notice = notice
        self._open_client = open_client
        self._table = SeriesTable()
        self._config = ModbusConfig()
        self._units: dict[str, Unit] = {}
        self._polls: dict[str, list[Poll]] = {}
        self._lines: dict[Transport, Line] = {}
        self._on_demand = OnDemand(self._units, self._lines, clock)
        self._writes = Writes(self._units, self._lines, clock)
        self._staleness = Staleness(lambda: chain.from_iterable(self._polls.values()), clock, notice)
        self._tally = Tally()
        self._phases: dict[int, int] = {}
        self._scans = Scans(clock)
        self._emit: Emit | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._mappers: dict[str, Mapper] = {}
        self._mapping: dict[str, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()

    def table(self) -> Sequence[Series]:
        """See `Driver.table`."""
        return self._table

    def plan(self, config: Mapping[str, Any] | ModbusConfig) -> Change:
        """See `Driver.plan`; `config` is the `modbus:` section, or what `parse_mapping` made of it."""
        if not isinstance(config, ModbusConfig):
            config = parse_mapping(config)
        before = {device.name: device for device in self._config.devices}
        after = {device.name: device for device in config.devices}
        return Change(
            added=tuple(name for name in after if name not in before),
            changed=tuple(name for name in after if name in before and after[name] != before[name]),
            removed=tuple(name for name in before if name not in after),
            kept=tuple(name for name in after if after[name] == before.get(name)),
            config=config,
        )

    def apply(self, change: Change) -> None:
        """See `Driver.apply`. A transaction in flight of a device that goes is still emitted."""
        if not isinstance(change.config, ModbusConfig):
            raise Reject("this change was not planned by the Modbus driver")
        self._config = change.config
        for name in (*change.removed, *change.changed):
            del self._units[name], self._polls[name]
            self._mappers.pop(name, None)
            if (task := self._mapping.pop(name, None)) is not None:
                task.cancel()
        fresh = {*change.added, *change.changed}
        added = [self._add(device) for device in change.config.devices if device.name in fresh]
        self._settle_lines(added)
        for unit in added:
            self._start_mapper(unit.device.name)
        self._staleness.changed()

    async def run(self, emit: Emit) -> None:
        """See `Driver.run`."""
        self._emit = emit
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                watch = group.create_task(self._staleness.run(emit), name="modbus staleness")
                for line in self._lines.values():
                    self._start(line)
                for name in self._mappers:
                    self._start_mapper(name)
                try:
                    await self._stop.wait()
                except asyncio.CancelledError:
                    self.stop()
                    self._scans.stop()
                    if self._tasks:
                        await asyncio.wait(self._tasks)
                    raise
                watch.cancel()
                self._scans.stop()
                for mapping in self._mapping.values():
                    mapping.cancel()
        finally:
            self._group = None
            self._mapping.clear()

    def stop(self) -> None:
        """See `Driver.stop`; bounded by the pauses and time-outs of the transactions in flight."""
        self._stop.set()
        for line in self._lines.values():
            line.stop()

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`: `read` of series and raw registers, `write` of series, `scan` of a line
        (docs/requests.md).
        """
        if request.op == "scan":
            return self._scan(request)
        if request.op == "write":
            return await self._writes.call(request)
        return await self._on_demand.call(request)

    def health(self) -> Sequence[tuple[str, float]]:
        """See `Driver.health`: counters over all lines, and per device whether it answers."""
        lines = self._lines.values()
        return [
            ("reads", sum(line.counters.reads for line in lines)),
            ("errands", sum(line.counters.errands for line in lines)),
            ("writes", sum(line.counters.writes for line in lines)),
            ("proofs", sum(line.counters.proofs for line in lines)),
            ("failures", sum(line.counters.failures for line in lines)),
            ("connects", sum(line.counters.connects for line in lines)),
            ("skipped", sum(line.counters.skipped for line in lines)),
            ("missed", sum(line.schedule.missed for line in lines)),
            ("stale", self._staleness.counted),
            ("unchanged", self._tally.unchanged),
            *(
                (f"up/{name}", float(not unit.fault and not unit.map_fault))
                for name, unit in self._units.items()
            ),
        ]

    def _scan(self, request: Request) -> Reply:
        if not self._scans.knows(request):
            # Late: most gateways are never asked for one.
            from headgate.modbus.scan_request import plan_scan

            if self._group is None or self._stop.is_set():
                raise Retry("the bridge is not at work")
            work = plan_scan(request, self._units, self._lines, self._clock, "modbus")
            self._scans.begin(request, work, self._group)
        return self._scans.answer(request)

    def _add(self, device: Device) -> Unit:
        unit = Unit(device)
        self._units[device.name] = unit
        self._polls[device.name] = [self._poll(unit, group) for group in device.groups]
        if device.sunspec is not None:
            self._mappers[device.name] = Mapper(
                unit,
                device.sunspec,
                self._lines,
                self._clock,
                self._notice,
                settle=self._settle_models,
                mark=self._mark,
            )
        return unit

    def _poll(self, unit: Unit, group: Group) -> Poll:
        device, tally, index_of = unit.device, self._tally, self._table.of(unit.device.name)
        plan: Plan
        if group.tags[0].head is None:
            plan = GroupPlan(device, group, unit.learned, index_of, tally)
        else:
            plan = ModelPlan(device, group, index_of, tally)
        now_ms = self._clock.boot_ms()
        return Poll(unit, group.name, group.interval_ms, group.stale_ms, now_ms, plan, plan.reads(now_ms))

    def _settle_models(self, unit: Unit, device: Device) -> None:
        """Go over to the groups that a device's SunSpec map gives; its others go on undisturbed."""
        name = device.name
        own = [poll for poll in self._polls[name] if not isinstance(poll.plan, ModelPlan)]
        unit.device = device
        fresh = [self._poll(unit, group) for group in device.groups if group.tags[0].head is not None]
        self._polls[name] = [*own, *fresh]
        line = self._lines[device.transport]
        line.schedule.keep(
            [
                poll
                for polls in self._polls.values()
                for poll in polls
                if poll.unit.device.transport == device.transport
            ]
        )
        self._schedule(line, fresh)
        self._staleness.changed()

    def _mark(self, unit: Unit, tags: Sequence[Tag], quality: Quality) -> None:
        """Say of a device's series that they have no values."""
        if self._emit is None or self._stop.is_set() or not tags:
            return
        series = tuple(map(self._table.of(unit.device.name), tags))
        self._emit(Frame(self._clock.boot_ms(), series, (None,) * len(series), (int(quality),) * len(series)))

    def _settle_lines(self, added: Sequence[Unit]) -> None:
        """Give every line its polls; open lines that are new and end those that no device is on."""
        used: dict[Transport, list[Poll]] = {}
        for name, unit in self._units.items():
            used.setdefault(unit.device.transport, []).extend(self._polls[name])
        for transport in [transport for transport in self._lines if transport not in used]:
            self._lines.pop(transport).stop()
        fresh = []
        for transport, polls in used.items():
            line = self._lines.get(transport)
            if line is None:
                line = Line(transport, self._open_client(transport), self._clock, self._notice)
                self._lines[transport] = line
                fresh.append(line)
            line.schedule.keep(polls)
        for unit in added:
            self._schedule(self._lines[unit.device.transport], self._polls[unit.device.name])
        for line in fresh:
            self._start(line)

    def _schedule(self, line: Line, polls: Sequence[Poll]) -> None:
        now_ms = self._clock.boot_ms()
        for poll in polls:
            line.schedule.add(poll, poll.interval_ms, now_ms + self._phase_ms(poll.interval_ms))
        line.changed()

    def _start(self, line: Line) -> None:
        if self._group is None or self._emit is None:
            return  # `run` starts what is there when it begins
        task = self._group.create_task(line.run(self._emit), name=f"modbus {line.transport}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_mapper(self, name: str) -> None:
        if self._group is None or self._emit is None or name not in self._mappers:
            return  # `run` starts what is there when it begins
        task = self._group.create_task(self._mappers[name].run(), name=f"modbus map of {name}")
        self._mapping[name] = task

    def _phase_ms(self, interval_ms: int) -> int:
        index = self._phases.get(interval_ms, 0)
        self._phases[interval_ms] = index + 1
        return spread_phase_ms(index, interval_ms)
