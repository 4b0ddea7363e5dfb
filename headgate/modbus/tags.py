"""A tag of the site document: what it is called, where its value lies, and in which form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from headgate.config.reader import Section
from headgate.deadband import Deadband, read_deadband
from headgate.modbus.forms import Orders, read_form
from headgate.modbus.rules import RegisterRule, read_write_rule
from headgate.modbus.types import BOOL, TYPES, Form
from headgate.model import NAME_PART

Table = Literal["coil", "discrete", "holding", "input"]
TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
BIT_TABLES: tuple[Table, ...] = ("coil", "discrete")
ADDRESSES = 65_536
"""Addresses of a table (Modbus Application Protocol V1.1b3, 4.4)."""
_NAME_HINT = "1 to 64 of A-Z a-z 0-9 _ . -"
_TYPE_NAMES = (*TYPES, BOOL)
_NOTATION: dict[str, Table] = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
"""Tables by the first digit of a register's number, as manuals have it since the first Modbus controllers."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a device says which registers follow: a model of SunSpec, whose id is at `address`."""

    address: int
    id: int
    length: int


@dataclass(frozen=True, slots=True)
class Tag:
    """One value of a device. `address` is that on the wire: from 0.

    `scale`: the register of its power of ten. `head`: what must be found with the value, or it is another.
    """

    name: str
    table: Table
    address: int
    form: Form
    unit: str
    deadband: Deadband | None = None
    write: RegisterRule | None = None
    scale: int | None = None
    head: Head | None = None

    @property
    def count(self) -> int:
        """Registers, or bits, that the value takes."""
        return self.form.count


def read_name(section: Section) -> str:
    """A part of a series' name."""
    return section.text("name", pattern=NAME_PART.pattern, hint=_NAME_HINT)


KnownTags = dict[tuple[str, str, int, int, str, Deadband | None, RegisterRule | None], "Tag"]
"""Tags by what they are, a form by its identity: equal devices share theirs, and a site has many."""


def read_tag(section: Section, orders: Orders, base: int | None, known: KnownTags) -> Tag:
    """Read a tag. `orders` and `base` are its device's; `base`: the number of a table's first register.

    Without a base, addresses are from 0, as on the wire, and registers from 40001, as in manuals.
    """
    name = read_name(section)
    digits = _digits(section) if section.has("register") else None
    table = section.choice("table", TABLES) if digits is None else _numbered_table(section, digits)
    form = read_form(section, _type(section, table), orders)
    address = _address(section, form, base) if digits is None else _number(section, digits, form, base)
    unit = section.text("unit", "", pattern=r".{0,16}", hint="at most 16 characters")
    deadband, write = (
        read_deadband(section, form.kind, f"type {form.type}"),
        read_write_rule(section, form, table),
    )
    section.close()
    key = (name, table, address, id(form), unit, deadband, write)
    return known.setdefault(key, Tag(name, table, address, form, unit, deadband, write))


def _type(section: Section, table: Table) -> str:
    bits = table in BIT_TABLES
    name = section.choice("type", _TYPE_NAMES, BOOL if bits else None)
    if section.has("type") and bits != (name == BOOL):
        fits = BOOL if bits else ", ".join(TYPES)
        section.fault("type", f"{name!r} does not lie in table {table}", f"there lie {fits}")
        return BOOL if bits else "uint16"
    return name


def _address(section: Section, form: Form, base: int | None) -> int:
    first = base or 0
    address = section.integer("address", low=first, high=first + ADDRESSES - max(1, form.count))
    return address - first


def _digits(section: Section) -> str:
    """The digits of `register`; empty where they are none."""
    value = section.value("register")
    digits = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if re.fullmatch(r"[0134]\d{4,5}", digits, re.ASCII):
        return digits
    hint = '5 or 6 digits: 40001 holding, 30001 input, 10001 discrete, "00001" (in quotes) coil'
    section.fault("register", f"{value!r} is no register's number", hint)
    return ""


def _numbered_table(section: Section, digits: str) -> Table:
    """The table of a register's number; of a wrong one, a table in which the type can lie."""
    if not digits:
        return "holding" if section.has("type") and section.value("type") != BOOL else "coil"
    table = _NOTATION[digits[0]]
    if section.has("table") and section.value("table") != table:
        section.fault(
            "table", f"{section.value('table')!r} is not that of register {digits}", f"it is {table}"
        )
    return table


def _number(section: Section, digits: str, form: Form, base: int | None) -> int:
    """The address on the wire of a register's number."""
    if section.has("address"):
        section.fault("address", "says what register says", "give one of them")
    if not digits:
        return 0
    first = 1 if base is None else base
    width = len(digits) - 1
    last = min(first + ADDRESSES - max(1, form.count), 10**width - 1)
    if not first <= int(digits[1:]) <= last:
        allowed = f"{digits[0]}{first:0{width}} to {digits[0]}{last:0{width}}"
        section.fault("register", f"{digits} is out of range", allowed)
        return 0
    return int(digits[1:]) - first
