"""What every decoder shares: quantities and their scale, advertisements, packets, profiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from headgate.errors import Reject
from headgate.model import Kind, Value

BASE_UUID = "0000{:04x}-0000-1000-8000-00805f9b34fb"
"""128-bit form of a 16-bit UUID (Bluetooth Core Specification, Vol 3, Part B, 2.5.1)."""

Raw = int | float | str | None
"""What a decoder reads: an integer to be scaled, a double or a text as it is, or None: there is no value."""
Form = Literal["integer", "unsigned", "scaled", "bool", "real", "text"]
MAX_DECIMALS = 15
"""Most decimals of a series: so many digits a double keeps."""
_KINDS: Mapping[Form, Kind] = {
    "integer": "i64",
    "unsigned": "u64",
    "scaled": "f64",
    "bool": "bool",
    "real": "f64",
    "text": "text",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a raw value means: of an integer, value = raw / 10^decimals in `unit`; as bool, 0 is false.

    A "scaled" integer is a double even without decimals: the kind does not depend on the scale.
    `low` and `high` bound the raws that can be true, such as those of 0 to 100 %: others are doubtful.
    """

    tag: str
    unit: str = ""
    decimals: int = 0
    form: Form = "integer"
    low: float | None = None
    high: float | None = None

    @property
    def kind(self) -> Kind:
        """The kind of its series."""
        return "f64" if self.decimals else _KINDS[self.form]

    @property
    def series_decimals(self) -> int | None:
        """The decimals of its series; None where values are no scaled integers."""
        scaled = self.kind == "f64" and self.form != "real" and self.decimals <= MAX_DECIMALS
        return self.decimals if scaled else None

    @property
    def divisor(self) -> int:
        """By what a raw integer is divided; 0 where it is not."""
        return 10**self.decimals if self.decimals or self.form == "scaled" else 0

    def value(self, raw: Raw) -> Value:
        """The value that a raw stands for."""
        if raw is None or isinstance(raw, str):
            return raw
        if self.form == "bool":
            return bool(raw)
        return raw / self.divisor if self.divisor else raw

    def doubts(self, raw: Raw) -> bool:
        """Whether a raw is outside of what can be true."""
        if raw is None or isinstance(raw, str):
            return False
        low, high = self.low, self.high
        return not ((low is None or raw >= low) and (high is None or raw <= high))


RSSI = Quantity("rssi", "dBm")
"""How strong a packet was received: a tag of whatever advertises."""


def celsius(tag: str, decimals: int) -> Quantity:
    """A temperature; nothing is colder than -273.15 °C."""
    return Quantity(tag, "°C", decimals, low=-273.15 * 10**decimals)


def percent(tag: str, decimals: int = 0) -> Quantity:
    """A share, 0 to 100 %."""
    return Quantity(tag, "%", decimals, low=0, high=100 * 10**decimals)


class Sealed(Reject):
    """An encrypted packet, and there is no key to open it with."""


_NO_SERVICES: Mapping[str, bytes] = MappingProxyType({})
_NO_MAKERS: Mapping[int, bytes] = MappingProxyType({})


class Advert(NamedTuple):
    """One advertisement as it arrived: `boot_ms` is boottime, keys are 128-bit UUIDs and company ids.

    `name` is what the device calls itself, where it does.
    """

    address: str
    boot_ms: int
    rssi_dbm: int = 0
    service_data: Mapping[str, bytes] = _NO_SERVICES
    manufacturer_data: Mapping[int, bytes] = _NO_MAKERS
    name: str = ""


class Packet(NamedTuple):
    """What one advertisement says: tags and as many raws, None where the device has no value.

    Packets of one form best share one tuple of tags: what is made of them is then found at once. `id` tells
    packets apart (the same again is the same packet); None where the format has none. `counter`: of an
    encrypted packet; it never goes down. `unknown`: the id of an object that ended decoding. `doubt`: why
    nothing in it is quite to be relied on, in words. `doubtful`: the tags of which that is so.
    """

    tags: tuple[str, ...]
    raws: tuple[Raw, ...]
    id: int | None = None
    counter: int | None = None
    unknown: int | None = None
    doubt: str = ""
    doubtful: Collection[str] = ()

    @classmethod
    def of(
        cls,
        raw: Mapping[str, Raw],
        id: int | None = None,
        counter: int | None = None,
        unknown: int | None = None,
        doubt: str = "",
        doubtful: Collection[str] = (),
    ) -> Packet:
        """A packet from its raws by tag."""
        return cls(tuple(raw), tuple(raw.values()), id, counter, unknown, doubt, doubtful)

    @property
    def raw(self) -> dict[str, Raw]:
        """The raws by tag."""
        return dict(zip(self.tags, self.raws, strict=True))


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A GATT characteristic and its quantities; `decode` gives their raws, or raises Reject."""

    uuid: str
    quantities: tuple[Quantity, ...]
    decode: Callable[[bytes], Packet]


Decode = Callable[[Advert], Packet | None]
"""None for an advertisement of another format. Raises Reject for a damaged one."""
MakeDecode = Callable[[str, bytes | None], Decode]
"""The decoder for a device from its address (AA:BB:CC:DD:EE:FF) and its key, if it has one."""


@dataclass(frozen=True, slots=True)
class Content:
    """Where the packets of a format lie whole: in the data of a service (128-bit UUID), or else of a company.

    `make_read` is `make_decode` for that alone: of what waits to be decoded no more need be kept.
    """

    make_read: Callable[[str, bytes | None], Callable[[bytes], Packet | None]]
    service: str = ""
    company: int = 0

    def of(self, advert: Advert) -> bytes | None:
        """What of an advertisement is of the format; None where nothing is."""
        if self.service:
            return advert.service_data.get(self.service)
        return advert.manufacturer_data.get(self.company)

    def make_decode(self, address: str, key: bytes | None) -> Decode:
        """See `MakeDecode`."""
        read, of = self.make_read(address, key), self.of

        def decode(advert: Advert) -> Packet | None:
            data = of(advert)
            return None if data is None else read(data)

        return decode


@dataclass(frozen=True, slots=True)
class Profile:
    """A format of advertisements (`make_decode`) or a set of characteristics to read.

    `quantities` is all it can give, by tag; `default` what a device gives unless the site says otherwise.
    `count_tag`: the count in its packets, always a series, so that lost ones can be counted. `selects`: the
    site lists its `measurements`, as there are too many to have them all. `package`: what must be installed.
    `content`: where all lies that `make_decode` looks at, if in one place.
    """

    name: str
    quantities: Mapping[str, Quantity]
    default: tuple[str, ...]
    make_decode: MakeDecode | None = None
    characteristics: tuple[Characteristic, ...] = ()
    count_tag: str = ""
    selects: bool = False
    encrypts: bool = False
    package: str = ""
    content: Content | None = None

    def __post_init__(self) -> None:
        if self.make_decode is not None:
            object.__setattr__(self, "quantities", {**self.quantities, RSSI.tag: RSSI})


def by_tag(*quantities: Quantity) -> dict[str, Quantity]:
    """Quantities by tag, in their order."""
    return {quantity.tag: quantity for quantity in quantities}


def address_bytes(address: str) -> bytes:
    """The 6 B of AA:BB:CC:DD:EE:FF as it is written."""
    return bytes.fromhex(address.replace(":", ""))
