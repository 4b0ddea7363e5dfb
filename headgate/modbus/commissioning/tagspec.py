"""Tags as a technician types them: `u:30001:float32`, `holding:0:float32:cdab`, `holding:0:10`; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headgate.config.reader import Problems, Section
from headgate.errors import Reject
from headgate.modbus.commissioning.ranges import TableSpan
from headgate.modbus.config import MAX_BITS, MAX_REGISTERS
from headgate.modbus.forms import LETTERS, Orders
from headgate.modbus.planner import Span
from headgate.modbus.tags import ADDRESSES, BIT_TABLES, TABLES, Table, Tag, read_tag

GRAMMAR = "[NAME:](TABLE:ADDRESS|REGISTER)[:TYPE|:COUNT][:ORDER][:KEY=VALUE ...]"
KEYS = ("unit", "scale", "offset", "decimals", "bit", "length", "mask", "encoding", "not_available")


@dataclass(frozen=True, slots=True)
class Spec:
    """What one argument asks for: registers (or bits), and the tag that lies there, if a type was given."""

    name: str
    where: TableSpan
    tag: Tag | None


def read_spec(text: str) -> Spec:
    """One argument. Reject names what is wrong with it, with the grammar."""
    problems = Problems(f"tag {text!r} ({GRAMMAR})")
    parts = text.split(":")
    name = ""
    if len(parts) > 1 and parts[0] not in TABLES and not re.fullmatch(r"\d+", parts[0]):
        name = parts.pop(0)
    row: dict[str, object] = {}
    if parts and parts[0] in TABLES:
        row["table"] = parts.pop(0)
        row["address"] = parts.pop(0) if parts else None
    else:
        row["register"] = parts.pop(0) if parts else ""
    kind = parts.pop(0) if parts else ""
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "order", part
        if key not in (*KEYS, "order"):
            problems.add(
                part, "is neither an order nor a key", f"orders are {', '.join(LETTERS)}; keys {KEYS}"
            )
        row[key] = value
    return _spec(name, row, kind, problems)


def read_specs(texts: list[str]) -> list[Spec]:
    """All arguments. Reject: the first that is wrong, or a name that is there twice."""
    specs = [read_spec(text) for text in texts]
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise Reject(f"tag {name!r} is asked for twice: give each a name of its own, NAME:...")
    return specs


def _spec(name: str, row: dict[str, object], kind: str, problems: Problems) -> Spec:
    raw = int(kind) if kind.isdecimal() else 0
    if not kind:
        raw = 1
    # A raw read is read as a tag of one register, so that its place is checked as any other's.
    bits = row.get("table") in BIT_TABLES or str(row.get("register", "")).startswith(("0", "1"))
    type_name = ("bool" if bits else "uint16") if raw else kind
    section = Section({"name": name or "x", **row, "type": type_name}, "", problems)
    tag = read_tag(section, Orders(), None, {})
    most = MAX_BITS if bits else MAX_REGISTERS
    if raw > min(most, ADDRESSES - tag.address):
        problems.add("COUNT", f"{raw} is too many for one read", f"at most {most}")
    problems.reject_if_any()
    count = raw or tag.count
    where = TableSpan(tag.table, Span(tag.address, count))
    return Spec(name or str(where), where, None if raw else tag)


def raw_spec(table: Table, address: int, count: int) -> Spec:
    """Registers without a type."""
    where = TableSpan(table, Span(address, count))
    return Spec(str(where), where, None)
