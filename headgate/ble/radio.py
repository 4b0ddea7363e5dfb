"""What the driver needs of a Bluetooth stack: a scan, sessions with devices, and the adapter's switches."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from headgate.ble.decoders.quantity import Advert
from headgate.errors import Retry

Heard = Callable[[Advert], None]


class Overheard(NamedTuple):
    """An advertisement of whomever, with what else the Bluetooth service says of its sender.

    `services`: the UUIDs that it offers. `address_type`: `public` or `random`; empty where that is not said.
    """

    advert: Advert
    services: tuple[str, ...] = ()
    address_type: str = ""


class Busy(Retry):
    """Somebody else scans, or a scan of before was not ended."""


class NoPassiveScan(Retry):
    """This Bluetooth service does not scan passively."""


@dataclass(frozen=True, slots=True)
class AdapterState:
    """What the Bluetooth service says of an adapter.

    `losses` grows whenever service, adapter or power goes: a scan from before is dead then.
    """

    service: bool = False
    present: bool = False
    powered: bool = False
    discovering: bool = False
    losses: int = 0


@dataclass(frozen=True, slots=True)
class GattCharacteristic:
    """A characteristic of a device; `properties` in BlueZ's words: read, write, notify, ..."""

    uuid: str
    handle: int
    properties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GattService:
    """A service of a device, with its characteristics by handle."""

    uuid: str
    handle: int
    characteristics: tuple[GattCharacteristic, ...]


class Session(Protocol):
    """A connection to one device. Always `close` it."""

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        """A characteristic's value. Raises Reject (not there, not readable) or Retry (no answer, gone)."""

    async def write(self, uuid: str, data: bytes, timeout_s: float, *, response: bool) -> None:
        """Write a characteristic, once. Raises Denied (not there, the device refused), Unconfirmed (sent: it
        may be written) or Retry (nothing was sent). Without `response` it returns once it is sent."""

    async def close(self) -> None:
        """Disconnect; never raises, and ends within seconds."""


class Radio(Protocol):
    """One adapter's radio. `heard_ms`: when anything was heard last, `adverts`: how much of it.

    `overhear` is told of every advert, whether its sender is wanted or not; None: nobody listens.
    """

    heard_ms: int | None
    adverts: int
    overhear: Callable[[Overheard], None] | None

    async def start(self, wanted: Container[str], heard: Heard, *, passive: bool) -> None:
        """Scan: adverts of `wanted` addresses go to `heard` as they arrive. Raises Retry."""

    async def stop(self) -> None:
        """End the scan; never raises, and ends within seconds."""

    def forget(self) -> None:
        """The Bluetooth service lost its devices: each must be heard again before it is connected to."""

    async def found(self, address: str, timeout_s: float) -> None:
        """Wait until a wanted device is in reach. Raises Retry when it is not heard in time."""

    async def connect(self, address: str, timeout_s: float, *, pair: bool) -> Session:
        """Connect to a device that was found. Raises Retry."""


class Controller(Protocol):
    """One adapter's switches. `state` is None as long as nothing is known."""

    state: AdapterState | None

    async def watch(self, changed: Callable[[], None]) -> None:
        """Keep `state` until cancelled; `changed` is called after each change."""

    async def power(self, on: bool) -> None:
        """Switch the adapter. Raises Retry."""

    async def restart_service(self) -> None:
        """Ask for a restart of the Bluetooth service. Raises Retry."""
