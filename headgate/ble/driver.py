"""The BLE driver: a scan, listeners for what advertises, pollers for what is read, kept through changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headgate.ble.adapter import MakeStack, bluez
from headgate.ble.air import Air
from headgate.ble.config import BleConfig, Device, parse_mapping
from headgate.ble.health import Health, open_files
from headgate.ble.listener import Listener, Notice
from headgate.ble.on_demand import OnDemand
from headgate.ble.poller import Poller
from headgate.ble.staleness import Silence, Staleness
from headgate.clock import Clock
from headgate.driver import Change, Emit, Reply, Request
from headgate.errors import Reject, Retry
from headgate.model import Series
from headgate.scans import Scans

SILENT_MS = 300_000
"""A device not heard for so long is told as silent in the health."""


class BleDriver:
    """A Driver (see `headgate.driver.Driver`) for BLE devices around one or more adapters.

    `notice` is told in words when a device or an adapter fails, and when it is well again.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        notice: Notice = lambda text: None,
        stack: MakeStack = bluez,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._notice = notice
        self._table: list[Series] = []
        self._index: dict[Series, int] = {}
        self._config = BleConfig()
        self._air = Air(stack, clock, notice, rng or random.Random())
        self._listeners: dict[str, Listener] = {}
        self._pollers: dict[str, Poller] = {}
        self._on_demand = OnDemand(self._listeners, self._pollers, self._air.gatt, clock)
        self._staleness = Staleness(self._silences, clock, notice)
        self._health = Health(self._series_index, self._air, self._listeners, self._pollers, clock)
        self._scans = Scans(clock)
        self._emit: Emit | None = None
        self._group: asyncio.TaskGroup | None = None
        self._polling: set[asyncio.Task[None]] = set()
        self._watching: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    def table(self) -> Sequence[Series]:
        """See `Driver.table`."""
        return self._table

    def plan(self, config: Mapping[str, Any]) -> Change:
        """See `Driver.plan`; `config` is the `ble:` section."""
        parsed = parse_mapping(config)
        before = {
            device.name: (device, self._config.adapter(device.adapter)) for device in self._config.devices
        }
        after = {device.name: (device, parsed.adapter(device.adapter)) for device in parsed.devices}
        return Change(
            added=tuple(name for name in after if name not in before),
            changed=tuple(name for name in after if name in before and after[name] != before[name]),
            removed=tuple(name for name in before if name not in after),
            kept=tuple(name for name in after if after[name] == before.get(name)),
            config=parsed,
        )

    def apply(self, change: Change) -> None:
        """See `Driver.apply`. An adapter used differently is renewed; reads under way are still emitted."""
        if not isinstance(change.config, BleConfig):
            raise Reject("this change was not planned by the BLE driver")
        self._config = change.config
        for name in (*change.removed, *change.changed):
            self._listeners.pop(name, None)
            poller = self._pollers.pop(name, None)
            if poller is not None:
                poller.stop()
        self._air.use(self._config)
        for device in self._config.devices:
            if device.name in (*change.added, *change.changed):
                self._add(device)
        self._air.aim(self._listeners.values())
        for poller in self._pollers.values():
            self._air.want(poller.device.adapter, poller.device.address)
        self._staleness.changed()
        self._health.changed(self._config.health_ms)

    async def run(self, emit: Emit) -> None:
        """See `Driver.run`."""
        self._emit = emit
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                decoding = group.create_task(self._air.decode(emit), name="ble decode")
                self._air.start(group)
                self._watching = [
                    group.create_task(self._staleness.run(emit), name="ble staleness"),
                    group.create_task(self._health.run(emit), name="ble health"),
                ]
                for poller in self._pollers.values():
                    self._start(poller)
                try:
                    await self._stop.wait()
                except asyncio.CancelledError:
                    self.stop()
                    await self._wind_up(decoding)
                    raise
                await self._wind_up(decoding)
        finally:
            self._group = None

    def stop(self) -> None:
        """See `Driver.stop`; bounded by the time-out of the reads in flight."""
        self._stop.set()
        for poller in self._pollers.values():
            poller.stop()

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`: `read`, `write` and `scan` (docs/requests.md)."""
        if request.op == "scan":
            return self._scan(request)
        if request.op == "write":
            # Late: few gateways are written to, and exact numbers cost memory.
            from headgate.ble.writes import Writes

            devices = {device.name: device for device in self._config.devices}
            return await Writes(devices, self._air.gatt, self._clock).call(request)
        self._air.catch_up()
        return await self._on_demand.call(request)

    def health(self) -> Sequence[tuple[str, float]]:
        """See `Driver.health`: counters over all devices, and per device whether it is heard or answers."""
        self._air.catch_up()
        listeners = self._listeners.values()
        now_ms = self._clock.boot_ms()
        adapters = [(name, adapter.counts()) for name, adapter in self._air.adapters.items()]
        return [
            ("packets", sum(each.packets for each in listeners)),
            ("repeats", sum(each.freshness.repeats for each in listeners)),
            ("replays", sum(each.freshness.replays for each in listeners)),
            ("undecoded", sum(each.undecoded for each in listeners)),
            ("stuck", sum(each.stuck for each in listeners)),
            ("unchanged", self._unchanged()),
            ("stale", self._staleness.counted),
            ("open_files", open_files()),
            ("overrun", self._air.overrun),
            ("missed", sum(each.missed for each in self._pollers.values())),
            *(
                (key, sum(getattr(counts, key) for _, counts in adapters))
                for key in (
                    "adverts",
                    "scans",
                    "scan_failures",
                    "silences",
                    "steps",
                    "reads",
                    "writes",
                    "connects",
                    "failures",
                )
            ),
            *(
                (
                    f"up/{each.device.name}",
                    float(each.heard_ms is not None and now_ms - each.heard_ms < SILENT_MS),
                )
                for each in listeners
            ),
            *((f"up/{name}", float(not each.fault)) for name, each in self._pollers.items()),
        ]

    def _scan(self, request: Request) -> Reply:
        if not self._scans.knows(request):
            # Late: most gateways are never asked for one.
            from headgate.ble.scan_request import plan_scan

            if self._group is None or self._stop.is_set():
                raise Retry("the bridge is not at work")
            work = plan_scan(request, self._config, self._air.adapters, self._clock, "ble")
            self._scans.begin(request, work, self._group)
        return self._scans.answer(request)

    async def _wind_up(self, decoding: asyncio.Task[None]) -> None:
        """End the reads in flight and the scans, then decode what was heard until then."""
        if self._polling:
            await asyncio.wait(self._polling)
        for task in self._watching:
            task.cancel()
        self._scans.stop()
        await self._air.end()
        await asyncio.wait([decoding])

    def _add(self, device: Device) -> None:
        indexes = [self._series_index(device.series(tag)) for tag in device.tags]
        make_decode = device.format.make_decode
        if make_decode is None:
            poller = Poller(device, indexes, self._air.gatt(device.adapter), self._clock, self._notice)
            self._pollers[device.name] = poller
            self._start(poller)
        else:
            now_ms = self._clock.boot_ms()
            self._listeners[device.name] = Listener(device, make_decode, indexes, self._notice, now_ms)

    def _start(self, poller: Poller) -> None:
        if self._group is None or self._emit is None or self._stop.is_set():
            return  # `run` starts what is there when it begins
        task = self._group.create_task(poller.run(self._emit), name=f"ble read {poller.device.name}")
        self._polling.add(task)
        task.add_done_callback(self._polling.discard)

    def _unchanged(self) -> int:
        """Values that the devices' rules of reporting held back."""
        heard = sum(each.reporting.unchanged for each in self._listeners.values())
        return heard + sum(each.reporting.unchanged for each in self._pollers.values())

    def _silences(self) -> Iterator[Silence]:
        self._air.catch_up()  # who was heard but waits to be decoded is not silent
        yield from (each.silence for each in self._listeners.values())
        yield from (each.silence for each in self._pollers.values())

    def _series_index(self, series: Series) -> int:
        index = self._index.get(series)
        if index is None:
            index = self._index[series] = len(self._table)
            self._table.append(series)
        return index
