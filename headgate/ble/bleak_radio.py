"""The edge to bleak: adverts stamped as they arrive, GATT sessions whose every step has a limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Container, Coroutine
from dataclasses import dataclass
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)
from dbus_fast.errors import DBusFastError

from headgate.ble.decoders.quantity import Advert
from headgate.ble.radio import Busy, GattCharacteristic, GattService, Heard, NoPassiveScan, Overheard
from headgate.ble.within import within
from headgate.clock import Clock
from headgate.errors import HeadgateError, Reject, Retry
from headgate.write_steps import Denied, Unconfirmed

START_S = 15.0
TEARDOWN_S = 5.0
"""Limits of our own: neither bleak nor BlueZ has one for most calls (measured with bleak 3.1)."""
RECENT_MS = 30_000
"""A device is connected to only when it was heard within this time: BlueZ forgets those that went away."""
NO_RSSI_DBM = -127
"""What bleak says where BlueZ says nothing: a change that no packet brought, such as the scan's end."""
PATTERNS = [
    # The flags that sensors set, as bleak's own users do; then formats that come without flags.
    *((0, AdvertisementDataType.FLAGS, bytes([flags])) for flags in (0x02, 0x04, 0x05, 0x06, 0x1A)),
    *(
        (0, AdvertisementDataType.SERVICE_DATA_UUID16, uuid)
        for uuid in (b"\xd2\xfc", b"\x1c\x18", b"\x1a\x18")
    ),
    (0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, b"\x99\x04"),
]
"""What a passive scan must name (org.bluez.AdvertisementMonitor1): it hears nothing else."""

log = logging.getLogger(__name__)

FAILURES = (BleakError, DBusFastError, OSError, EOFError, TimeoutError, AssertionError, KeyError)
"""What bleak and dbus-fast raise when the adapter, bluetoothd or the device does not do what it should."""
_BUSY = "org.bluez.Error.InProgress"
_DENIED = frozenset(
    f"org.bluez.Error.{word}"
    for word in ("NotPermitted", "NotAuthorized", "NotSupported", "InvalidValueLength")
)
"""The device's refusals that bleak gives no code (BlueZ, src/gatt-client.c, create_gatt_dbus_error)."""
_NOT_SENT = frozenset(
    f"org.freedesktop.DBus.Error.{word}"
    for word in ("UnknownObject", "UnknownMethod", "UnknownInterface", "ServiceUnknown", "NameHasNoOwner")
)
"""What the bus says where BlueZ, or the characteristic with its connection, is gone."""
_NOT_CONNECTED = "Not connected"
"""How BlueZ fails a write before it sends anything (src/gatt-client.c, characteristic_write_value)."""


@dataclass(slots=True)
class _Seen:
    """When a device was heard last, and bleak's word for it."""

    device: BLEDevice
    boot_ms: int


class BleakRadio:
    """A Radio on bleak's BlueZ backend: one adapter, one scanner."""

    def __init__(self, adapter: str, clock: Clock) -> None:
        self.heard_ms: int | None = None
        self.adverts = 0
        self.overhear: Callable[[Overheard], None] | None = None
        self._adapter = adapter
        self._clock = clock
        self._scanner: BleakScanner | None = None
        self._seen: dict[str, _Seen] = {}
        self._connected: set[str] = set()
        self._waiting: dict[str, asyncio.Event] = {}

    async def start(self, wanted: Container[str], heard: Heard, *, passive: bool) -> None:
        """See `Radio.start`."""
        scanner = self._make_scanner(self._listener(wanted, heard), passive=passive)
        try:
            await within(self._clock, START_S, scanner.start(), f"scan on {self._adapter}")
        except FAILURES as error:
            await self._quietly(scanner.stop(), "stopping a scan that did not start")
            raise self._start_error(error, passive=passive) from error
        except asyncio.CancelledError:
            await self._quietly(scanner.stop(), "stopping a scan that was starting")
            raise
        self._scanner = scanner

    async def stop(self) -> None:
        """See `Radio.stop`."""
        scanner, self._scanner = self._scanner, None
        if scanner is not None:
            await self._quietly(scanner.stop(), "stopping the scan")

    def forget(self) -> None:
        """See `Radio.forget`."""
        self._seen.clear()

    async def found(self, address: str, timeout_s: float) -> None:
        """See `Radio.found`."""
        if self._recent(address) is not None:
            return
        event = self._waiting.setdefault(address, asyncio.Event())
        try:
            await within(self._clock, timeout_s, event.wait(), f"hear {address}")
        except TimeoutError:
            raise Retry(f"{address} was not heard within {timeout_s:g} s") from None

    async def connect(self, address: str, timeout_s: float, *, pair: bool) -> BleakSession:
        """See `Radio.connect`. It never scans by itself: a second scan would be refused."""
        device = self._recent(address)
        if device is None:
            raise Retry(f"{address} is not in reach")
        client = BleakClient(device, timeout=timeout_s, pair=pair, bluez={"adapter": self._adapter})
        session = BleakSession(client, self._clock, lambda: self._connected.discard(address))
        self._connected.add(address)
        try:
            await within(self._clock, timeout_s, client.connect(), f"connect to {address}")
        except BleakDeviceNotFoundError as error:
            self._seen.pop(address, None)
            await session.close()
            raise Retry(f"{address}: the Bluetooth service has forgotten it") from error
        except FAILURES as error:
            await session.close()
            raise Retry(f"{address}: no connection: {words(error)}") from error
        except asyncio.CancelledError:
            await session.close()
            raise
        return session

    def _make_scanner(
        self, on_advert: Callable[[BLEDevice, AdvertisementData], None], *, passive: bool
    ) -> BleakScanner:
        if passive:
            bluez: Any = {"adapter": self._adapter, "or_patterns": PATTERNS}
            return BleakScanner(on_advert, scanning_mode="passive", bluez=bluez)
        # From BlueZ 5.87 on, adverts are signalled by changes of their strength unless this filter is set.
        return BleakScanner(on_advert, bluez={"adapter": self._adapter, "filters": {"DuplicateData": True}})

    def _listener(
        self, wanted: Container[str], heard: Heard
    ) -> Callable[[BLEDevice, AdvertisementData], None]:
        clock, connected = self._clock, self._connected

        def on_advert(device: BLEDevice, data: AdvertisementData) -> None:
            address = device.address
            # While it is connected BlueZ tells of other changes with what was heard last: that is no packet.
            if data.rssi == NO_RSSI_DBM or address in connected:
                return
            now_ms = self.heard_ms = clock.boot_ms()
            self.adverts += 1
            if self.overhear is not None:
                self.overhear(_overheard(device, data, now_ms))
            if address in wanted:
                seen = self._seen.get(address)
                if seen is None:
                    seen = self._seen[address] = _Seen(device, now_ms)
                seen.device, seen.boot_ms = device, now_ms
                if self._waiting and (waiting := self._waiting.pop(address, None)) is not None:
                    waiting.set()
                name = data.local_name or ""
                heard(Advert(address, now_ms, data.rssi, data.service_data, data.manufacturer_data, name))

        return on_advert

    def _recent(self, address: str) -> BLEDevice | None:
        seen = self._seen.get(address)
        return seen.device if seen is not None and self._clock.boot_ms() - seen.boot_ms < RECENT_MS else None

    def _start_error(self, error: BaseException, *, passive: bool) -> Retry:
        said = f"adapter {self._adapter}: {words(error)}"
        if isinstance(error, BleakDBusError) and error.dbus_error == _BUSY:
            return Busy(said)
        # bleak gives no kind of its own for it; what else goes wrong then goes wrong actively, too.
        return NoPassiveScan(said) if passive and "not found" not in said else Retry(said)

    async def _quietly(self, teardown: Coroutine[Any, Any, None], what: str) -> None:
        await quietly(self._clock, teardown, what)


class BleakSession:
    """A Session of bleak's client; `closed` is called once it has ended."""

    def __init__(self, client: BleakClient, clock: Clock, closed: Callable[[], None]) -> None:
        self._client = client
        self._clock = clock
        self._closed = closed

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        """See `Session.read`."""
        return await self._read(uuid, uuid, timeout_s)

    async def _read(self, which: str | int, name: str, timeout_s: float) -> bytes:
        try:
            work = self._client.read_gatt_char(which)
            return bytes(await within(self._clock, timeout_s, work, f"read {name}"))
        except BleakCharacteristicNotFoundError as error:
            raise Reject(f"there is no characteristic {name}") from error
        except BleakGATTProtocolError as error:
            raise Reject(f"characteristic {name}: {error.code.name.lower()}") from error
        except FAILURES as error:
            raise Retry(f"characteristic {name}: {words(error)}") from error

    async def read_handle(self, handle: int, timeout_s: float) -> bytes:
        """As `read`; a handle is a single characteristic where a UUID may be several."""
        return await self._read(handle, f"0x{handle:04x}", timeout_s)

    def services(self) -> list[GattService]:
        """What the device offers, in the order of its handles."""
        found = [
            GattService(
                service.uuid,
                service.handle,
                tuple(
                    GattCharacteristic(each.uuid, each.handle, tuple(each.properties))
                    for each in sorted(service.characteristics, key=lambda each: each.handle)
                ),
            )
            for service in self._client.services
        ]
        return sorted(found, key=lambda service: service.handle)

    async def write(self, uuid: str, data: bytes, timeout_s: float, *, response: bool) -> None:
        """See `Session.write`."""
        if not self._client.is_connected:
            raise Retry("the connection was lost")
        try:
            work = self._client.write_gatt_char(uuid, data, response=response)
            await within(self._clock, timeout_s, work, f"write {uuid}")
        except BleakCharacteristicNotFoundError as error:
            raise Denied(f"there is no characteristic {uuid}") from error
        except FAILURES as error:
            raise write_error(uuid, error) from error

    async def close(self) -> None:
        """See `Session.close`. Also after the device went: without it each drop leaks a bus connection."""
        try:
            await quietly(self._clock, self._client.disconnect(), "disconnecting")
        finally:
            self._closed()


def write_error(uuid: str, error: BaseException) -> HeadgateError:
    """What a failed write came to; where that is not certain, it may be written."""
    if isinstance(error, BleakGATTProtocolError):
        said = f"characteristic {uuid}: {error.code.name.lower()}"
        if error.code is not BleakGATTProtocolErrorCode.UNLIKELY_ERROR:
            return Denied(said)
    else:
        said = f"characteristic {uuid}: {words(error)}"
    if isinstance(error, BleakDBusError):
        if error.dbus_error in _DENIED:
            return Denied(said)
        if error.dbus_error in _NOT_SENT or _NOT_CONNECTED in str(error):
            return Retry(said)
    return Unconfirmed(f"{said}; whether it was written is not known")


async def quietly(clock: Clock, teardown: Coroutine[Any, Any, None], what: str) -> None:
    """Run a teardown to its end or its limit, whatever it raises and though the caller is cancelled."""
    task = asyncio.get_running_loop().create_task(_limited(clock, teardown, what), name=what)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise


async def _limited(clock: Clock, teardown: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await within(clock, TEARDOWN_S, teardown, what)
    except Exception as error:  # noqa: BLE001  # what is torn down is given up anyway: nothing it says may end us
        log.debug("%s: %r", what, error)


def _overheard(device: BLEDevice, data: AdvertisementData, now_ms: int) -> Overheard:
    advert = Advert(
        device.address, now_ms, data.rssi, data.service_data, data.manufacturer_data, data.local_name or ""
    )
    # bleak keeps what BlueZ says of a device (Device1) in its details, as its own documentation has it.
    properties = device.details.get("props", {}) if isinstance(device.details, dict) else {}
    return Overheard(advert, tuple(data.service_uuids), str(properties.get("AddressType", "")))


def words(error: BaseException) -> str:
    """An error of bleak's or D-Bus's for people."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
