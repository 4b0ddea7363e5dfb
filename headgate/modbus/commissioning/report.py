"""What was found and read, as rows of tables and as JSON; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.modbus.commissioning.identity import Identity, object_name, readable
from headgate.modbus.commissioning.orders import InOrder
from headgate.modbus.commissioning.reading import Reading
from headgate.modbus.commissioning.scan import FoundUnit, described, likeliest
from headgate.modbus.inquiry import OBJECT_NAMES
from headgate.modbus.sunspec.walk import Map
from headgate.modbus.tags import BIT_TABLES
from headgate.model import Quality, Value

FOUND_HEAD = ("Line", "Unit", "Answer", "Says it is", "Plausible profiles")
READ_HEAD = ("Tag", "Value", "Where", "Registers")
ORDER_HEAD = ("Where", "Order")
_ROW = 8
"""Registers in a line of a raw read."""


def found_rows(found: Sequence[FoundUnit]) -> list[tuple[str, ...]]:
    """What a scan found."""
    rows: list[tuple[str, ...]] = []
    for each in found:
        says = each.identity.title()
        if each.sunspec is not None:
            who = str(each.sunspec.identity) if each.sunspec.identity.manufacturer and not says else says
            says = ", ".join(filter(None, (who, f"SunSpec at {each.sunspec.base}")))
        likely = likeliest(each.trials)
        trials = ", ".join(trial.profile for trial in likely)
        if len(each.trials) > len(likely):
            trials += f" ({len(each.trials) - len(likely)} less likely)"
        rows.append((described(each.transport), str(each.unit), each.answer, says or "-", trials or "-"))
    return rows


def reading_rows(readings: Sequence[Reading]) -> list[tuple[str, ...]]:
    """What was read: value with unit, where it lies, registers as they came."""
    rows: list[tuple[str, ...]] = []
    for each in readings:
        where = str(each.spec.where)
        if each.error:
            rows.append((each.spec.name, "-", where, each.error))
            continue
        bits = each.spec.where.table in BIT_TABLES
        words = [str(int(word)) if bits else f"{word:04x}" for word in each.registers]
        first = (each.spec.name, _value(each), where)
        for at in range(0, len(words), _ROW):
            head = first if at == 0 else ("", "", "")
            rows.append((*head, " ".join(words[at : at + _ROW])))
    return rows


def reading_json(reading: Reading) -> dict[str, Any]:
    """A reading for `--json`."""
    span = reading.spec.where.span
    row: dict[str, Any] = {
        "name": reading.spec.name,
        "table": reading.spec.where.table,
        "address": span.address,
        "count": span.count,
    }
    if reading.error:
        return {**row, "error": reading.error}
    row["registers"] = [int(word) for word in reading.registers]
    if reading.spec.tag is not None:
        row |= {
            "value": reading.value,
            "unit": reading.spec.tag.unit,
            "quality": reading.quality.name.lower(),
        }
    return row


def order_rows(where: str, orders: Sequence[InOrder]) -> list[tuple[str, ...]]:
    """The same registers in each order."""
    return [
        (where if i == 0 else "", each.order, *(number(value) for value in each.values.values()))
        for i, each in enumerate(orders)
    ]


def identity_rows(identity: Identity) -> list[tuple[str, str]]:
    """What a unit says of itself."""
    rows = [
        (
            object_name(key).replace("_", " ") if key in OBJECT_NAMES else f"object 0x{key:02x}",
            readable(value),
        )
        for key, value in sorted(identity.objects.items())
    ]
    if identity.server_id is not None:
        rows.append(("server id", f"{identity.server_id.hex(' ')} {_letters(identity.server_id)}"))
    return [*rows, *_sunspec_rows(identity.sunspec)]


def _sunspec_rows(found: Map | None) -> list[tuple[str, str]]:
    if found is None:
        return [("SunSpec", "no marker")]
    if not found.models:
        return [("SunSpec", f"marker at holding:{found.base}, and no models behind it")]
    models = " ".join(str(model.id) for model in found.models)
    where = ("SunSpec", f"marker at holding:{found.base}, models {models}")
    return [where, ("SunSpec device", str(found.identity))] if found.identity.manufacturer else [where]


def number(value: Value) -> str:
    """A value as people read it."""
    if isinstance(value, float):
        return f"{value:.7g}"
    return "no value" if value is None else str(value)


def _value(reading: Reading) -> str:
    tag = reading.spec.tag
    if tag is None:
        return ""
    if tag.form.kind == "f64" and tag.form.decimals is not None and isinstance(reading.value, float):
        text = f"{reading.value:.{tag.form.decimals}f}"
    else:
        text = number(reading.value)
    if reading.value is not None and tag.unit not in ("", "1"):
        text += f" {tag.unit}"
    return text if reading.quality in (Quality.GOOD, Quality.BAD_VALUE) else f"{text} (uncertain)"


def _letters(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
