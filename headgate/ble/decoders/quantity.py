"""What every decoder shares: quantities and their scale, advertisements, packets, profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headgate.model import Kind, Value

BASE_UUID = "0000{:04x}-0000-1000-8000-00805f9b34fb"
"""128-bit form of a 16-bit UUID (Bluetooth Core Specification, Vol 3, Part B, 2.5.1)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a raw integer means: value = raw / 10^decimals in `unit`; with `boolean`, 0 is false."""

    tag: str
    unit: str = ""
    decimals: int = 0
    boolean: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of its series."""
        if self.boolean:
            return "bool"
        return "f64" if self.decimals else "i64"

    def value(self, raw: int) -> Value:
        """The value that a raw integer stands for."""
        if self.boolean:
            return bool(raw)
        return raw / 10**self.decimals if self.decimals else raw


@dataclass(frozen=True, slots=True)
class Advert:
    """One advertisement as it arrived: `boot_ms` is boottime, keys are 128-bit UUIDs and company ids."""

    address: str
    boot_ms: int
    rssi_dbm: int = 0
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Packet:
    """What one advertisement says: raw integers by tag, None where the device has no value.

    `id` tells packets apart (the same again is the same packet); None where the format has none. `counter`:
    of an encrypted packet; it never goes down. `unknown`: the id of an object that ended decoding.
    """

    raw: Mapping[str, int | None]
    id: int | None = None
    counter: int | None = None
    unknown: int | None = None


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A GATT characteristic that holds one quantity; `decode` raises Reject for a value of another length."""

    uuid: str
    quantity: Quantity
    decode: Callable[[bytes], int | None]


Decode = Callable[[Advert], Packet | None]
"""None for an advertisement of another format. Raises Reject for a damaged one."""
MakeDecode = Callable[[str, bytes | None], Decode]
"""The decoder for a device from its address (AA:BB:CC:DD:EE:FF) and its key, if it has one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A format of advertisements (`make_decode`) or a set of characteristics to read.

    `quantities` is all it can give, by tag; `default` what a device gives unless the site says otherwise.
    `count_tag`: the count in its packets, always a series, so that lost ones can be counted. `selects`: the
    site lists its `measurements`, as there are too many to have them all.
    """

    name: str
    quantities: Mapping[str, Quantity]
    default: tuple[str, ...]
    make_decode: MakeDecode | None = None
    characteristics: tuple[Characteristic, ...] = ()
    count_tag: str = ""
    selects: bool = False
    encrypts: bool = False


def by_tag(*quantities: Quantity) -> dict[str, Quantity]:
    """Quantities by tag, in their order."""
    return {quantity.tag: quantity for quantity in quantities}
