"""Formats that a site document describes: fields of an advertisement, or of characteristics to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from headgate.ble.decoders.fields import Field, compile_fields
from headgate.ble.decoders.quantity import Advert, Characteristic, Decode, MakeDecode, Packet, Profile, by_tag

if TYPE_CHECKING:
    from headgate.ble.rules import CharacteristicRule


@dataclass(frozen=True, slots=True)
class OwnField:
    """A field, and the 128-bit UUID of the characteristic that it lies in; empty in an advertisement.

    `write`: how it may be written; None where it may not.
    """

    field: Field
    characteristic: str = ""
    write: CharacteristicRule | None = None


@dataclass(frozen=True, slots=True)
class OwnFormat:
    """A format by description. An advertisement is known by `company` or `service` (a 128-bit UUID).

    Only data that begins with `starts_with` is of the format. `length` in bytes, None for any that holds all
    fields. `packet_id`: the tag of the field that counts packets.
    """

    name: str
    fields: tuple[OwnField, ...]
    company: int | None = None
    service: str = ""
    starts_with: bytes = b""
    length: int | None = None
    packet_id: str = ""


@lru_cache(1024)
def own_profile(own: OwnFormat) -> Profile:
    """The profile of a described format; the same one for equal descriptions."""
    quantities = by_tag(*(each.field.quantity for each in own.fields))
    tags = tuple(quantities)
    if own.company is not None or own.service:
        return Profile(own.name, quantities, tags, _make_decode(own), count_tag=own.packet_id)
    return Profile(own.name, quantities, tags, characteristics=_characteristics(own))


def _make_decode(own: OwnFormat) -> MakeDecode:
    read = compile_fields(own.name, [each.field for each in own.fields], own.length, own.packet_id)
    take = _take(own)
    start = own.starts_with

    def decode(advert: Advert) -> Packet | None:
        data = take(advert)
        return None if data is None or not data.startswith(start) else read(data)

    def make_decode(address: str, key: bytes | None) -> Decode:
        return decode

    return make_decode


def _take(own: OwnFormat) -> Callable[[Advert], bytes | None]:
    company, service = own.company, own.service
    if company is None:
        return lambda advert: advert.service_data.get(service)
    return lambda advert: advert.manufacturer_data.get(company)


def _characteristics(own: OwnFormat) -> tuple[Characteristic, ...]:
    """One for each UUID, in the order in which they are read."""
    by_uuid = sorted(own.fields, key=lambda each: each.characteristic)
    found = []
    for uuid, group in groupby(by_uuid, lambda each: each.characteristic):
        fields = [each.field for each in group]
        decode = compile_fields(own.name, fields, own.length)
        found.append(Characteristic(uuid, tuple(field.quantity for field in fields), decode))
    return tuple(found)
