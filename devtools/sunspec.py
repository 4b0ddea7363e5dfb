"""`python -m devtools.sunspec WHEEL`: writes headgate/modbus/sunspec/models/ from pysunspec2's definitions.

WHEEL is the file that `pip download --no-deps pysunspec2==1.3.7` brings. What a gateway needs of a definition
is kept (docs/decisions/0038-sunspec.md): where each point lies, its type, scale factor, unit and symbols.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devtools.paths import ROOT

TARGET = ROOT / "headgate" / "modbus" / "sunspec" / "models"
WHEEL_SHA256 = "4bc5029ac2ee9ec8ea7bf7e4623c0fc269244c2f0292b2b7dca8588a4287eeeb"
SOURCE = (
    "SunSpec Alliance, github.com/sunspec/models at 7abdf89 as pysunspec2 1.3.7 carries it; Apache-2.0; "
    "reduced by devtools/sunspec.py"
)

FAMILIES: Mapping[str, Sequence[int]] = {
    "common": [1],
    "inverter": [101, 102, 103, 111, 112, 113],
    "nameplate": [120],
    "settings": [121],
    "status": [122],
    "controls": [123],
    "storage": [124],
    "mppt": [160],
    "meter": [201, 202, 203, 204, 211, 212, 213, 214],
    "irradiance": [302],
    "back_temperature": [303],
    "inclinometer": [304],
    "location": [305],
    "reference": [306],
    "weather": [307],
    "weather_mini": [308],
    "combiner": [401, 402, 403, 404],
    "panel": [501, 502],
    "der_ac": [701],
    "der_capacity": [702],
    "der_enter_service": [703],
    "der_controls": [704],
    "der_storage": [713],
    "der_dc": [714],
    "battery": [802],
    "battery_bank": [803],
    "battery_string": [804],
    "battery_module": [805],
}
"""The models that are kept, under the words by which a site document and series name them."""
NOT_MEASURED = {
    *("common", "nameplate", "settings", "controls", "storage", "location"),
    *("der_capacity", "der_enter_service", "der_controls"),
}
"""What says how a device is made or set: read where it is asked for."""
GROUPS = {"lithium_ion_string_module": "module", "lithium-ion-module-cell": "cell", "repeating": "sensor"}
"""Shorter words for groups."""
UNITS = {
    "Secs": "s",
    "Sec": "s",
    "secs": "s",
    "C": "°C",
    "Pct": "%",
    "Var": "var",
    "Varh": "varh",
    "WH": "Wh",
    "AH": "Ah",
    "PF": "1",
    "cos()": "1",
    "ohms": "Ω",
    "Ohms": "Ω",
    "Degrees": "°",
    "DD": "°",
    "W/m2": "W/m²",
    "meters": "m",
    "mps": "m/s",
    "HPa": "hPa",
    "Vm": "V/m",
    "kO": "kΩ",
    "deg": "°",
    **dict.fromkeys(("text", "YYYYMMDD", "hhmmss.sssZ"), ""),
}
"""Units as the rest of the gateway spells them."""
TYPES = {
    *("int16", "int32", "int64", "uint16", "uint32", "uint64", "acc16", "acc32", "acc64", "count", "pad"),
    *("float32", "float64", "enum16", "enum32", "bitfield16", "bitfield32", "bitfield64", "string", "sunssf"),
}


def main(argv: Sequence[str]) -> int:
    """Write one file for each model, and an index of them."""
    (wheel,) = map(Path, argv)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
        print(f"{wheel} is not the release that devtools/sunspec.py names", file=sys.stderr)
        return 1
    TARGET.mkdir(exist_ok=True)
    for old in TARGET.glob("*.json"):
        old.unlink()
    (TARGET / "index.json").write_text(_index(), "utf-8")
    with zipfile.ZipFile(wheel) as archive:
        for family, numbers in FAMILIES.items():
            for number in numbers:
                found = json.loads(archive.read(f"sunspec2/models/json/model_{number}.json"))
                (TARGET / f"{number}.json").write_text(_file(number, family, found["group"]), "utf-8")
    return 0


def _index() -> str:
    """{id: [family, whether it is measured]}, so that no model is read just to know of it."""
    rows = {
        number: [family, family not in NOT_MEASURED] for family, ids in FAMILIES.items() for number in ids
    }
    lines = ",\n".join(f" {json.dumps(str(number))}: {json.dumps(rows[number])}" for number in sorted(rows))
    return "{\n" + lines + "\n}\n"


def _file(number: int, family: str, group: Mapping[str, Any]) -> str:
    head = {
        "id": number,
        "family": family,
        "label": group.get("label", group["name"]),
        "source": SOURCE,
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    return "{\n" + "\n".join(lines) + "\n" + _group(group, " ", top=True) + "\n}\n"


def _group(group: Mapping[str, Any], indent: str, *, top: bool = False) -> str:
    """The keys of a group, a line for each point: one that changes is a line that changes."""
    points = ",\n".join(f"{indent} {json.dumps(_point(p), ensure_ascii=False)}" for p in group["points"])
    parts = []
    if not top:
        name = GROUPS.get(group["name"], group["name"])
        parts.append(f'{indent}"name": {json.dumps(name)}, "count": {json.dumps(group.get("count"))}')
    parts.append(f'{indent}"points": [\n{points}\n{indent}]')
    inner = ["{\n" + _group(each, indent + " ") + "}" for each in group.get("groups", ())]
    parts.append(f'{indent}"groups": [{", ".join(inner)}]')
    return ",\n".join(parts)


def _point(point: Mapping[str, Any]) -> list[Any]:
    """[name, type, registers, scale factor, unit, mandatory, symbols by number]."""
    if point["type"] not in TYPES:
        raise ValueError(f"{point['name']}: type {point['type']} is not known here")
    unit = point.get("units", "").strip()
    unit = UNITS.get(unit, unit)
    row: list[Any] = [point["name"], point["type"], point["size"], point.get("sf", ""), unit[:16]]
    symbols = {str(each["value"]): each["name"] for each in point.get("symbols", ())}
    return (
        [*row, int(point.get("mandatory") == "M"), symbols]
        if symbols
        else [*row, int(point.get("mandatory") == "M")]
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
