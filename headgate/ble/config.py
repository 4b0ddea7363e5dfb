"""The `ble:` section of a site document as frozen types: the adapter and the devices around it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.ble.adapters import (
    ADAPTER_HINT,
    ADAPTER_PATTERN,
    DEFAULT_ADAPTER,
    AdapterConfig,
    parse_adapters,
)
from headgate.ble.decoders.brands import missing
from headgate.ble.decoders.own import OwnFormat, own_profile
from headgate.ble.decoders.quantity import Profile, Quantity
from headgate.ble.decoders.registry import PROFILES
from headgate.ble.reporting import DEFAULT_PATIENCE, Patience, Rule, read_patience, read_rules
from headgate.config.reader import Problems, Section, describe
from headgate.model import NAME_PART, Series

MAX_INTERVAL_S = 86_400.0
_NAME_HINT = "1 to 64 of A-Z a-z 0-9 _ . -"
_ADDRESS = r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}"
_ADDRESS_HINT = 'as "AA:BB:CC:DD:EE:FF", in quotes: YAML reads some addresses as numbers'
_KEY_HINT = "32 hex digits in quotes"


@dataclass(frozen=True, slots=True)
class Device:
    """One device. `tags` become series; `interval_ms` is how often it is read, or else how often it sends.

    `own` is its format where the site describes it.
    """

    name: str
    address: str
    profile: str
    tags: tuple[str, ...]
    interval_ms: int
    timeout_s: float
    bind_key: bytes | None = field(default=None, repr=False)
    adapter: str = DEFAULT_ADAPTER
    pair: bool = False
    own: OwnFormat | None = None
    patience: Patience = DEFAULT_PATIENCE
    report: tuple[tuple[str, Rule], ...] = ()

    @property
    def format(self) -> Profile:
        """What its profile says."""
        return PROFILES[self.profile] if self.own is None else own_profile(self.own)

    def series(self, tag: str) -> Series:
        """The series that one of its quantities feeds."""
        quantity = self.quantity(tag)
        return Series(f"{self.name}/{tag}", quantity.unit, quantity.kind, quantity.series_decimals)

    def quantity(self, tag: str) -> Quantity:
        """What one of its tags means."""
        return self.format.quantities[tag]


@dataclass(frozen=True, slots=True)
class BleConfig:
    """All BLE devices of a gateway, and the adapters that something is said of."""

    devices: tuple[Device, ...] = ()
    adapters: tuple[AdapterConfig, ...] = ()
    health_ms: int = 0

    def adapter(self, name: str) -> AdapterConfig:
        """How an adapter is used."""
        return next((each for each in self.adapters if each.name == name), AdapterConfig(name))


def parse(section: Section) -> BleConfig:
    """Read the `ble:` section; faults go to the section's problems (for `parse_sections`)."""
    adapter = section.text("adapter", DEFAULT_ADAPTER, pattern=ADAPTER_PATTERN, hint=ADAPTER_HINT)
    adapters = parse_adapters(section)
    formats: Mapping[str, OwnFormat] = {}
    if section.has("formats"):
        # Late: most sites have none, and the decimals that these are read with cost memory.
        from headgate.ble.formats import read_formats

        formats = read_formats(section, PROFILES)
    devices = tuple(_device(each, formats, adapter) for each in section.sections("devices"))
    _refuse_twins("name", [device.name for device in devices], section)
    _refuse_twins("address", [f"{device.address} {device.profile}" for device in devices], section)
    health_ms = round(section.number("health_s", 0, low=0, high=MAX_INTERVAL_S) * 1000)
    section.close()
    return BleConfig(devices, adapters, health_ms)


def parse_mapping(config: Mapping[str, Any], source: str = "ble") -> BleConfig:
    """Read a `ble:` section on its own. Raises Reject with all faults."""
    problems = Problems(source)
    parsed = parse(Section(config, "ble", problems))
    problems.reject_if_any()
    return parsed


def _device(section: Section, formats: Mapping[str, OwnFormat], adapter: str) -> Device:
    name = section.text("name", pattern=NAME_PART.pattern, hint=_NAME_HINT)
    if name.startswith("_"):
        section.fault("name", f"{name!r} begins with _", "such names are the bridge's own")
    address = section.text("address", pattern=_ADDRESS, hint=_ADDRESS_HINT).upper()
    known = section.has("profile")
    chosen = section.choice("profile", (*PROFILES, *formats))
    own = None if chosen in PROFILES else formats[chosen]
    profile = PROFILES[chosen] if own is None else own_profile(own)
    if advice := missing(chosen):
        section.fault("profile", f"{chosen} needs the package {profile.package}", advice)
    device = Device(
        name=name,
        address=address,
        profile=profile.name,
        tags=_tags(section, profile, known),
        interval_ms=round(section.number("interval_s", 30.0, low=0.1, high=MAX_INTERVAL_S) * 1000),
        timeout_s=section.number("timeout_s", 10.0, low=0.1, high=60),
        bind_key=_bind_key(section, profile, known),
        adapter=section.text("adapter", adapter, pattern=ADAPTER_PATTERN, hint=ADAPTER_HINT),
        pair=section.boolean("pair", False),
        own=own,
    )
    kinds = {tag: device.quantity(tag).kind for tag in device.tags}
    patience, report = read_patience(section, device.interval_ms), read_rules(section, kinds)
    device = replace(device, patience=patience, report=report)
    section.close()
    return device


def _tags(section: Section, profile: Profile, known: bool) -> tuple[str, ...]:
    """The tags that become series: those listed, and the packet id wherever the format has one."""
    key, other = ("measurements", "tags") if profile.selects else ("tags", "measurements")
    if section.has(other) and known:
        section.fault(other, f"does not go with profile {profile.name}", f"use {key}")
    if not section.has(key):
        return profile.default
    listed = section.value(key)
    if not isinstance(listed, list) or not listed:
        section.fault(
            key, f"expected a list of tags, found {describe(listed)}", "leave it out for the usual ones"
        )
        return profile.default
    chosen = [profile.count_tag] if profile.count_tag else []
    for i, tag in enumerate(listed):
        if not isinstance(tag, str) or tag not in profile.quantities:
            if known:
                section.problems.add(f"{section.at(key)}[{i}]", f"unknown {tag!r}", _known_tags(profile))
        elif tag not in chosen:
            chosen.append(tag)
    return tuple(chosen)


def _known_tags(profile: Profile) -> str:
    plain = [tag for tag in profile.quantities if not re.search(r"_\d$", tag) or tag == "pm2_5"]
    return f"{profile.name} has " + ", ".join(plain)


def _bind_key(section: Section, profile: Profile, known: bool) -> bytes | None:
    if not section.has("bind_key"):
        return None
    if not profile.encrypts:
        if known:
            section.fault("bind_key", f"does not go with profile {profile.name}", "it has no encryption")
        return None
    text = section.value("bind_key")
    if not isinstance(text, str) or not re.fullmatch("[0-9A-Fa-f]{32}", text):
        section.fault("bind_key", "is no key", _KEY_HINT)  # never said back: it is a secret
        return None
    return bytes.fromhex(text)


def _refuse_twins(key: str, values: list[str], section: Section) -> None:
    first: dict[str, int] = {}
    for i, value in enumerate(values):
        if value.strip() and first.setdefault(value, i) != i:
            there = f"by {section.at('devices')}[{first[value]}]"
            section.problems.add(f"{section.at('devices')}[{i}].{key}", f"{value!r} is taken", there)
