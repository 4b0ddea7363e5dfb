"""What the cloud asks of BLE devices: series, last heard or read afresh, and characteristics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from headgate.ble.config import Device
from headgate.ble.gatt import Gatt, Reading
from headgate.ble.listener import Listener
from headgate.ble.poller import Poller
from headgate.ble.samples import Sample
from headgate.ble.uuids import full_uuid
from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request, answer_by_ms
from headgate.errors import Retry

MAX_SERIES = 200
MAX_CHARACTERISTICS = 50
"""Of one request; more would neither fit a reply nor be done within a usual deadline."""

Row = dict[str, Any]
T = TypeVar("T")


class OnDemand:
    """Carries out `read` (docs/requests.md); the mappings are the driver's own, by device name;
    `gatt` gives the connections of an adapter."""

    def __init__(
        self,
        listeners: Mapping[str, Listener],
        pollers: Mapping[str, Poller],
        gatt: Callable[[str], Gatt],
        clock: Clock,
    ) -> None:
        self._listeners = listeners
        self._pollers = pollers
        self._gatt = gatt
        self._clock = clock

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`. What could not be read has `error`; when nothing could, status is failed."""
        if request.op != "read":
            raise Refused("unknown_op", f"the BLE bridge does not do {request.op!r}; it does read and write")
        unknown = set(request.args) - {"series", "characteristics"}
        if unknown or not request.args:
            raise Refused("bad_request", f"read takes series and characteristics, not {sorted(unknown)}")
        series = self._asked_series(request.args.get("series", []))
        characteristics = self._asked_characteristics(request.args.get("characteristics", []))
        end_ms = answer_by_ms(request, self._clock)
        async with asyncio.TaskGroup() as group:
            values_task = group.create_task(self._values(series, end_ms), name="read series")
            read_task = group.create_task(self._characteristics(characteristics, end_ms), name="read GATT")
        values, read = values_task.result(), read_task.result()
        result: dict[str, Any] = {}
        if values:
            result["values"] = values
        if read:
            result["characteristics"] = read
        faults = [row["error"] for row in (*values, *read) if "error" in row]
        if faults and len(faults) == len(values) + len(read):
            return Reply(request.id, "failed", "offline", faults[0], result)
        return Reply(request.id, "ok", "ok", result=result)

    def _asked_series(self, names: object) -> list[tuple[Device, str]]:
        if not isinstance(names, list) or len(names) > MAX_SERIES:
            raise Refused("bad_request", f"read: series must list at most {MAX_SERIES} names")
        asked = []
        for name in names:
            device, _, tag = name.partition("/") if isinstance(name, str) else ("", "", "")
            known = self._device(device)
            if known is None or tag not in known.tags:
                raise Refused("unknown_series", f"read: there is no series {name!r}")
            asked.append((known, tag))
        return asked

    def _asked_characteristics(self, rows: object) -> dict[str, dict[str, str]]:
        """By device, the UUIDs to read and how each was spelt."""
        if not isinstance(rows, list) or len(rows) > MAX_CHARACTERISTICS:
            raise Refused("bad_request", f"read: characteristics must list at most {MAX_CHARACTERISTICS}")
        asked: dict[str, dict[str, str]] = {}
        for row in rows:
            match row:
                case {"device": str(device), "characteristic": str(spelt)}:
                    uuid = full_uuid(spelt)
                case _:
                    raise Refused("bad_request", f"read: {row!r} is not a device and its characteristic")
            if self._device(device) is None:
                raise Refused("unknown_device", f"read: there is no BLE device {device!r}")
            if uuid is None:
                raise Refused("bad_request", f"read: {spelt!r} is no UUID; 2A6E or all 128 bits are")
            asked.setdefault(device, {})[uuid] = spelt
        return asked

    async def _values(self, asked: list[tuple[Device, str]], end_ms: int | None) -> list[Row]:
        wanted: dict[str, list[str]] = {}
        for device, tag in asked:
            if device.name in self._pollers:
                wanted.setdefault(device.name, []).append(tag)
        fresh: dict[str, dict[str, Sample | str]] = {}

        async def read(name: str, tags: list[str]) -> None:
            try:
                fresh[name] = await in_time(self._pollers[name].fresh(tags), end_ms, self._clock)
            except Retry as error:
                fresh[name] = dict.fromkeys(tags, str(error))

        async with asyncio.TaskGroup() as group:
            for name, tags in wanted.items():
                group.create_task(read(name, tags), name=f"read {name}")
        rows = []
        for device, tag in asked:
            row: Row = {"series": f"{device.name}/{tag}"}
            found = fresh[device.name].get(tag) if device.name in fresh else self._last(device.name, tag)
            if isinstance(found, Sample):
                row |= {
                    "value": found.value,
                    "unit": device.quantity(tag).unit,
                    "quality": found.quality,
                    "t": self._utc_ms(found.boot_ms),
                }
            else:
                row["error"] = found or "nothing heard yet"
            rows.append(row)
        return rows

    async def _characteristics(self, asked: dict[str, dict[str, str]], end_ms: int | None) -> list[Row]:
        found: dict[str, dict[str, Row]] = {name: {} for name in asked}

        async def read(device: Device, uuids: dict[str, str]) -> None:
            rows = found[device.name]
            reading = self._gatt(device.adapter).read(
                device.address,
                list(uuids),
                device.timeout_s,
                self._row_of(device.name, uuids, rows),
                urgent=True,
                pair=device.pair,
            )
            try:
                await in_time(reading, end_ms, self._clock)
            except Retry as error:
                for uuid, spelt in uuids.items():
                    failed = {"device": device.name, "characteristic": spelt, "error": str(error)}
                    rows.setdefault(uuid, failed)

        async with asyncio.TaskGroup() as group:
            for name, uuids in asked.items():
                device = self._device(name)
                if device is not None:
                    group.create_task(read(device, uuids), name=f"read {name}")
        return [rows[uuid] for name, rows in found.items() for uuid in asked[name] if uuid in rows]

    def _row_of(self, name: str, uuids: Mapping[str, str], rows: dict[str, Row]) -> Callable[[Reading], None]:
        def each(reading: Reading) -> None:
            row: Row = {"device": name, "characteristic": uuids[reading.uuid]}
            if reading.data is None:
                rows[reading.uuid] = {**row, "error": reading.error}
            else:
                rows[reading.uuid] = {**row, "hex": reading.data.hex(), "t": self._utc_ms(reading.boot_ms)}

        return each

    def _last(self, name: str, tag: str) -> Sample | None:
        listener = self._listeners.get(name)
        return None if listener is None else listener.last(tag)

    def _device(self, name: str) -> Device | None:
        held = self._listeners.get(name) or self._pollers.get(name)
        return held.device if held else None

    def _utc_ms(self, boot_ms: int) -> int:
        return boot_ms + self._clock.utc_ms() - self._clock.boot_ms()


async def in_time(work: Coroutine[Any, Any, T], end_ms: int | None, clock: Clock) -> T:
    """What `work` brings until `end_ms` (boottime); then it is cancelled. Raises Retry, or as `work`."""
    if end_ms is None:
        return await work

    async def tried() -> T | Retry:
        try:
            return await work
        except Retry as error:
            return error

    async with asyncio.TaskGroup() as group:
        task = group.create_task(tried(), name="read in time")
        timer = group.create_task(clock.sleep_until(end_ms), name="end of time")
        await asyncio.wait((task, timer), return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        if not task.done():
            task.cancel()
    found = Retry("not read in time") if task.cancelled() else task.result()
    if isinstance(found, Retry):
        raise found
    return found
