"""Devices of brands whose formats others maintain: the `*-ble` packages, imported when a device needs one."""

from __future__ import annotations

import importlib
import importlib.util
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Advert,
    Decode,
    MakeDecode,
    Packet,
    Profile,
    Quantity,
    Raw,
    Sealed,
    by_tag,
)
from headgate.errors import Reject

_NUMBERS = {
    "temperature": ("°C", -273.15, None),
    "humidity": ("%", 0, 100),
    "battery": ("%", 0, 100),
    "voltage": ("V", None, None),
    "pressure": ("hPa", None, None),
    "illuminance": ("lx", 0, None),
    "moisture": ("%", 0, 100),
    "conductivity": ("uS/cm", 0, None),
    "carbon_dioxide": ("ppm", 0, None),
    "pm25": ("ug/m3", 0, None),
    "formaldehyde": ("mg/m3", 0, None),
    "mass": ("kg", None, None),
    **{f"temperature_probe_{n}": ("°C", -273.15, None) for n in range(1, 7)},
    **{f"humidity_probe_{n}": ("%", 0, 100) for n in range(1, 7)},
}
"""By key of the packages: our unit, and the bounds of what can be true."""
_STATES = ("motion", "opening", "door", "window", "occupancy", "presence", "light", "smoke", "lock", "power")
_ASCII = str.maketrans({"µ": "u", "μ": "u", "³": "3", "²": "2"})
"""Units are spelt in ASCII here, but for the degree."""

QUANTITIES = by_tag(
    *(Quantity(key, unit, 0, "real", low, high) for key, (unit, low, high) in _NUMBERS.items()),
    *(Quantity(key, form="bool") for key in _STATES),
    Quantity("button", form="text"),
)
MI_BEACON = BASE_UUID.format(0xFE95)
"""Xiaomi Inc. (Bluetooth SIG, 16-bit UUIDs for members)."""
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, struct.error)
"""What a parser may raise on bytes that it did not expect."""


@dataclass(slots=True)
class ServiceInfo:
    """An advertisement in the form that the packages read (habluetooth's BluetoothServiceInfoBleak)."""

    name: str
    address: str
    rssi: int
    manufacturer_data: Mapping[int, bytes]
    service_data: Mapping[str, bytes]
    time: float
    service_uuids: list[str] = field(default_factory=list)
    source: str = "local"
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand: what must be installed, and the parser's class in it. `keyed`: it takes a bind key.

    Its devices are recognised without the package by the start of their names, or by their service data.
    """

    name: str
    package: str
    module: str
    parser: str
    keyed: bool = False
    names: tuple[str, ...] = ()
    service: str = ""

    @property
    def advice(self) -> str:
        """How to get its package."""
        return f"install {self.package}: pip install 'headgate[{self.name}]'"


BRANDS = {
    brand.name: brand
    for brand in (
        Brand(
            "xiaomi",
            "xiaomi-ble",
            "xiaomi_ble",
            "XiaomiBluetoothDeviceData",
            True,
            ("MJ_HT", "LYWSD"),
            MI_BEACON,
        ),
        Brand("govee", "govee-ble", "govee_ble", "GoveeBluetoothDeviceData", False, ("GVH", "Govee")),
        Brand("inkbird", "inkbird-ble", "inkbird_ble", "INKBIRDBluetoothDeviceData", False, ("sps", "tps")),
    )
}


def missing(profile_name: str) -> str:
    """What to install before a profile can be used; empty when nothing is missing. Imports nothing."""
    brand = BRANDS.get(profile_name)
    if brand is None or importlib.util.find_spec(brand.module) is not None:
        return ""
    return brand.advice


def make_maker(brand: Brand) -> MakeDecode:
    """What makes a decoder for a device of a brand; that raises Reject where the package is missing."""

    def make_decode(address: str, key: bytes | None) -> Decode:
        try:
            parser_class: Callable[..., Any] = getattr(importlib.import_module(brand.module), brand.parser)
        except (ImportError, AttributeError) as error:
            raise Reject(f"{brand.name}: {error}; {brand.advice}") from error
        parser = parser_class(bindkey=key) if brand.keyed else parser_class()

        def decode(advert: Advert) -> Packet | None:
            info = ServiceInfo(
                advert.name or advert.address,
                advert.address,
                advert.rssi_dbm,
                advert.manufacturer_data,
                advert.service_data,
                advert.boot_ms / 1000,
            )
            try:
                update = parser.update(info)
            except _FAULTS as error:
                raise Reject(f"{brand.name}: cannot be decoded ({error!r})") from error
            raws = _taken(brand, update)
            if not raws and brand.keyed:
                _tell_of_key(brand, parser, key)
            return Packet.of(raws) if raws else None

        return decode

    return make_decode


def _taken(brand: Brand, update: Any) -> dict[str, Raw]:
    """What is new in an update: the packages tell all they know again, unless it is emptied in between."""
    raws: dict[str, Raw] = {}
    for key, value in update.entity_values.items():
        tag = key.key
        if tag not in _NUMBERS or key.device_id is not None:
            continue
        told = str(update.entity_descriptions[key].native_unit_of_measurement).translate(_ASCII)
        if told != _NUMBERS[tag][0]:
            raise Reject(f"{brand.name}: {tag} is in {told}, expected {_NUMBERS[tag][0]}")
        number = value.native_value
        raws[tag] = float(number) if isinstance(number, int | float) else None
    for key, value in update.binary_entity_values.items():
        if key.key in _STATES:
            raws[key.key] = None if value.native_value is None else int(value.native_value)
    for key, event in update.events.items():
        if key.key == "button":
            raws["button"] = str(event.event_type)
    for kept in (update.entity_values, update.binary_entity_values, update.events):
        kept.clear()
    return raws


def _tell_of_key(brand: Brand, parser: Any, key: bytes | None) -> None:
    """Raise Reject when nothing was decoded for want of the right key."""
    if parser.encryption_scheme.value == "none":
        return
    if key is None:
        raise Sealed(f"{brand.name}: the packet is encrypted; give the device's bind_key")
    if parser.decryption_failed:
        raise Reject(f"{brand.name}: the packet does not open with this bind_key")


PROFILES = {
    brand.name: Profile(
        brand.name,
        QUANTITIES,
        ("temperature", "humidity", "battery"),
        make_maker(brand),
        selects=True,
        encrypts=brand.keyed,
        package=brand.package,
    )
    for brand in BRANDS.values()
}
