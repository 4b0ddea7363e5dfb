"""The plant's physics as pure functions of seed and time; README.md beside it tells the story in words."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

JOULE_PER_KWH = 3.6e6
ORDERS = (3, 5, 7, 9, 11, 13, 15, 17, 19, 21)
"""The harmonics a meter reports: odd orders, as a six-pulse load produces them."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A quantity that swings: mean + sum of amplitude * sin(omega * t + phase), t in s, omega in rad/s.

    Integral and first-order lag of such a wave are exact in closed form, so that energy is the
    integral of power and a temperature the lag of its source without any state.
    """

    mean: float
    parts: tuple[tuple[float, float, float], ...] = ()

    def at(self, t_s: float) -> float:
        return self.mean + sum(a * math.sin(w * t_s + p) for a, w, p in self.parts)

    def integral(self, t_s: float) -> float:
        """The integral from 0 to t_s."""
        return self.mean * t_s + sum(a / w * (math.cos(p) - math.cos(w * t_s + p)) for a, w, p in self.parts)

    def lagged(self, tau_s: float) -> Wave:
        """What follows this wave with dx/dt = (wave - x) / tau, once it has settled."""
        return Wave(
            self.mean,
            tuple((a / math.hypot(1.0, w * tau_s), w, p - math.atan(w * tau_s)) for a, w, p in self.parts),
        )

    def scaled(self, factor: float, offset: float = 0.0) -> Wave:
        return Wave(self.mean * factor + offset, tuple((a * factor, w, p) for a, w, p in self.parts))


def wave(rng: random.Random, mean: float, *swings: tuple[float, float]) -> Wave:
    """A wave of (amplitude, period_s) swings; the seeded generator only chooses the phases."""
    tau = 2 * math.pi
    return Wave(mean, tuple((a, tau / period_s, rng.uniform(0, tau)) for a, period_s in swings))


@dataclass(frozen=True, slots=True)
class Phase:
    """One conductor: u_v * i_a = s_va, p_w = s_va * pf, p_w^2 + q_var^2 = s_va^2; p_w < 0 feeds in."""

    u_v: float
    i_a: float
    p_w: float
    q_var: float
    s_va: float
    pf: float
    energy_ws: float
    u_harmonics: tuple[float, ...]
    i_harmonics: tuple[float, ...]

    @property
    def angle_deg(self) -> float:
        return math.degrees(math.acos(self.pf))


@dataclass(frozen=True, slots=True)
class Meter:
    """What an energy meter sees at one moment; energies are magnitudes, `sign` says which way they flow."""

    phases: tuple[Phase, Phase, Phase]
    frequency_hz: float
    case_c: float
    start_kwh: float
    sign: int
    uptime_s: float

    @property
    def p_w(self) -> float:
        return sum(phase.p_w for phase in self.phases)

    @property
    def q_var(self) -> float:
        return sum(phase.q_var for phase in self.phases)

    @property
    def s_va(self) -> float:
        return math.hypot(self.p_w, self.q_var)

    @property
    def energy_kwh(self) -> float:
        return self.start_kwh + sum(phase.energy_ws for phase in self.phases) / JOULE_PER_KWH


@dataclass(frozen=True, slots=True)
class MeterStory:
    """What is fixed about a meter: its loads, its line and its harmonics."""

    loads: tuple[Wave, Wave, Wave]
    factors: tuple[Wave, Wave, Wave]
    u_harmonics: tuple[tuple[Wave, ...], ...]
    i_harmonics: tuple[tuple[Wave, ...], ...]
    frequency: Wave
    case: Wave
    start_kwh: float
    sign: int
    source_v: float = 231.5
    line_ohm: float = 0.25


@cache
def meter_story(seed: int, name: str, sign: int) -> MeterStory:
    """The story of meter `name`: a building's load (sign 1) or a solar inverter's output (sign -1)."""
    rng = random.Random(f"{seed}/{name}")
    base_w = 2400.0 if sign > 0 else 3000.0
    loads = [
        wave(
            rng,
            base_w * rng.uniform(0.9, 1.1),
            (base_w * 0.3, 600),
            (base_w * 0.12, 37),
            (base_w * 0.05, 2.3),
        )
        for _ in range(3)
    ]
    factors = [wave(rng, 0.94, (0.03, 210), (0.01, 11)) for _ in range(3)]
    total = wave(rng, sum(load.mean for load in loads))
    return MeterStory(
        (loads[0], loads[1], loads[2]),
        (factors[0], factors[1], factors[2]),
        tuple(tuple(wave(rng, 9 / n, (2 / n, 13.0 + n)) for n in ORDERS) for _ in range(3)),
        tuple(tuple(wave(rng, 60 / n, (20 / n, 5.0 + n)) for n in ORDERS) for _ in range(3)),
        wave(rng, 50.0, (0.02, 60), (0.01, 3.7)),
        # The case follows the losses of the load with a time constant of 5 minutes.
        Wave(total.mean, loads[0].parts).scaled(0.002, 22.0).lagged(300.0),
        rng.uniform(1000, 9000),
        sign,
    )


def meter(story: MeterStory, t_s: float) -> Meter:
    """The meter at `t_s` seconds after the story's origin."""
    phases = [_phase(story, k, t_s) for k in range(3)]
    return Meter(
        (phases[0], phases[1], phases[2]),
        story.frequency.at(t_s),
        story.case.at(t_s),
        story.start_kwh,
        story.sign,
        t_s,
    )


def _phase(story: MeterStory, k: int, t_s: float) -> Phase:
    """The voltage sags with the current it carries (rises when feeding in): u = source - sign * i * r."""
    power_w, pf = story.loads[k].at(t_s), story.factors[k].at(t_s)
    s_va = power_w / pf
    drop = story.sign * story.line_ohm * s_va
    u_v = (story.source_v + math.sqrt(story.source_v**2 - 4 * drop)) / 2
    return Phase(
        u_v=u_v,
        i_a=s_va / u_v,
        p_w=story.sign * power_w,
        q_var=s_va * math.sqrt(1 - pf * pf),
        s_va=s_va,
        pf=story.sign * pf,
        energy_ws=story.loads[k].integral(t_s),
        u_harmonics=tuple(harmonic.at(t_s) for harmonic in story.u_harmonics[k]),
        i_harmonics=tuple(harmonic.at(t_s) for harmonic in story.i_harmonics[k]),
    )


def distortion(harmonics: Sequence[float]) -> float:
    """Total harmonic distortion, % of the fundamental, of harmonics in % of it (IEC 61000-4-7)."""
    return math.sqrt(sum(share * share for share in harmonics))


@dataclass(frozen=True, slots=True)
class Boiler:
    """The boiler at one moment; heat_w drives flow_c, flow_c drives return_c and tank_c, each with a lag."""

    heat_w: float
    flow_c: float
    return_c: float
    tank_c: float
    outside_c: float
    room_c: float
    exhaust_c: float
    pressure_bar: float
    flow_l_min: float
    gas_m3: float
    heat_kwh: float
    fan_rpm: float
    uptime_s: float


@dataclass(frozen=True, slots=True)
class BoilerStory:
    """What is fixed about the boiler: a burner that modulates, and what follows it."""

    heat: Wave
    flow: Wave
    back: Wave
    tank: Wave
    outside: Wave
    start_m3: float


HEAT_LOSS_W_PER_K = 300.0
GAS_J_PER_M3 = 36e6
BURNER_EFFICIENCY = 0.94
FLOW_TAU_S, RETURN_TAU_S, TANK_TAU_S = 40.0, 60.0, 900.0
ROOM_C = 21.0
WATER_J_PER_L_K = 4186.0


@cache
def boiler_story(seed: int, name: str) -> BoilerStory:
    """The story of boiler `name`."""
    rng = random.Random(f"{seed}/{name}")
    heat = wave(rng, 12_000.0, (4_000, 180), (1_500, 23))
    flow = heat.scaled(1 / HEAT_LOSS_W_PER_K, ROOM_C).lagged(FLOW_TAU_S)
    back = flow.scaled(0.75, ROOM_C * 0.25).lagged(RETURN_TAU_S)
    outside = wave(rng, 4.0, (6, 86_400), (0.4, 300))
    return BoilerStory(heat, flow, back, flow.lagged(TANK_TAU_S), outside, rng.uniform(100, 900))


@dataclass(frozen=True, slots=True)
class RoomStory:
    """The air of the plant room, from the seed."""

    temperature: Wave
    humidity: Wave


@dataclass(frozen=True, slots=True)
class Room:
    """The air at one moment."""

    temperature_c: float
    humidity_percent: float


@cache
def room_story(seed: int, name: str) -> RoomStory:
    """Warm from the boiler beside it, with a door that somebody opens; the warmer the drier."""
    rng = random.Random(f"{seed}/{name}")
    temperature = wave(rng, 24.0, (1.5, 1200.0), (0.4, 45.0), (0.1, 7.0))
    return RoomStory(temperature, temperature.scaled(-2.5, 105.0))


def room(story: RoomStory, t_s: float) -> Room:
    """The room at `t_s` seconds after the story's origin."""
    return Room(story.temperature.at(t_s), story.humidity.at(t_s))


def boiler(story: BoilerStory, t_s: float) -> Boiler:
    """The boiler at `t_s` seconds after the story's origin."""
    heat_w, flow_c, return_c = story.heat.at(t_s), story.flow.at(t_s), story.back.at(t_s)
    heat_ws = story.heat.integral(t_s)
    return Boiler(
        heat_w=heat_w,
        flow_c=flow_c,
        return_c=return_c,
        tank_c=story.tank.at(t_s),
        outside_c=story.outside.at(t_s),
        room_c=ROOM_C,
        exhaust_c=return_c + heat_w / 400,
        pressure_bar=1.2 + flow_c / 200,
        flow_l_min=60 * heat_w / (WATER_J_PER_L_K * max(flow_c - return_c, 1.0)),
        gas_m3=story.start_m3 + heat_ws / (GAS_J_PER_M3 * BURNER_EFFICIENCY),
        heat_kwh=heat_ws / JOULE_PER_KWH,
        fan_rpm=heat_w / 4,
        uptime_s=t_s,
    )
