"""What the registers of SunSpec models mean: published values, scale factors, absences, proofs."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.config import parse_mapping
from headgate.modbus.planner import Span
from headgate.modbus.sunspec.definitions import Definition, Point, PointGroup, index, load
from headgate.modbus.sunspec.options import SunSpec
from headgate.modbus.sunspec.reading import plan_proven
from headgate.modbus.sunspec.tags import counts, form_of, place, tags_of
from headgate.modbus.sunspec.walk import ModelAt, carried_at_once
from headgate.modbus.tags import Tag
from headgate.model import Quality, Value

GOOD, UNCERTAIN, BAD = 0, int(Quality.UNCERTAIN), int(Quality.BAD_VALUE)
BASE = 40_002

# pysunspec2 1.3.7, sunspec2/tests/test_data/device_1547.json, model 701: what its points say in registers.
PUBLISHED_701: dict[str, int] = {
    "ACType": 3,
    "St": 2,
    "Alrm": 0,
    "W": 9800,
    "VA": 10000,
    "Var": 200,
    "PF": 985,
    "A": 411,
    "LLV": 2400,
    "LNV": 2400,
    "Hz": 60010,
    "TotWhInj": 150,
    "TotWhAbs": 0,
    "TotVarhInj": 9,
    "TotVarhAbs": 0,
    "TmpAmb": 450,
    "TmpCab": 550,
    "TmpSnk": 650,
    "WL3": 3500,
    "VarL3": 40,
    "PFL3": 987,
    "VL3L1": 120,
    "TotWhInjL3": 51,
    "A_SF": -1,
    "V_SF": -1,
    "Hz_SF": -3,
    "W_SF": 0,
    "PF_SF": -3,
    "VA_SF": 0,
    "Var_SF": 0,
    "TotWh_SF": 3,
    "TotVarh_SF": 3,
    "Tmp_SF": -1,
}
CODES = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "uint64": "Q", "acc32": "I", "acc64": "Q"}
CODES |= {"sunssf": "h", "enum16": "H", "enum32": "I", "bitfield16": "H", "bitfield32": "I", "count": "H"}
CODES |= {"float32": "f", "pad": "H"}
ABSENT: dict[str, bytes] = {
    "int16": b"\x80\x00",
    "uint16": b"\xff\xff",
    "acc16": b"\x00\x00",
    "enum16": b"\xff\xff",
    "bitfield16": b"\xff\xff",
    "int32": b"\x80\x00\x00\x00",
    "uint32": b"\xff\xff\xff\xff",
    "acc32": b"\x00\x00\x00\x00",
    "enum32": b"\xff\xff\xff\xff",
    "bitfield32": b"\xff\xff\xff\xff",
    "int64": b"\x80\x00\x00\x00\x00\x00\x00\x00",
    "uint64": b"\xff\xff\xff\xff\xff\xff\xff\xff",
    "acc64": b"\x00\x00\x00\x00\x00\x00\x00\x00",
    "float32": b"\x7f\xc0\x00\x00",
    "sunssf": b"\x80\x00",
    "count": b"\xff\xff",
    "string": b"\x00" * 8,
}
"""pysunspec2 1.3.7, sunspec2/tests/test_mb.py, test_create_unimpl_value and the tests behind it."""


def options(**more: Any) -> SunSpec:
    device = {"name": "d", "transport": {"kind": "tcp", "host": "h"}, "sunspec": {"interval_s": 5} | more}
    (read,) = parse_mapping({"devices": [device]}).devices
    assert read.sunspec is not None
    return read.sunspec


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


def registers_of(number: int, values: Mapping[str, int | float], length: int) -> list[int]:
    """A model's registers: what is not in `values` is not implemented."""
    registers = [number, length]
    for point in load(number).group.points[2:]:
        if point.name in values:
            registers += words(struct.pack(f">{CODES[point.type]}", values[point.name]))
        elif point.type == "pad":
            registers += [0x8000]
        else:
            registers += words(
                ABSENT[point.type][:2] * point.size if point.type == "string" else ABSENT[point.type]
            )
    return registers


def tags_at(number: int, length: int, counted: Mapping[str, int] | None = None, **more: Any) -> list[Tag]:
    definition, model = load(number), ModelAt(number, BASE, length)
    placed = place(definition, model, counted or {})
    return tags_of(definition, definition.family, placed, model, options(models=[number], **more))


def read_all(
    tags: Sequence[Tag], registers: Sequence[int], *, max_count: int = 125, base: int = BASE
) -> dict[str, tuple[Value, int]]:
    """What every tag shows of a device that has these registers from `base` on."""
    found: dict[str, tuple[Value, int]] = {}
    for proven in plan_proven(tags, max_count=max_count, max_gap=16):
        row = [r for span in proven.spans for r in registers[span.address - base : span.end - base]]
        assert proven.holds(row)
        values, quality = proven.decode(row)
        for i, member in enumerate(proven.members):
            found[tags[member].name] = (values[i], quality[i] if quality else 0)
    return found


@pytest.mark.parametrize("max_count", [125, 60, 36])
def test_a_published_model_701(max_count: int) -> None:
    tags = tags_at(701, 153)
    found = read_all(tags, registers_of(701, PUBLISHED_701, 153), max_count=max_count)
    expected: dict[str, Value] = {
        "W": 9800.0,
        "VA": 10000.0,
        "PF": 0.985,
        "A": 41.1,
        "LLV": 240.0,
        "Hz": 60.01,
        "TotWhInj": 150_000.0,
        "TotVarhInj": 9000.0,
        "TmpAmb": 45.0,
        "WL3": 3500.0,
        "PFL3": 0.987,
        "VL3L1": 12.0,
        "TotWhInjL3": 51_000.0,
        "Alrm": 0,
        "TotWhAbs": 0.0,
    }
    for name, value in expected.items():
        assert found[f"der_ac.{name}"] == (value, GOOD), name
    # The definition ends at 2: a published example need not be one of the published symbols.
    assert found["der_ac.ACType"] == ("3", UNCERTAIN)
    assert found["der_ac.TmpOt"] == found["der_ac.ThrotPct"] == found["der_ac.MnAlrmInfo"] == (None, BAD)
    assert len(found) == len(tags)


@given(st.integers(0, 0xFFFE), st.integers(0, 0xFFFF))
def test_any_scale_factor_is_applied_or_the_value_is_none(raw: int, scale: int) -> None:
    power = scale - 0x10000 if scale > 0x7FFF else scale
    registers = registers_of(103, {"PhVphA": raw, "V_SF": power}, 50)
    wanted = (float(Fraction(raw) * Fraction(10) ** power), GOOD) if -10 <= power <= 10 else (None, BAD)
    assert read_all(tags_at(103, 50, points=["PhVphA"]), registers) == {"inverter.PhVphA": wanted}


@given(st.integers(0, (1 << 64) - 2), st.integers(-10, 10))
def test_a_scaled_value_is_the_double_nearest_to_the_exact_decimal(raw: int, power: int) -> None:
    registers = registers_of(701, {"TotWhInj": raw, "TotWh_SF": power}, 153)
    (found,) = read_all(tags_at(701, 153, points=["TotWhInj"]), registers).values()
    assert found == (float(Decimal(raw).scaleb(power)), GOOD if raw <= 1 << 53 else UNCERTAIN)


@pytest.mark.parametrize("number", [1, 103, 113, 122, 160, 203, 213, 701, 714, 802])
@given(st.data())
def test_any_registers_have_values_of_their_series_kinds(number: int, data: st.DataObject) -> None:
    length = load(number).group.size - 2 + (50 if load(number).group.groups else 0)
    body = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=length, max_size=length))
    tags = tags_at(number, length, {"NPrt": 2})
    kinds = {tag.name: tag.form.kind for tag in tags}
    for name, (value, quality) in read_all(tags, [number, length, *body]).items():
        assert quality in (GOOD, UNCERTAIN, BAD)
        assert (value is None) == (quality == BAD)
        assert value is None or type(value) is {"f64": float, "text": str}.get(kinds[name], int)


@pytest.mark.parametrize("kind", sorted(ABSENT))
def test_what_is_not_implemented_has_no_value(kind: str) -> None:
    size = len(ABSENT[kind]) // 2
    for scale in ("", "X_SF") if kind not in ("string", "float32", "sunssf", "enum16", "enum32") else ("",):
        points = (
            *(Point(name, "uint16", 1, "", "", True) for name in ("ID", "L")),
            Point("X_SF", "sunssf", 1, "", "", True),
            Point("X", kind, size, scale, "", True, ((1, "ON"),) if kind.startswith("enum") else ()),
        )
        definition = Definition(103, "inverter", "test", PointGroup("", None, points, ()))
        model = ModelAt(103, BASE, 1 + size)
        wanted = replace(options(models=[103]), points=frozenset({"X"}))
        tags = tags_of(definition, "inverter", place(definition, model, {}), model, wanted)
        head = [103, 1 + size, 0]
        assert read_all(tags, [*head, *words(ABSENT[kind])]) == {"inverter.X": (None, BAD)}
        (good,) = read_all(tags, [*head, *[0x4142] * size]).values()
        assert good[0] is not None
        assert good[1] == (UNCERTAIN if kind.startswith("enum") or (size == 4 and scale) else GOOD)


def test_symbols_are_texts_or_numbers_and_bitfields_are_numbers() -> None:
    registers = registers_of(103, {"St": 4, "StVnd": 77, "Evt1": 0b101}, 50)
    points = ["St", "StVnd", "Evt1"]
    as_text = read_all(tags_at(103, 50, points=points), registers)
    assert as_text == {"inverter.St": ("MPPT", 0), "inverter.StVnd": (77, 0), "inverter.Evt1": (5, 0)}
    as_number = read_all(tags_at(103, 50, points=points, enums="number"), registers)
    assert as_number["inverter.St"] == (4, GOOD)
    unknown = read_all(tags_at(103, 50, points=["St"]), registers_of(103, {"St": 99}, 50))
    assert unknown == {"inverter.St": ("99", UNCERTAIN)}


def test_a_float_model_has_the_series_of_the_integer_one() -> None:
    found = read_all(
        tags_at(113, 60, points=["W", "Hz"]), registers_of(113, {"W": 7203.5, "Hz": math.nan}, 60)
    )
    assert found == {"inverter.W": (7203.5, GOOD), "inverter.Hz": (None, BAD)}
    for family in ("inverter", "meter"):
        kinds: dict[str, set[tuple[str, str]]] = {}
        for number, entry in index().items():
            for point in load(number).group.points if entry.family == family else ():
                kinds.setdefault(point.name, set()).add((form_of(point).kind, point.unit))
        unlike = {name for name, found_kinds in kinds.items() if len(found_kinds) > 1}
        # The published meters give power factors in percent as integers and as numbers as floats.
        assert unlike == ({"PF", "PFphA", "PFphB", "PFphC"} if family == "meter" else set())


def test_modules_have_numbers_and_their_models_scale_factors() -> None:
    model = ModelAt(160, BASE, 8 + 20 * 9)
    body = [-1 & 0xFFFF, 0, -2 & 0xFFFF, 0, 0, 0, 9, 0]
    for module in range(1, 10):
        body += [module, *words(f"S{module}".encode().ljust(16, b"\0")), 10, 600, 1000 + module, 0, module]
        body += [0, 60, 0x8000, 4, 0, 0]
    registers = [160, 188, *body]
    counted = carried_at_once(
        counts(load(160), model), lambda span: registers[span.address - BASE : span.end - BASE]
    )
    tags = tags_at(160, 188, counted)
    for max_count in (125, 70, 12):
        found = read_all(tags, registers, max_count=max_count)
        for module in range(1, 10):
            assert found[f"mppt.module{module}.DCW"] == ((1000 + module) / 100, GOOD)
            assert found[f"mppt.module{module}.DCA"] == (1.0, GOOD)
            assert found[f"mppt.module{module}.IDStr"] == (f"S{module}", GOOD)
            assert found[f"mppt.module{module}.Tmp"] == (None, BAD)
        assert "mppt.module10.DCW" not in found


def test_groups_within_groups_lie_one_behind_the_other() -> None:
    def points(*names: str) -> tuple[Point, ...]:
        return tuple(Point(name, "uint16", 1, "", "", False) for name in names)

    inner = PointGroup("Pt", "NPt", points("V", "Var"), ())
    group = PointGroup(
        "", None, points("ID", "L", "NPt", "NCrv"), (PointGroup("Crv", "NCrv", points("Pri"), (inner,)),)
    )
    definition = Definition(705, "x", "x", group)
    model = ModelAt(705, 0, 2 + 2 * (1 + 2 * 3))
    counted = carried_at_once(counts(definition, model), lambda span: [3] if span.address == 2 else [2])
    assert counted == {"NPt": 3, "NCrv": 2}
    placed = {each.name: each.address for each in place(definition, model, counted)}
    assert placed["Crv1.Pri"] == 4
    assert placed["Crv1.Pt3.Var"] == 10
    assert placed["Crv2.Pri"] == 11
    assert placed["Crv2.Pt3.Var"] == 17
    # A device that counts more than its model is long for.
    assert "Crv3.Pri" not in {each.name for each in place(definition, model, {"NPt": 3, "NCrv": 9})}


def test_a_model_shorter_than_published_has_the_points_that_it_is_long_for() -> None:
    names = {each.name for each in place(load(701), ModelAt(701, 0, 121), {})}
    assert "Tmp_SF" in names
    assert "MnAlrmInfo" not in names
    # A value whose scale factor is not there any more would get the next model's register for one.
    names = {each.name for each in place(load(701), ModelAt(701, 0, 114), {})}
    assert {"W", "A", "A_SF", "ThrotSrc"} & names == {"A", "A_SF", "ThrotSrc"}


def test_a_scale_factor_that_changes_between_two_reads_gives_no_value() -> None:
    tags = tags_at(160, 8 + 20 * 9, {}, points=["DCW"])
    (far,) = [proven for proven in plan_proven(tags, max_count=125, max_gap=16) if len(proven.spans) > 1]
    before, main, after = far.spans
    row = [0] * sum(span.count for span in far.spans)
    row[0:2] = [160, 188]
    row[4] = 0  # DCW_SF
    row[before.count + main.count] = -1 & 0xFFFF
    assert after == Span(BASE + 4, 1)
    values, quality = far.decode(row)
    assert set(values) == {None}
    assert set(quality) == {UNCERTAIN}


@given(
    st.lists(st.sampled_from([1, 103, 120, 122, 160, 203, 213, 701, 714, 802]), min_size=1, max_size=6),
    st.integers(36, 125),
    st.integers(0, 20),
    st.booleans(),
)
def test_every_point_is_read_whole_with_its_model_and_its_scale(
    numbers: list[int], max_count: int, max_gap: int, together: bool
) -> None:
    address, tags = 2, []
    for number in numbers:
        definition = load(number)
        model = ModelAt(number, address, definition.group.size - 2 + (75 if definition.group.groups else 0))
        placed = place(definition, model, {"NPrt": 3})
        tags += tags_of(definition, f"{definition.family}{address}", placed, model, options(models=[number]))
        address = model.span.end
    seen: list[int] = []
    for proven in plan_proven(tags, max_count=max_count, max_gap=max_gap, together=together):
        assert all(0 < span.count <= max_count for span in proven.spans)
        row = [address for span in proven.spans for address in range(span.address, span.end)]
        main = proven.spans[proven.main]
        for i in proven.members:
            tag = tags[i]
            assert tag.head is not None
            assert main.address <= tag.address
            assert tag.address + tag.count <= main.end
            assert tag.scale is None or tag.scale in row
            assert any(
                row[at] == tag.head.address and (number, length) == (tag.head.id, tag.head.length)
                for at, number, length in proven.heads
            )
        if not together:
            assert len({tags[i].head for i in proven.members}) == 1
        seen += proven.members
    assert sorted(seen) == list(range(len(tags)))
