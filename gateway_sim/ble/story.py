"""The rooms' physics as pure functions of seed and time; README.md beside it tells the story in words."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

from gateway_sim.devices.story import Wave, boiler_story, wave

STANDARD_PA = 101_325.0
SCALE_HEIGHT_M = 8_434.0
"""Pressure falls by a factor e over this height (standard atmosphere at 15 °C)."""
ROOM_TAU_S = 300.0
"""How slowly a room's air follows its radiators and its walls."""
DOOR_PERIOD_S = 41.0
"""The cold store's door moves this often."""


@dataclass(frozen=True, slots=True)
class Place:
    """A room: the share of its warmth that the boiler's flow gives (the rest is outside), its height in m."""

    name: str
    heated: float
    height_m: float


@dataclass(frozen=True, slots=True)
class RoomStory:
    """What is fixed about a room."""

    air: Wave
    vapour_pa: Wave
    pressure_pa: Wave
    shake: tuple[Wave, Wave, Wave]


@dataclass(frozen=True, slots=True)
class Room:
    """A room at one moment; the humidity is what its water content makes of its temperature."""

    air_c: float
    humidity_pct: float
    pressure_pa: float
    acceleration_g: tuple[float, float, float]
    battery_v: float
    battery_pct: float
    door_moves: int


@cache
def room_story(seed: int, place: Place) -> RoomStory:
    """The story of a room in the building that the plant room's boiler heats."""
    rng = random.Random(f"{seed}/{place.name}")
    boiler = boiler_story(seed, "boiler")
    flow, outside = boiler.flow.scaled(place.heated), boiler.outside.scaled(1 - place.heated)
    walls = Wave(flow.mean + outside.mean, flow.parts + outside.parts).lagged(ROOM_TAU_S)
    draught = wave(rng, 0.0, (0.35, 53), (0.08, 7.1))  # people and doors, at once
    weather = wave(rng, STANDARD_PA, (900, 36_000), (6, 47), (1.5, 5.3))
    return RoomStory(
        Wave(walls.mean, walls.parts + draught.parts),
        wave(rng, 700.0, (120, 900), (9, 31)),
        weather.scaled(math.exp(-place.height_m / SCALE_HEIGHT_M)),
        (wave(rng, 0.004, (0.003, 2.9)), wave(rng, -0.004, (0.003, 3.7)), wave(rng, 1.036, (0.006, 2.3))),
    )


def room(story: RoomStory, t_s: float) -> Room:
    """The room at `t_s` seconds after the story's origin."""
    air_c = story.air.at(t_s)
    x, y, z = (shake.at(t_s) for shake in story.shake)
    used = min(t_s / (2 * 365 * 86_400), 1.0)  # a coin cell lasts two years
    return Room(
        air_c=air_c,
        humidity_pct=min(100 * story.vapour_pa.at(t_s) / saturation_pa(air_c), 100.0),
        pressure_pa=story.pressure_pa.at(t_s),
        acceleration_g=(x, y, z),
        battery_v=3.0 - used + 0.002 * (air_c - 20),
        battery_pct=100 * (1 - used),
        door_moves=int(t_s / DOOR_PERIOD_S),
    )


def saturation_pa(air_c: float) -> float:
    """Saturation vapour pressure over water, Pa (Magnus formula, Alduchov and Eskridge 1996)."""
    return 610.94 * math.exp(17.625 * air_c / (air_c + 243.04))
