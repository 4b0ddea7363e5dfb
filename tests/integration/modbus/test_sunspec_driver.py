"""SunSpec devices on real sockets: what the driver emits is what the simulated device says that it served."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.devices.sunspec import SunSpecDevice, common, inverter, mppt, plant, serving, vendor
from headgate.driver import Request
from headgate.model import Quality, Value
from tests.support.modbus_driven import Driven, QuickClock, driven
from tests.support.modbus_servers import tcp_server

GOOD, UNCERTAIN, COMM, CONFIG = 0, int(Quality.UNCERTAIN), int(Quality.BAD_COMM), int(Quality.BAD_CONFIG)
MODULES = 8
"""Of the inverter: its model 160 is 170 registers long, more than one read."""


def sunspec(name: str, unit: int, port: int, **more: Any) -> dict[str, Any]:
    wanted = {"interval_s": 0.05} | more.pop("sunspec", {})
    transport = {"kind": "tcp", "host": "127.0.0.1", "port": port}
    return {"name": name, "unit": unit, "timeout_s": 0.5, "transport": transport, "sunspec": wanted} | more


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[list[SunSpecDevice]]:
    with plant(tmp_path, time.monotonic, MODULES) as made:
        yield made


def served(directory: Path, device: str, point: str) -> list[str | None]:
    """What a device says that a point was, in order."""
    rows = map(json.loads, (directory / f"{device}.served.jsonl").read_text().splitlines())
    return [row["points"][point] for row in rows if point in row["points"]]


def agrees(emitted: Sequence[Value], said: Sequence[str | None]) -> bool:
    """Whether the values are among those that were said, in their order."""
    left = iter(said)
    return all(any(_same(value, each) for each in left) for value in emitted)


def _same(value: Value, said: str | None) -> bool:
    if isinstance(value, str) or said is None:
        return value == said
    return value == float(Decimal(said))


def points_of(got: Driven, device: str) -> list[str]:
    return [s.name.partition("/")[2] for s in got.driver.table() if s.name.startswith(device + "/")]


def good(got: Driven, name: str) -> list[Value]:
    return [value for value, quality in got.values(name) if quality == GOOD]


def record_name(point: str) -> str:
    """As the simulator calls it: `mppt.3.DCW` for `mppt.module3.DCW`."""
    return point.replace("mppt.module", "mppt.")


async def test_all_points_are_what_was_served(devices: list[SunSpecDevice], tmp_path: Path) -> None:
    async with serving(devices) as port:
        wanted = [sunspec("pv", 1, port), sunspec("grid", 2, port)]
        async with driven(*wanted) as got:
            await got.until(lambda: any(s.name == "grid/meter.W" for s in got.driver.table()))
            await got.until(lambda: any(s.name == "pv/mppt.module8.DCW" for s in got.driver.table()))
            await got.until(lambda: len(good(got, "pv/mppt.module8.DCW")) >= 12)
    assert len(points_of(got, "pv")) == 105
    assert len(points_of(got, "grid")) == 62
    for device in ("pv", "grid"):
        for point in points_of(got, device):
            if point.endswith((".DCSt", ".St")):
                assert set(good(got, f"{device}/{point}")) == {"MPPT"}
                continue
            values = good(got, f"{device}/{point}")
            said = served(tmp_path, device, record_name(point))
            if any(each is not None for each in said):
                assert len(values) >= (1 if point.endswith("IDStr") else 5), point
                assert agrees(values, said), (point, values[:5], said[:9])
            else:
                assert got.values(f"{device}/{point}") == [(None, int(Quality.BAD_VALUE))], point
    # The scale factors did change, and with them the number of digits.
    assert len({row and len(row.partition(".")[2]) for row in served(tmp_path, "pv", "inverter.W")}) > 1


async def test_values_far_from_their_scale_factors_are_exact_or_none(
    devices: list[SunSpecDevice], tmp_path: Path
) -> None:
    async with serving(devices) as port:
        wanted = sunspec("pv", 1, port, sunspec={"interval_s": 0.01, "models": ["mppt"], "points": ["DCW"]})
        async with driven(wanted) as got:
            await got.until(lambda: any(s.name == "pv/mppt.module8.DCW" for s in got.driver.table()))
            await got.until(lambda: UNCERTAIN in {q for _, q in got.values("pv/mppt.module8.DCW")})
            await got.until(lambda: len(good(got, "pv/mppt.module8.DCW")) >= 20)
    assert agrees(good(got, "pv/mppt.module8.DCW"), served(tmp_path, "pv", "mppt.8.DCW"))
    assert {value for value, q in got.values("pv/mppt.module8.DCW") if q == UNCERTAIN} == {None}
    assert {q for _, q in got.values("pv/mppt.module1.DCW")} == {GOOD}


async def test_a_map_that_changes_under_the_polls_gives_no_wrong_value(
    devices: list[SunSpecDevice], tmp_path: Path
) -> None:
    pv, _ = devices
    async with serving(devices) as port, driven(sunspec("pv", 1, port), clock=QuickClock()) as got:
        await got.until(lambda: any(s.name == "pv/inverter.W" for s in got.driver.table()))
        for models, base in (
            ([common("Inverter", "pv-0001"), vendor(), inverter()], 40_000),
            ([common("Inverter", "pv-0002"), inverter(), mppt(1)], 0),
            ([common("Inverter", "pv-0003"), mppt(3), inverter()], 50_000),
        ):
            had = len(good(got, "pv/inverter.W"))
            pv.models, pv.base = tuple(models), base
            await got.until(lambda: CONFIG in {q for _, q in got.values("pv/inverter.W")[-3:]})
            await got.until(lambda had=had: len(good(got, "pv/inverter.W")) >= had + 5)  # type: ignore[misc]
    for point in ("inverter.W", "inverter.Hz", "inverter.WH", "mppt.module1.DCW"):
        assert agrees(good(got, f"pv/{point}"), served(tmp_path, "pv", record_name(point))), point
    assert sum("it is not what it was" in said for said in got.said) >= 1
    assert any("serial pv-0003" in said for said in got.said)


async def test_a_device_that_is_not_there_at_the_start_is_found_later(devices: list[SunSpecDevice]) -> None:
    async with tcp_server(1) as port:
        pass
    wanted = sunspec("pv", 1, port, sunspec={"models": ["inverter"], "points": ["W"]})
    async with driven(wanted, clock=QuickClock()) as got:
        await got.until(lambda: any(s.name == "pv/inverter.W" for s in got.driver.table()))
        assert got.values("pv/inverter.W") == [(None, COMM)]
        async with serving(devices, port=port):
            await got.until(lambda: len(good(got, "pv/inverter.W")) >= 5)
    assert {quality for _, quality in got.values("pv/inverter.W")[1:6]} == {GOOD}


async def test_a_device_that_is_no_sunspec_device_is_told() -> None:
    async with tcp_server(1) as port:
        wanted = sunspec("pv", 1, port, sunspec={"models": ["inverter"], "points": ["W"]})
        async with driven(wanted) as got:
            await got.until(lambda: bool(got.said))
    assert got.values("pv/inverter.W") == [(None, CONFIG)]
    assert 'pv: no "SunS" (5375 6E53) at 40000: refused, 0: 03E8 03E9, 50000: refused' in got.said[0]


async def test_short_reads_and_reads_on_demand(devices: list[SunSpecDevice], tmp_path: Path) -> None:
    devices[0].most = 30
    async with serving(devices) as port:
        wanted = sunspec("pv", 1, port, sunspec={"interval_s": 3600, "models": ["inverter", "mppt"]})
        async with driven(wanted) as got:
            await got.until(lambda: any(s.name == "pv/mppt.module8.DCW" for s in got.driver.table()))
            names = ["pv/inverter.W", "pv/inverter.TmpCab", "pv/mppt.module8.DCV"]
            deadline_ms = round(time.time() * 1000) + 9_000
            reply = await got.driver.call(Request("1", 1, "read", {"series": names}, deadline_ms, "direct"))
    assert reply.status == "ok"
    assert reply.result is not None
    power, cabinet, volts = reply.result["values"]
    assert (cabinet["value"], cabinet["unit"], cabinet["quality"]) == (41.5, "°C", GOOD)
    assert volts["value"] == 608.0
    # Its scale factor changes with every answer and is further away than this device reads at once.
    assert power["quality"] == UNCERTAIN or agrees([power["value"]], served(tmp_path, "pv", "inverter.W"))
