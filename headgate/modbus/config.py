"""The `modbus:` section of a site document as frozen types: devices, their poll groups, their tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.config.reader import Problems, Section
from headgate.modbus.forms import Orders, read_orders
from headgate.modbus.profiles import expanded
from headgate.modbus.sunspec.definitions import index
from headgate.modbus.sunspec.options import SunSpec, read_sunspec
from headgate.modbus.tags import BIT_TABLES, KnownTags, Tag, read_name, read_tag
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Transport, read_transport, refuse_torn_lines

MAX_REGISTERS = 125
MAX_BITS = 2000
"""Most registers and bits of one read (Modbus Application Protocol V1.1b3, 6.1 and 6.3)."""
MAX_INTERVAL_S = 86_400.0
MIN_STALE_S = 60.0
STALE_INTERVALS = 3
"""A group that says nothing of its own is stale after so many intervals, but not before MIN_STALE_S."""
MAX_STALE_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Group:
    """Tags of one device that are read at one rate; after `stale_ms` without word of them they are stale."""

    name: str
    interval_ms: int
    tags: tuple[Tag, ...]
    stale_ms: int


@dataclass(frozen=True, slots=True)
class Device:
    """One unit on one transport. `max_gap`: most unasked registers in a row that one read steps over.

    `timeout_s` is a reply's. `single_connection`: the connection is closed whenever nothing is due.
    `sunspec`: what is polled of its SunSpec models, whose groups are added when they are found.
    """

    name: str
    transport: Transport
    unit: int
    connect_timeout_s: float
    timeout_s: float
    retries: int
    pause_after_connect_s: float
    pause_between_requests_s: float
    single_connection: bool
    max_registers: int
    max_bits: int
    max_gap: int
    groups: tuple[Group, ...]
    sunspec: SunSpec | None = None


@dataclass(frozen=True, slots=True)
class ModbusConfig:
    """All Modbus devices of a gateway."""

    devices: tuple[Device, ...] = ()


def parse(section: Section) -> ModbusConfig:
    """Read the `modbus:` section; faults go to the section's problems (for `parse_sections`)."""
    known: KnownTags = {}
    devices = tuple(_device(each, known) for each in section.sections("devices"))
    _refuse_twins(
        [(d.name, f"{section.at('devices')}[{i}]") for i, d in enumerate(devices)], section.problems
    )
    refuse_torn_lines(
        [(f"{section.at('devices')}[{i}].transport", device.transport) for i, device in enumerate(devices)],
        section,
    )
    _refuse_broadcasts(devices, section)
    section.close()
    return ModbusConfig(devices)


def parse_mapping(config: Mapping[str, Any], source: str = "modbus") -> ModbusConfig:
    """Read a `modbus:` section on its own. Raises Reject with all faults."""
    problems = Problems(source)
    parsed = parse(Section(config, "modbus", problems))
    problems.reject_if_any()
    return parsed


def _device(section: Section, known: KnownTags) -> Device:
    section = expanded(section)
    orders = read_orders(section, Orders())
    base = section.integer("base", low=0, high=1) if section.has("base") else None
    device = Device(
        name=read_name(section),
        transport=read_transport(section.section("transport", required=True)),
        unit=section.integer("unit", 1, low=0, high=255),
        connect_timeout_s=section.number("connect_timeout_s", 3.0, low=0.01, high=60),
        timeout_s=section.number("timeout_s", 1.0, low=0.01, high=60),
        retries=section.integer("retries", 1, low=0, high=10),
        pause_after_connect_s=section.number("pause_after_connect_s", 0.0, low=0, high=10),
        pause_between_requests_s=section.number("pause_between_requests_s", 0.0, low=0, high=10),
        single_connection=section.boolean("single_connection", False),
        max_registers=section.integer("max_registers", MAX_REGISTERS, low=4, high=MAX_REGISTERS),
        max_bits=section.integer("max_bits", MAX_BITS, low=1, high=MAX_BITS),
        max_gap=section.integer("max_gap", 16, low=0, high=MAX_REGISTERS),
        groups=tuple(
            _group(each, orders, base, known)
            for each in section.sections("groups", required=not section.has("sunspec"))
        ),
        sunspec=read_sunspec(section.section("sunspec"), MAX_INTERVAL_S, MAX_STALE_S)
        if section.has("sunspec")
        else None,
    )
    groups = [(group.name, f"{section.at('groups')}[{i}]") for i, group in enumerate(device.groups)]
    _refuse_twins(groups, section.problems)
    tags = [
        (tag.name, f"{section.at('groups')}[{i}].tags[{j}]")
        for i, group in enumerate(device.groups)
        for j, tag in enumerate(group.tags)
    ]
    _refuse_twins(tags, section.problems)
    if device.sunspec is not None:
        _refuse_sunspec_names(tags, section.problems)
    _refuse_long_values(device, section)
    section.close()
    return device


def _group(section: Section, orders: Orders, base: int | None, known: KnownTags) -> Group:
    name = read_name(section)
    interval_s = section.number("interval_s", low=0.01, high=MAX_INTERVAL_S)
    stale_s = section.number(
        "stale_s", max(STALE_INTERVALS * interval_s, MIN_STALE_S), low=0.1, high=MAX_STALE_S
    )
    if stale_s < interval_s:
        section.fault("stale_s", f"{stale_s:g} is less than interval_s", f"at least {interval_s:g}")
    tags = tuple(read_tag(each, orders, base, known) for each in section.sections("tags", required=True))
    if section.has("tags") and not tags:
        section.fault("tags", "is empty", "name at least one tag, or leave the group out")
    section.close()
    return Group(name, max(1, round(interval_s * 1000)), tags, round(stale_s * 1000))


def _refuse_twins(names: list[tuple[str, str]], problems: Problems) -> None:
    seen: dict[str, str] = {}
    for name, path in names:
        if name and name in seen:
            problems.add(f"{path}.name", f"{name!r} is taken", f"by {seen[name]}")
        seen.setdefault(name, path)


def _refuse_sunspec_names(tags: list[tuple[str, str]], problems: Problems) -> None:
    """The names that SunSpec's points get are not known yet."""
    families = {entry.family for entry in index().values()}
    for name, path in tags:
        if "." in name and name.partition(".")[0].rstrip("0123456789") in families:
            problems.add(f"{path}.name", f"{name!r} may be that of a SunSpec point", "choose another")


def _refuse_long_values(device: Device, section: Section) -> None:
    """A value is read at once, so it fits one read of its device."""
    for i, group in enumerate(device.groups):
        for j, tag in enumerate(group.tags):
            if tag.table not in BIT_TABLES and tag.count > device.max_registers:
                section.problems.add(
                    f"{section.at('groups')}[{i}].tags[{j}].length",
                    f"{tag.count} registers do not fit one read of this device",
                    f"max_registers is {device.max_registers}",
                )


def _refuse_broadcasts(devices: tuple[Device, ...], section: Section) -> None:
    """Nobody answers a broadcast (Modbus over Serial Line V1.02, 2.1)."""
    for i, device in enumerate(devices):
        if device.unit == 0 and isinstance(device.transport, Rtu | Ascii | RtuOverTcp):
            path = f"{section.at('devices')}[{i}].unit"
            section.problems.add(path, "0 is a broadcast on a serial line", "units have 1 to 247")
