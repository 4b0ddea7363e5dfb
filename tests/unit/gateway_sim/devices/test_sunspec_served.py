"""The simulated SunSpec devices: maps as the specification has them, and records that tell the truth."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from gateway_sim.devices.sunspec import END, MARK, SunSpecDevice, plant
from gateway_sim.devices.sunspec_models import COMMON, INVERTER, METER, MPPT, MPPT_MODULE, points, show

LENGTHS = {1: 66, 103: 50, 203: 105, 160: 8 + 20 * 3, 64_900: 4}
"""As the published models have them; 160 with three modules."""


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[list[SunSpecDevice]]:
    with plant(tmp_path, lambda: 12.5, modules=3) as made:
        yield made


def test_a_map_is_a_mark_then_models_then_an_end(devices: list[SunSpecDevice]) -> None:
    for device, expected in zip(devices, ([1, 103, 64_900, 160], [1, 203]), strict=True):
        registers, _ = device.snapshot()
        assert tuple(registers[:2]) == MARK
        at, seen = 2, []
        while registers[at] != END:
            seen.append(registers[at])
            assert registers[at + 1] == LENGTHS[registers[at]]
            at += 2 + registers[at + 1]
        assert seen == expected
        assert registers[at:] == [END, 0]


def test_a_scale_factor_changes_how_a_quantity_is_spelled(devices: list[SunSpecDevice]) -> None:
    spelled = set()
    for _ in range(3):
        registers, shown = devices[0].snapshot()
        power = next(each for each in shown if each.name == "inverter.W")
        scale = registers[power.offset + 1]
        spelled.add((registers[power.offset], scale - 0x10000 if scale > 0x7FFF else scale, power.meaning))
    assert len({scale for _, scale, _ in spelled}) == 3
    assert all(Decimal(meaning or "") == Decimal(raw).scaleb(scale) for raw, scale, meaning in spelled)


def test_points_lie_where_the_specification_puts_them() -> None:
    def offsets(text: str) -> dict[str, int]:
        shown = show(points(text), {}, {}, 2)
        return {each.name: each.offset for each in shown}

    assert offsets(COMMON)["SN"] == 50
    inverter = offsets(INVERTER)
    assert (inverter["W"], inverter["WH"], inverter["St"], inverter["EvtVnd4"]) == (14, 24, 38, 50)
    meter = offsets(METER)
    assert (meter["Hz"], meter["W"], meter["TotWhExp"], meter["Evt"]) == (16, 18, 38, 105)
    assert offsets(MPPT)["N"] == 8
    assert offsets(MPPT_MODULE)["DCEvt"] == 20


def test_what_a_device_does_not_have_is_said_so() -> None:
    shown = show(points("a:int16 b:uint16 c:acc32 d:bitfield32 e:string2 f:sunssf"), {}, {}, 0)
    assert [each.registers for each in shown] == [
        (0x8000,),
        (0xFFFF,),
        (0, 0),
        (0xFFFF, 0xFFFF),
        (0, 0),
        (0x8000,),
    ]
    assert {each.meaning for each in shown} == {None}
