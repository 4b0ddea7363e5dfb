"""The register maps of the simulated devices: which quantity of the story stands behind which tag."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway_sim.devices.plantfile import WIDTH, Group, PlantError, RegisterType, Table, Tag
from gateway_sim.devices.story import (
    ORDERS,
    Boiler,
    Meter,
    Room,
    boiler,
    boiler_story,
    distortion,
    meter,
    meter_story,
    room,
    room_story,
)

State = TypeVar("State")
MAX_REGISTERS = 125
"""A read answers at most 125 registers (Modbus Application Protocol 1.1b3, 6.3)."""


@dataclass(frozen=True, slots=True)
class Point(Generic[State]):
    """One tag before it has an address: its type, scale and unit, and the quantity it shows."""

    name: str
    type: RegisterType
    decimals: int | None
    unit: str
    of: Callable[[State], float]


@dataclass(frozen=True, slots=True)
class Block:
    """A poll group and the function that gives its values, in engineering units and without the counter."""

    group: Group
    sample: Callable[[float], list[float]]


def block(
    name: str,
    interval_s: float,
    table: Table,
    address: int,
    points: Sequence[Point[State]],
    state: Callable[[float], State],
    *,
    counted: bool = True,
) -> Block:
    """Give the points their addresses, behind the group's counter if it is `counted`.

    Raises PlantError when they do not fit.
    """
    tags = [Tag(f"polls_{name}", address, "uint32", 0, "1")] if counted else []
    end = address + sum(WIDTH[tag.type] for tag in tags)
    for point in points:
        tags.append(Tag(point.name, end, point.type, point.decimals, point.unit))
        end += WIDTH[point.type]
    if end - address > MAX_REGISTERS:
        raise PlantError(
            f"group {name}: {end - address} registers, one read takes {MAX_REGISTERS}: fewer tags"
        )
    quantities = [point.of for point in points]

    def sample(t_s: float) -> list[float]:
        now = state(t_s)
        return [of(now) for of in quantities]

    counter = tags[0].name if counted else None
    return Block(Group(name, interval_s, table, address, end - address, counter, tuple(tags)), sample)


def _phase_points(k: int) -> list[Point[Meter]]:
    line = f"l{k + 1}"
    return [
        Point(f"voltage_{line}", "uint16", 1, "V", lambda m: m.phases[k].u_v),
        Point(f"current_{line}", "uint16", 2, "A", lambda m: m.phases[k].i_a),
        Point(f"power_{line}", "int32", 1, "W", lambda m: m.phases[k].p_w),
        Point(f"reactive_{line}", "int16", 0, "var", lambda m: m.phases[k].q_var),
        Point(f"apparent_{line}", "uint16", 0, "VA", lambda m: m.phases[k].s_va),
        Point(f"power_factor_{line}", "int16", 3, "1", lambda m: m.phases[k].pf),
        Point(f"angle_{line}", "int16", 1, "°", lambda m: m.phases[k].angle_deg),
        Point(f"thd_voltage_{line}", "uint16", 2, "%", lambda m: distortion(m.phases[k].u_harmonics)),
        Point(f"thd_current_{line}", "uint16", 2, "%", lambda m: distortion(m.phases[k].i_harmonics)),
    ]


def _line_voltage(m: Meter, a: int, b: int) -> float:
    """The voltage between two phases 120 degrees apart (law of cosines)."""
    u, v = m.phases[a].u_v, m.phases[b].u_v
    return math.sqrt(u * u + v * v + u * v)


def _harmonic_points(j: int, k: int) -> list[Point[Meter]]:
    """Order ORDERS[j] of phase k, in voltage and current."""
    where = f"h{ORDERS[j]}_l{k + 1}"
    return [
        Point(f"u_{where}", "uint16", 3, "%", lambda m: m.phases[k].u_harmonics[j]),
        Point(f"i_{where}", "uint16", 2, "%", lambda m: m.phases[k].i_harmonics[j]),
    ]


METER_FAST: tuple[Point[Meter], ...] = (
    *_phase_points(0),
    *_phase_points(1),
    *_phase_points(2),
    Point("voltage_l1_l2", "uint16", 1, "V", lambda m: _line_voltage(m, 0, 1)),
    Point("voltage_l2_l3", "uint16", 1, "V", lambda m: _line_voltage(m, 1, 2)),
    Point("voltage_l3_l1", "uint16", 1, "V", lambda m: _line_voltage(m, 2, 0)),
    Point("power", "int32", 1, "W", lambda m: m.p_w),
    Point("reactive", "int32", 0, "var", lambda m: m.q_var),
    Point("apparent", "uint32", 0, "VA", lambda m: m.s_va),
    Point("power_factor", "int16", 3, "1", lambda m: m.p_w / m.s_va),
    Point("frequency", "uint16", 2, "Hz", lambda m: m.frequency_hz),
    Point("energy_import", "uint32", 2, "kWh", lambda m: m.energy_kwh if m.sign > 0 else 0.0),
    Point("energy_export", "uint32", 2, "kWh", lambda m: m.energy_kwh if m.sign < 0 else 0.0),
    Point("power_float", "float32", None, "W", lambda m: m.p_w),
    Point("energy_float", "float32", None, "kWh", lambda m: m.energy_kwh),
    Point("frequency_float", "float32", None, "Hz", lambda m: m.frequency_hz),
    *(point for j in range(len(ORDERS)) for k in range(3) for point in _harmonic_points(j, k)),
)
METER_FAST_TAGS_MAX = len(METER_FAST) + 1

METER_SLOW: tuple[Point[Meter], ...] = (
    Point("case_temperature", "int16", 1, "°C", lambda m: m.case_c),
    Point("uptime", "uint32", 0, "s", lambda m: m.uptime_s),
    Point("operating_hours", "uint32", 3, "h", lambda m: m.uptime_s / 3600),
    Point("energy_l1", "uint32", 3, "kWh", lambda m: m.phases[0].energy_ws / 3.6e6),
    Point("energy_l2", "uint32", 3, "kWh", lambda m: m.phases[1].energy_ws / 3.6e6),
    Point("energy_l3", "uint32", 3, "kWh", lambda m: m.phases[2].energy_ws / 3.6e6),
    Point("voltage_mean", "float32", None, "V", lambda m: sum(p.u_v for p in m.phases) / 3),
    Point("current_mean", "float32", None, "A", lambda m: sum(p.i_a for p in m.phases) / 3),
    Point("direction", "int16", 0, "1", lambda m: float(m.sign)),
    Point("load_share", "uint16", 1, "%", lambda m: abs(m.p_w) / 150),
)

BOILER_MAIN: tuple[Point[Boiler], ...] = (
    Point("flow_temperature", "int16", 1, "°C", lambda b: b.flow_c),
    Point("return_temperature", "int16", 1, "°C", lambda b: b.return_c),
    Point("tank_temperature", "int16", 2, "°C", lambda b: b.tank_c),
    Point("outside_temperature", "int16", 2, "°C", lambda b: b.outside_c),
    Point("room_temperature", "int16", 1, "°C", lambda b: b.room_c),
    Point("exhaust_temperature", "int16", 1, "°C", lambda b: b.exhaust_c),
    Point("spread", "int16", 2, "K", lambda b: b.flow_c - b.return_c),
    Point("pressure", "uint16", 3, "bar", lambda b: b.pressure_bar),
    Point("water_flow", "uint16", 2, "l/min", lambda b: b.flow_l_min),
    Point("heat_power", "uint32", 1, "W", lambda b: b.heat_w),
    Point("heat_energy", "uint32", 3, "kWh", lambda b: b.heat_kwh),
    Point("gas_volume", "uint32", 3, "m3", lambda b: b.gas_m3),
    Point("modulation", "uint16", 1, "%", lambda b: b.heat_w / 200),
    Point("fan_speed", "uint16", 0, "rpm", lambda b: b.fan_rpm),
    Point("uptime", "uint32", 0, "s", lambda b: b.uptime_s),
    Point("flow_temperature_float", "float32", None, "°C", lambda b: b.flow_c),
    Point("outside_temperature_float", "float32", None, "°C", lambda b: b.outside_c),
    Point("heat_power_float", "float32", None, "W", lambda b: b.heat_w),
    Point("trim", "int32", 2, "W", lambda b: b.heat_w - 12_000),
)


XY_MD02: tuple[Point[Room], ...] = (
    Point("temperature", "int16", 1, "°C", lambda r: r.temperature_c),
    Point("humidity", "uint16", 1, "%", lambda r: r.humidity_percent),
)
"""Input registers 1 and 2 (SHT20 sensor, MODBUS protocol, as its dealers print it)."""


def meter_fast(seed: int, name: str, sign: int, interval_s: float, tags: int = METER_FAST_TAGS_MAX) -> Block:
    """A meter's `fast` group of `tags` tags, the counter included (2..METER_FAST_TAGS_MAX)."""
    if not 2 <= tags <= METER_FAST_TAGS_MAX:
        raise PlantError(f"a meter has 2 to {METER_FAST_TAGS_MAX} tags, not {tags}: use more devices instead")
    story = meter_story(seed, name, sign)
    return block("fast", interval_s, "holding", 0, METER_FAST[: tags - 1], lambda t_s: meter(story, t_s))


def meter_slow(seed: int, name: str, sign: int, interval_s: float) -> Block:
    """A meter's `slow` group, in the input registers."""
    story = meter_story(seed, name, sign)
    return block("slow", interval_s, "input", 1000, METER_SLOW, lambda t_s: meter(story, t_s))


def boiler_main(seed: int, name: str, interval_s: float) -> Block:
    """The boiler's only group."""
    story = boiler_story(seed, name)
    return block("main", interval_s, "holding", 100, BOILER_MAIN, lambda t_s: boiler(story, t_s))


def room_air(seed: int, name: str, interval_s: float) -> Block:
    """The only group of a transmitter as it is sold: nothing in it counts."""
    story = room_story(seed, name)
    return block("measured", interval_s, "input", 1, XY_MD02, lambda t_s: room(story, t_s), counted=False)
