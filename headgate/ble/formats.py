"""Reads `ble.formats` of a site document: advertisements and characteristics that a user describes."""

from __future__ import annotations

import re
from collections.abc import Collection

from headgate.ble.decoders.own import OwnField, OwnFormat
from headgate.ble.decoders.quantity import RSSI
from headgate.ble.format_values import read_field
from headgate.ble.rules import read_write_rule
from headgate.ble.uuids import UUID_HINT, full_uuid
from headgate.config.reader import Section
from headgate.model import NAME_PART

MAX_FIELDS = 64
MAX_LENGTH = 512
"""Bytes of a characteristic's value (Bluetooth Core Specification, Vol 3, Part F, 3.2.9)."""
MAX_COMPANY = 0xFFFF
_NAME_HINT = "1 to 64 of A-Z a-z 0-9 _ . -"
_PREFIX_HINT = 'bytes in hex and in quotes, as "0512"'
_ADVERT_KEYS = ("starts_with", "packet_id")


def read_formats(section: Section, taken: Collection[str]) -> dict[str, OwnFormat]:
    """The formats by name; `taken` are the names of those that need no description."""
    found: dict[str, OwnFormat] = {}
    for each in section.sections("formats"):
        own = _read_format(each)
        if own.name in taken:
            each.fault("name", f"{own.name!r} is taken", "there is a profile of that name")
        elif own.name in found:
            each.fault("name", f"{own.name!r} is taken", "by a format above")
        found.setdefault(own.name, own)
    return found


def _read_format(section: Section) -> OwnFormat:
    name = section.text("name", pattern=NAME_PART.pattern, hint=_NAME_HINT)
    company = section.integer("company", low=0, high=MAX_COMPANY) if section.has("company") else None
    service = _uuid(section, "service") if section.has("service") else ""
    if company is not None and section.has("service"):
        section.fault("service", "stands beside company", "keep one of the two")
    advertised = section.has("company") or section.has("service")
    for key in sorted(section.present(_ADVERT_KEYS)) if not advertised else ():
        section.fault(key, "is of an advertisement only", "give its company or its service")
    fields = _fields(section, advertised)
    least = max((1, *(each.field.end for each in fields)))
    own = OwnFormat(
        name,
        fields,
        company,
        service,
        _prefix(section),
        section.integer("length", low=least, high=MAX_LENGTH) if section.has("length") else None,
        _packet_id(section, fields) if section.has("packet_id") else "",
    )
    section.close()
    return own


def _fields(section: Section, advertised: bool) -> tuple[OwnField, ...]:
    listed = section.sections("values", required=True)
    if section.has("values") and not 1 <= len(listed) <= MAX_FIELDS:
        section.fault("values", f"are {len(listed)}", f"1 to {MAX_FIELDS}")
        return ()
    fields: list[OwnField] = []
    names: set[str] = set()
    for each in listed:
        field = _field(each, advertised)
        tag = field.field.quantity.tag
        if tag in names or tag == RSSI.tag:
            by = "it is how strong a packet was received" if tag == RSSI.tag else "by a value above"
            each.fault("name", f"{tag!r} is taken", by)
        names.add(tag)
        fields.append(field)
    return tuple(fields)


def _field(section: Section, advertised: bool) -> OwnField:
    characteristic = ""
    if not advertised:
        characteristic = _uuid(section, "characteristic")
    elif section.has("characteristic"):
        section.fault("characteristic", "does not go with an advertisement", "make a format of each")
    tag = section.text("name", pattern=NAME_PART.pattern, hint=_NAME_HINT)
    field = read_field(section, tag, MAX_LENGTH)
    write = read_write_rule(section, field, advertised=advertised)
    section.close()
    return OwnField(field, characteristic, write)


def _uuid(section: Section, key: str) -> str:
    text = section.text(key, hint=UUID_HINT)
    found = full_uuid(text)
    if text and found is None:
        section.fault(key, f"{text!r} is no UUID", UUID_HINT)
    return found or ""


def _prefix(section: Section) -> bytes:
    if not section.has("starts_with"):
        return b""
    text = section.text("starts_with", hint=_PREFIX_HINT).replace(" ", "")
    if text and not re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text):
        section.fault("starts_with", f"{text!r} are no bytes", _PREFIX_HINT)
        return b""
    return bytes.fromhex(text)


def _packet_id(section: Section, fields: tuple[OwnField, ...]) -> str:
    """The tag of the field that counts packets: an integer as it is."""
    tag = section.text("packet_id")
    counts = [
        each.field.quantity.tag for each in fields if each.field.quantity.form in ("integer", "unsigned")
    ]
    if tag not in counts:
        section.fault("packet_id", f"{tag!r} counts no packets", "a value that is an integer and not scaled")
        return ""
    return tag
