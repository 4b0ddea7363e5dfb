"""Connects to one device, lists what it offers and reads what may be read; it cannot write or pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bleak.uuids import uuidstr_to_str

from headgate.ble.bleak_radio import BleakRadio, BleakSession
from headgate.ble.bluez import BluezController
from headgate.ble.commissioning.failures import InUse, check
from headgate.ble.decoders.ess import PROFILE as ESS
from headgate.ble.decoders.quantity import Characteristic
from headgate.ble.hints import short_uuid
from headgate.ble.radio import GattCharacteristic, GattService
from headgate.clock import Clock
from headgate.errors import HeadgateError, Reject, Retry

ATTEMPTS = 3
PAUSE_MS = 500
_STANDARD = {each.uuid: each for each in ESS.characteristics}
"""Environmental Sensing, Battery, Device Information."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A characteristic, with what was read of it. `error`: why nothing was; empty as well where it has no
    property `read`.
    """

    service: str
    characteristic: GattCharacteristic
    data: bytes | None = None
    error: str = ""

    @property
    def decoded(self) -> str:
        """The value of a standard characteristic, or a text, for people; empty where neither is."""
        if self.data is None:
            return ""
        known = _STANDARD.get(self.characteristic.uuid)
        return _standard(known, self.data) if known is not None else _text(self.data)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        row: dict[str, Any] = {
            "service": short_uuid(self.service),
            "characteristic": short_uuid(self.characteristic.uuid),
            "name": named(self.characteristic.uuid),
            "handle": self.characteristic.handle,
            "properties": list(self.characteristic.properties),
        }
        if self.data is not None:
            row |= {"hex": self.data.hex(), "decoded": self.decoded}
        if self.error:
            row["error"] = self.error
        return row


async def explore(
    adapter: str, address: str, heard_within_s: float, timeout_s: float, clock: Clock
) -> tuple[list[GattService], list[Offered]]:
    """What a device offers. Raises Retry: it is not heard, or gives no connection; or as `check`."""
    await check(adapter, clock)
    session = await _session(adapter, address, heard_within_s, timeout_s, clock)
    try:
        services = session.services()
        return services, await _read_all(session, services, timeout_s)
    finally:
        await session.close()


async def _session(
    adapter: str, address: str, heard_within_s: float, timeout_s: float, clock: Clock
) -> BleakSession:
    """A connection. The scan rests while it is made: some controllers cannot do both."""
    for attempt in range(1, ATTEMPTS + 1):
        await _free(adapter, address, clock)  # who is connected advertises no more, and would not be heard
        radio = BleakRadio(adapter, clock)
        try:
            await radio.start({address}, lambda advert: None, passive=False)
            await radio.found(address, heard_within_s)
        finally:
            await radio.stop()
        await _free(adapter, address, clock)
        try:
            return await radio.connect(address, timeout_s, pair=False)
        except Retry:
            if attempt == ATTEMPTS:
                raise
        await clock.sleep_until(clock.boot_ms() + PAUSE_MS)
    raise AssertionError("the last attempt returns or raises")


async def _free(adapter: str, address: str, clock: Clock) -> None:
    """BlueZ has one connection to a device: to end ours would end that of another one. Raises InUse."""
    if await BluezController(adapter, clock).is_connected(address):
        raise InUse(f"{address}: somebody is connected to it, such as the gateway's bridge; try again soon")


async def _read_all(
    session: BleakSession, services: Sequence[GattService], timeout_s: float
) -> list[Offered]:
    found, gone = [], ""
    for service in services:
        for each in service.characteristics:
            data, error = None, gone
            if "read" in each.properties and not gone:
                try:
                    data = await session.read_handle(each.handle, timeout_s)
                except Reject as refused:
                    error = str(refused)
                except Retry as lost:
                    # A device that left one read unanswered would leave the others so too.
                    gone = error = str(lost)
            found.append(Offered(service.uuid, each, data, error if "read" in each.properties else ""))
    return found


def named(uuid: str) -> str:
    """What the Bluetooth SIG calls a UUID; empty where it does not."""
    name = uuidstr_to_str(uuid)
    return "" if name in ("Unknown", "Vendor specific") else name


def _standard(known: Characteristic, data: bytes) -> str:
    try:
        raws = known.decode(data).raw
    except HeadgateError as error:
        return f"damaged: {error}"
    values = [(quantity, quantity.value(raws.get(quantity.tag))) for quantity in known.quantities]
    return ", ".join(
        "not known" if value is None else f"{value} {quantity.unit}".strip() for quantity, value in values
    )


def _text(data: bytes) -> str:
    """A text in quotes, where it is one of some length."""
    try:
        text = data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return ""
    return f'"{text}"' if len(text) > 1 and text.isprintable() else ""
