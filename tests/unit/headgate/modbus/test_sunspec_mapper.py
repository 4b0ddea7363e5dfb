"""A SunSpec device that comes, goes, changes and is another: what the driver polls and says then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.driver import Request
from headgate.errors import HeadgateError
from headgate.modbus.client import ExceptionReply, NoReply
from headgate.modbus.sunspec.walk import END, MARK
from headgate.model import Quality
from tests.support.modbus_bus import TCP, BusWorld, Sent

COMM, CONFIG = int(Quality.BAD_COMM), int(Quality.BAD_CONFIG)
W, W_SF, WH = 14, 15, 24
"""Offsets in model 103."""


class Inverter:
    """Models at a base; `points` by (model's place, offset in it)."""

    def __init__(self, *models: tuple[int, int], base: int = 40_000) -> None:
        self.base = base
        self.models = list(models)
        self.points: dict[tuple[int, int], int] = {}
        self.most = 125
        self.fault: HeadgateError | None = None
        self.marked = True

    def registers(self) -> list[int]:
        found = [*MARK] if self.marked else [0, 0]
        for place, (number, length) in enumerate(self.models):
            found += [number, length, *(self.points.get((place, i), 0) for i in range(2, 2 + length))]
        return [*found, END, 0]

    def __call__(self, sent: Sent) -> Sequence[int] | HeadgateError:
        if self.fault is not None:
            return self.fault
        registers, first = self.registers(), sent.address - self.base
        if (
            sent.table != "holding"
            or first < 0
            or first + sent.count > len(registers)
            or sent.count > self.most
        ):
            return ExceptionReply(2)
        return registers[first : first + sent.count]


def world(inverter: Inverter, sunspec: Mapping[str, Any] | None = None, **more: Any) -> BusWorld:
    wanted = {"interval_s": 1, "models": [103], "points": ["W", "WH"]} | dict(sunspec or {})
    made = BusWorld({"name": "d1", "unit": 1, "transport": TCP, "sunspec": wanted} | more)
    made.bus.behave[1] = inverter
    return made


def said_of(made: BusWorld, tag: str = "inverter.W") -> list[tuple[Any, int]]:
    """(value, quality) of a tag, in order, repetitions left out."""
    index = [series.name for series in made.driver.table()].index(f"d1/{tag}")
    found: list[tuple[Any, int]] = []
    for frame in made.of(1, tag):
        at = list(frame.series).index(index)
        each = (frame.values[at], frame.quality[at] if frame.quality else 0)
        if not found or found[-1] != each:
            found.append(each)
    return found


def usual() -> Inverter:
    inverter = Inverter((1, 66), (103, 50))
    inverter.points = {(1, W): 7203, (1, W_SF): 0xFFFF, (1, WH + 1): 5}
    return inverter


async def test_a_device_is_found_polled_and_its_scale_factor_may_change() -> None:
    inverter = usual()
    made = world(inverter)
    async with made.running():
        await made.clock.advance(3_000)
        inverter.points[1, W_SF] = 1
        await made.clock.advance(2_000)
        inverter.points[1, W_SF] = 0x8000
        await made.clock.advance(2_000)
    assert said_of(made) == [(720.3, 0), (72_030.0, 0), (None, int(Quality.BAD_VALUE))]
    (series,) = [series for series in made.driver.table() if series.name == "d1/inverter.W"]
    assert (series.unit, series.kind, series.decimals) == ("W", "f64", None)
    assert made.said == [
        "d1: an unnamed device: SunSpec at 40000, models 1, 103; 2 points are polled",
    ]
    assert made.health()["up/d1"] == 1


async def test_points_have_deadbands() -> None:
    inverter = usual()
    made = world(inverter, {"deadbands": {"inverter.W": "1%"}, "heartbeat_s": 3600})
    async with made.running():
        for power in (7203, 7210, 7140, 7290):
            inverter.points[1, W] = power
            await made.clock.advance(2_000)
    assert said_of(made) == [(720.3, 0), (729.0, 0)]
    assert len(made.of(1, "inverter.WH")) > 5


async def test_an_absent_device_is_marked_and_found_when_it_comes() -> None:
    inverter = usual()
    inverter.fault = NoReply("no reply")
    made = world(inverter)
    async with made.running():
        await made.clock.advance(20_000)
        assert said_of(made) == [(None, COMM)]
        assert len(made.of(1, "inverter.W")) == 1
        assert made.health()["up/d1"] == 0
        inverter.fault = None
        await made.clock.advance(60_000)
        assert said_of(made) == [(None, COMM), (720.3, 0)]


async def test_a_device_that_is_silent_where_it_has_no_registers_is_found() -> None:
    inverter = usual()
    inverter.base = 50_000

    def behave(sent: Sent) -> Sequence[int] | HeadgateError:
        return inverter(sent) if sent.address >= 50_000 else NoReply("no reply")

    made = world(inverter)
    made.bus.behave[1] = behave
    async with made.running():
        await made.clock.advance(120_000)
        assert said_of(made) == [(None, COMM), (720.3, 0)]


async def test_a_wrong_device_is_told_once_and_looked_at_ever_more_rarely() -> None:
    inverter = usual()
    inverter.marked = False
    made = world(inverter)
    async with made.running():
        await made.clock.advance(3_600_000)
        assert said_of(made) == [(None, CONFIG)]
        assert made.health()["up/d1"] == 0
        (fault,) = made.said
        assert 'd1: no "SunS" (5375 6E53) at 40000: 0000 0000, 0: refused' in fault
        assert len(made.bus.sent) < 40
        inverter.marked = True
        await made.clock.advance(3_700_000)
        assert said_of(made)[-1] == (720.3, 0)


async def test_a_device_without_the_models_that_are_wanted() -> None:
    made = world(Inverter((1, 66), (203, 105)))
    async with made.running():
        await made.clock.advance(5_000)
        assert said_of(made) == [(None, CONFIG)]
        assert "has the SunSpec models 1, 203, and none of those wanted (103)" in made.said[0]


async def test_a_model_that_is_missing_is_marked_and_the_others_are_polled() -> None:
    made = world(usual(), {"models": ["inverter", "meter"], "points": ["W"]})
    async with made.running():
        await made.clock.advance(5_000)
        assert said_of(made) == [(720.3, 0)]
        assert said_of(made, "meter.W") == [(None, CONFIG)]
        assert "d1: it has no model meter" in made.said


async def test_a_map_that_moves_never_gives_a_value_of_another_point() -> None:
    inverter = usual()
    made = world(inverter)
    async with made.running():
        await made.clock.advance(5_000)
        # A firmware that puts a model before the inverter's.
        inverter.models.insert(1, (64_900, 4))
        inverter.points = {(2, W): 1111, (2, W_SF): 0}
        await made.clock.advance(10_000)
        assert said_of(made) == [(720.3, 0), (None, CONFIG), (1111.0, 0)]
        assert made.said[-1].endswith("models 1, 64900, 103; 2 points are polled; it is not what it was")


async def test_a_map_that_goes_is_found_again_at_another_base() -> None:
    inverter = usual()
    made = world(inverter)
    async with made.running():
        await made.clock.advance(5_000)
        inverter.marked = False
        inverter.models = [(0, 0)] * 20
        await made.clock.advance(5_000)
        assert said_of(made) == [(720.3, 0), (None, CONFIG)]
        polls = len(made.bus.sent)
        await made.clock.advance(9_000)
        assert len(made.bus.sent) < polls + 12
        inverter.marked, inverter.base, inverter.models = True, 50_000, [(1, 66), (103, 50)]
        await made.clock.advance(300_000)
        assert said_of(made)[-1] == (720.3, 0)


async def test_a_device_that_was_silent_is_looked_at_again() -> None:
    inverter = usual()
    made = world(inverter, {"models": ["inverter", "mppt"], "points": ["W", "DCW"]})
    async with made.running():
        await made.clock.advance(5_000)
        inverter.fault = NoReply("no reply")
        await made.clock.advance(10_000)
        inverter.fault = None
        inverter.models.append((160, 8 + 20))
        inverter.points |= {(2, 8): 1, (2, 21): 350}
        await made.clock.advance(60_000)
        assert said_of(made, "inverter.W") == [(720.3, 0), (None, COMM), (720.3, 0)]
        assert said_of(made, "mppt.module1.DCW") == [(350.0, 0)]


async def test_a_device_with_short_reads_is_polled_in_short_reads() -> None:
    inverter = usual()
    inverter.most = 20
    made = world(inverter)
    async with made.running():
        await made.clock.advance(5_000)
        assert said_of(made) == [(720.3, 0)]
        assert said_of(made, "inverter.WH")[0][0] == 5.0
        assert "d1: gives 13 registers at once" in made.said
    assert all(each.count <= 13 for each in made.bus.sent[-4:])


async def test_a_device_that_reads_one_model_at_a_time_is_polled_so() -> None:
    inverter = Inverter((1, 66), (120, 26), (103, 50))
    inverter.points = {(2, W): 7203, (2, W_SF): 0xFFFF}
    inverter.most = 70
    made = world(inverter, {"models": [120, 103], "points": ["W", "EvtVnd4", "MaxDisChaRte"]})
    async with made.running():
        await made.clock.advance(30_000)
    assert said_of(made) == [(None, CONFIG), (720.3, 0)]


async def test_its_series_are_read_on_demand() -> None:
    inverter = usual()
    made = world(inverter, {"interval_s": 3600})
    async with made.running():
        before = Request("1", 1, "read", {"series": ["d1/inverter.W"]}, made.clock.utc_ms() + 9_000, "direct")
        await made.clock.advance(1_000)
        (row,) = (await _called(made, before))["values"]
        assert (row["value"], row["unit"], row["quality"]) == (720.3, "W", 0)
        inverter.models.insert(0, (64_900, 4))
        (row,) = (await _called(made, before))["values"]
        assert row["error"] == "the device shows another SunSpec model there than it did"


async def test_its_own_groups_go_on_while_its_map_is_not_known() -> None:
    inverter = usual()
    inverter.base = 0
    inverter.marked = False
    tag = {"name": "x", "table": "holding", "address": 2, "type": "uint16"}
    made = world(inverter, groups=[{"name": "g", "interval_s": 1, "tags": [tag]}])
    async with made.running():
        await made.clock.advance(5_000)
        assert said_of(made, "x") == [(1, 0)]
        inverter.marked = True
        await made.clock.advance(60_000)
        assert said_of(made, "x") == [(1, 0)]
        assert said_of(made)[-1] == (720.3, 0)


async def test_a_device_that_is_taken_out_is_looked_for_no_more() -> None:
    inverter = usual()
    inverter.fault = NoReply("no reply")
    made = world(inverter)
    async with made.running():
        await made.clock.advance(5_000)
        made.driver.apply(made.driver.plan({"devices": []}))
        await made.clock.advance(5_000)
        sent = len(made.bus.sent)
        await made.clock.advance(600_000)
        assert len(made.bus.sent) == sent


async def _called(made: BusWorld, request: Request) -> dict[str, Any]:
    task = asyncio.ensure_future(made.driver.call(request))
    await made.clock.advance(1_000)
    result = (await task).result
    assert result is not None
    return dict(result)
