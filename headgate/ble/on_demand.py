"""What the cloud asks of BLE devices: series, last heard or read afresh, and characteristics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.ble.config import Device, full_uuid
from headgate.ble.gatt import Gatt, Reading
from headgate.ble.listener import Listener, Sample
from headgate.ble.poller import Poller
from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Retry

MAX_SERIES = 200
MAX_CHARACTERISTICS = 50
"""Of one request; more would neither fit a reply nor be done within a usual deadline."""

Row = dict[str, Any]


class OnDemand:
    """Carries out `read` (docs/requests.md); the mappings are the driver's own, by device name."""

    def __init__(
        self, listeners: Mapping[str, Listener], pollers: Mapping[str, Poller], gatt: Gatt, clock: Clock
    ) -> None:
        self._listeners = listeners
        self._pollers = pollers
        self._gatt = gatt
        self._clock = clock

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`. What could not be read has `error`; when nothing could, status is failed."""
        if request.op != "read":
            raise Refused("unknown_op", f"the BLE bridge does not do {request.op!r}; it does read")
        unknown = set(request.args) - {"series", "characteristics"}
        if unknown or not request.args:
            raise Refused("bad_request", f"read takes series and characteristics, not {sorted(unknown)}")
        series = self._asked_series(request.args.get("series", []))
        characteristics = self._asked_characteristics(request.args.get("characteristics", []))
        values = await self._values(series)
        read = await self._characteristics(characteristics)
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

    async def _values(self, asked: list[tuple[Device, str]]) -> list[Row]:
        fresh: dict[str, dict[str, Sample | str]] = {}
        for name in dict.fromkeys(device.name for device, _ in asked if device.name in self._pollers):
            tags = [tag for device, tag in asked if device.name == name]
            try:
                fresh[name] = await self._pollers[name].fresh(tags)
            except Retry as error:
                fresh[name] = dict.fromkeys(tags, str(error))
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

    async def _characteristics(self, asked: dict[str, dict[str, str]]) -> list[Row]:
        rows: list[Row] = []
        for name, uuids in asked.items():
            device = self._device(name)
            if device is None:
                continue  # gone while others were read
            try:
                await self._gatt.read(
                    device.address,
                    list(uuids),
                    device.timeout_s,
                    self._row_of(name, uuids, rows.append),
                    urgent=True,
                )
            except Retry as error:
                rows += [
                    {"device": name, "characteristic": spelt, "error": str(error)} for spelt in uuids.values()
                ]
        return rows

    def _row_of(
        self, name: str, uuids: Mapping[str, str], take: Callable[[Row], None]
    ) -> Callable[[Reading], None]:
        def each(reading: Reading) -> None:
            row: Row = {"device": name, "characteristic": uuids[reading.uuid]}
            if reading.data is None:
                take({**row, "error": reading.error})
            else:
                take({**row, "hex": reading.data.hex(), "t": self._utc_ms(reading.boot_ms)})

        return each

    def _last(self, name: str, tag: str) -> Sample | None:
        listener = self._listeners.get(name)
        return None if listener is None else listener.last.get(tag)

    def _device(self, name: str) -> Device | None:
        held = self._listeners.get(name) or self._pollers.get(name)
        return held.device if held else None

    def _utc_ms(self, boot_ms: int) -> int:
        return boot_ms + self._clock.utc_ms() - self._clock.boot_ms()
