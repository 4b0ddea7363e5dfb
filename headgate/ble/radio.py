"""The edge to bleak: adverts stamped as they arrive, GATT sessions whose every step has a limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Container, Coroutine
from typing import Any, Protocol

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)
from dbus_fast.errors import DBusFastError

from headgate.ble.decoders.quantity import Advert
from headgate.clock import Clock
from headgate.errors import Reject, Retry

START_S = 15.0
TEARDOWN_S = 5.0
"""Limits of our own: neither bleak nor BlueZ has one for most calls (facts measured on bleak 3.1)."""
RECENT_MS = 30_000
"""A device is connected to only when it was heard within this time: BlueZ forgets those that went away."""

Heard = Callable[[Advert], None]

log = logging.getLogger(__name__)

_FAILURES = (BleakError, DBusFastError, OSError, EOFError, TimeoutError, AssertionError)
"""What bleak and dbus-fast raise when the adapter, bluetoothd or the device does not do what it should."""


class Session(Protocol):
    """A connection to one device. Always `close` it."""

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        """A characteristic's value. Raises Reject (not there, not readable) or Retry (no answer, gone)."""

    async def close(self) -> None:
        """Disconnect; never raises, and ends within seconds."""


class Radio(Protocol):
    """What the driver needs of a Bluetooth stack."""

    heard_ms: int | None

    async def start(self, adapter: str, wanted: Container[str], heard: Heard) -> None:
        """Scan: adverts of `wanted` addresses go to `heard` as they arrive. Raises Retry."""

    async def stop(self) -> None:
        """End the scan; never raises, and ends within seconds."""

    async def found(self, address: str, timeout_s: float) -> None:
        """Wait until a wanted device is in reach. Raises Retry when it is not heard in time."""

    async def connect(self, address: str, timeout_s: float) -> Session:
        """Connect to a device that was found. Raises Retry."""


class BleakRadio:
    """A Radio on bleak's BlueZ backend; one adapter, one scanner."""

    def __init__(self, clock: Clock) -> None:
        self.heard_ms: int | None = None
        """When anything was heard last, also from devices that nobody wants."""
        self._clock = clock
        self._adapter = ""
        self._scanner: BleakScanner | None = None
        self._seen: dict[str, tuple[BLEDevice, int]] = {}
        self._waiting: dict[str, asyncio.Event] = {}

    async def start(self, adapter: str, wanted: Container[str], heard: Heard) -> None:
        """See `Radio.start`."""

        def on_advert(device: BLEDevice, data: AdvertisementData) -> None:
            now_ms = self.heard_ms = self._clock.boot_ms()
            address = device.address.upper()
            if address in wanted:
                self._see(address, device, now_ms)
                name = data.local_name or ""
                heard(Advert(address, now_ms, data.rssi, data.service_data, data.manufacturer_data, name))

        self._adapter = adapter
        # From BlueZ 5.87 on, adverts are signalled by changes of their strength unless this filter is set.
        scanner = BleakScanner(on_advert, bluez={"adapter": adapter, "filters": {"DuplicateData": True}})
        try:
            async with asyncio.timeout(START_S):
                await scanner.start()
        except _FAILURES as error:
            await _quietly(scanner.stop(), "stopping a scan that did not start")
            raise Retry(f"adapter {adapter}: {_words(error)}") from error
        except asyncio.CancelledError:
            await _quietly(scanner.stop(), "stopping a scan that was starting")
            raise
        self._scanner = scanner

    async def stop(self) -> None:
        """See `Radio.stop`."""
        scanner, self._scanner = self._scanner, None
        self._seen.clear()
        if scanner is not None:
            await _quietly(scanner.stop(), "stopping the scan")

    async def found(self, address: str, timeout_s: float) -> None:
        """See `Radio.found`."""
        seen = self._seen.get(address)
        if seen is not None and self._clock.boot_ms() - seen[1] < RECENT_MS:
            return
        event = self._waiting.setdefault(address, asyncio.Event())
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            raise Retry(f"{address} was not heard within {timeout_s:g} s") from None

    async def connect(self, address: str, timeout_s: float) -> Session:
        """See `Radio.connect`. It never scans by itself: a second scan would be refused."""
        seen = self._seen.get(address)
        if seen is None:
            raise Retry(f"{address} is not in reach")
        client = BleakClient(seen[0], timeout=timeout_s, bluez={"adapter": self._adapter})
        session = BleakSession(client)
        try:
            async with asyncio.timeout(timeout_s):
                await client.connect()
        except BleakDeviceNotFoundError as error:
            self._seen.pop(address, None)
            await session.close()
            raise Retry(f"{address}: the Bluetooth service has forgotten it") from error
        except _FAILURES as error:
            await session.close()
            raise Retry(f"{address}: no connection: {_words(error)}") from error
        except asyncio.CancelledError:
            await session.close()
            raise
        return session

    def _see(self, address: str, device: BLEDevice, now_ms: int) -> None:
        self._seen[address] = (device, now_ms)
        waiting = self._waiting.pop(address, None)
        if waiting is not None:
            waiting.set()


class BleakSession:
    """A Session of bleak's client."""

    def __init__(self, client: BleakClient) -> None:
        self._client = client

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        """See `Session.read`."""
        try:
            async with asyncio.timeout(timeout_s):
                return bytes(await self._client.read_gatt_char(uuid))
        except BleakCharacteristicNotFoundError as error:
            raise Reject(f"there is no characteristic {uuid}") from error
        except BleakGATTProtocolError as error:
            raise Reject(f"characteristic {uuid}: {error.code.name.lower()}") from error
        except _FAILURES as error:
            raise Retry(f"characteristic {uuid}: {_words(error)}") from error

    async def close(self) -> None:
        """See `Session.close`. Also after the device went: without it each drop leaks a bus connection."""
        await _quietly(self._client.disconnect(), "disconnecting")


async def _quietly(teardown: Coroutine[Any, Any, None], what: str) -> None:
    """Run a teardown to its end or its limit, whatever it raises and though the caller is cancelled."""
    task = asyncio.ensure_future(_limited(teardown, what))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise


async def _limited(teardown: Coroutine[Any, Any, None], what: str) -> None:
    try:
        async with asyncio.timeout(TEARDOWN_S):
            await teardown
    except Exception as error:  # noqa: BLE001  # what is torn down is given up anyway: nothing it says may end us
        log.debug("%s: %r", what, error)


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
