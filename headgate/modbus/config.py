"""The `modbus:` section of a site document as frozen types: devices, their poll groups, their tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headgate.config.reader import Problems, Section
from headgate.modbus.codec import BOOL, TYPES
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Transport, read_transport, refuse_torn_lines
from headgate.model import NAME_PART, Kind, Series

Table = Literal["coil", "discrete", "holding", "input"]
TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
BIT_TABLES: tuple[Table, ...] = ("coil", "discrete")
MAX_REGISTERS = 125
MAX_BITS = 2000
"""Most registers and bits of one read (Modbus Application Protocol V1.1b3, 6.1 and 6.3)."""
MAX_INTERVAL_S = 86_400.0
_NAME_HINT = "1 to 64 of A-Z a-z 0-9 _ . -"
_TYPE_NAMES = (*TYPES, BOOL)


@dataclass(frozen=True, slots=True)
class Tag:
    """One value of a device. `decimals`: the value is the register's integer / 10^decimals."""

    name: str
    table: Table
    address: int
    type: str
    decimals: int | None
    unit: str

    @property
    def kind(self) -> Kind:
        """The series' kind: f64 when scaled, else the type's own."""
        if self.type == BOOL:
            return "bool"
        return TYPES[self.type].kind if self.decimals is None else "f64"

    @property
    def count(self) -> int:
        """Registers, or bits, that the value takes."""
        return 1 if self.type == BOOL else TYPES[self.type].registers


@dataclass(frozen=True, slots=True)
class Group:
    """Tags of one device that are read at one rate."""

    name: str
    interval_ms: int
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """One unit on one transport. `max_gap`: most unasked registers in a row that one read steps over.

    `timeout_s` is a reply's. `single_connection`: the connection is closed whenever nothing is due.
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

    def series(self, tag: Tag) -> Series:
        """The series that a tag of this device feeds."""
        return Series(f"{self.name}/{tag.name}", tag.unit, tag.kind, tag.decimals)


@dataclass(frozen=True, slots=True)
class ModbusConfig:
    """All Modbus devices of a gateway."""

    devices: tuple[Device, ...] = ()


def parse(section: Section) -> ModbusConfig:
    """Read the `modbus:` section; faults go to the section's problems (for `parse_sections`)."""
    devices = tuple(_device(each) for each in section.sections("devices"))
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


def _device(section: Section) -> Device:
    device = Device(
        name=_name(section),
        transport=read_transport(section.section("transport", required=True)),
        unit=section.integer("unit", 1, low=0, high=255),
        connect_timeout_s=section.number("connect_timeout_s", 3.0, low=0.01, high=60),
        timeout_s=section.number("timeout_s", 1.0, low=0.01, high=60),
        retries=section.integer("retries", 1, low=0, high=10),
        pause_after_connect_s=section.number("pause_after_connect_s", 0.0, low=0, high=60),
        pause_between_requests_s=section.number("pause_between_requests_s", 0.0, low=0, high=60),
        single_connection=section.boolean("single_connection", False),
        max_registers=section.integer("max_registers", MAX_REGISTERS, low=4, high=MAX_REGISTERS),
        max_bits=section.integer("max_bits", MAX_BITS, low=1, high=MAX_BITS),
        max_gap=section.integer("max_gap", 16, low=0, high=MAX_REGISTERS),
        groups=tuple(_group(each) for each in section.sections("groups", required=True)),
    )
    groups = [(group.name, f"{section.at('groups')}[{i}]") for i, group in enumerate(device.groups)]
    _refuse_twins(groups, section.problems)
    tags = [
        (tag.name, f"{section.at('groups')}[{i}].tags[{j}]")
        for i, group in enumerate(device.groups)
        for j, tag in enumerate(group.tags)
    ]
    _refuse_twins(tags, section.problems)
    section.close()
    return device


def _group(section: Section) -> Group:
    name = _name(section)
    interval_s = section.number("interval_s", low=0.01, high=MAX_INTERVAL_S)
    tags = tuple(_tag(each) for each in section.sections("tags", required=True))
    if section.has("tags") and not tags:
        section.fault("tags", "is empty", "name at least one tag, or leave the group out")
    section.close()
    return Group(name, max(1, round(interval_s * 1000)), tags)


def _tag(section: Section) -> Tag:
    name = _name(section)
    table = section.choice("table", TABLES)
    bits = table in BIT_TABLES
    type_name = section.choice("type", _TYPE_NAMES, BOOL if bits else None)
    if section.has("type") and bits != (type_name == BOOL):
        fits = BOOL if bits else ", ".join(TYPES)
        section.fault("type", f"{type_name!r} does not lie in table {table}", f"there lie {fits}")
        type_name = BOOL if bits else "uint16"
    decimals = section.integer("decimals", low=0, high=15) if section.has("decimals") else None
    if decimals is not None and (type_name == BOOL or TYPES[type_name].code in "fd"):
        section.fault("decimals", f"does not go with type {type_name}", "only integers are scaled")
        decimals = None
    count = 1 if type_name == BOOL else TYPES[type_name].registers
    tag = Tag(
        name=name,
        table=table,
        address=section.integer("address", low=0, high=65_536 - count),
        type=type_name,
        decimals=decimals,
        unit=section.text("unit", "", pattern=r".{0,16}", hint="at most 16 characters"),
    )
    section.close()
    return tag


def _name(section: Section) -> str:
    return section.text("name", pattern=NAME_PART.pattern, hint=_NAME_HINT)


def _refuse_twins(names: list[tuple[str, str]], problems: Problems) -> None:
    seen: dict[str, str] = {}
    for name, path in names:
        if name and name in seen:
            problems.add(f"{path}.name", f"{name!r} is taken", f"by {seen[name]}")
        seen.setdefault(name, path)


def _refuse_broadcasts(devices: tuple[Device, ...], section: Section) -> None:
    """Nobody answers a broadcast (Modbus over Serial Line V1.02, 2.1)."""
    for i, device in enumerate(devices):
        if device.unit == 0 and isinstance(device.transport, Rtu | Ascii | RtuOverTcp):
            path = f"{section.at('devices')}[{i}].unit"
            section.problems.add(path, "0 is a broadcast on a serial line", "units have 1 to 247")
