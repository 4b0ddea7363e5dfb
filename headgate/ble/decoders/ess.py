"""The GATT services Environmental Sensing (0x181A), Battery (0x180F) and Device Information (0x180A).

Forms, units and marks for "value is not known" are those of Bluetooth's GATT Specification Supplement.
"""

from __future__ import annotations

from headgate.ble.decoders.fields import TYPES, Field, compile_fields
from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Characteristic,
    Profile,
    Quantity,
    by_tag,
    celsius,
    percent,
)

SERVICE = BASE_UUID.format(0x181A)
_CONCENTRATION = Quantity("", "ug/m3", form="real", low=0)
"""The Supplement has kg/m3; a millionth of a gram is what is measured."""
_KG_IN_UG = 10**9
_TRENDS = (
    (0, "unknown"),
    (1, "continuously_falling"),
    (2, "continuously_rising"),
    (3, "falling_then_steady"),
    (4, "rising_then_steady"),
    (5, "falling_before_lesser_rise"),
    (6, "falling_before_greater_rise"),
    (7, "rising_before_greater_fall"),
    (8, "rising_before_lesser_fall"),
    (9, "steady"),
)


def _one(
    uuid: int, quantity: Quantity, kind: str, unknown: int | None = None, factor: int = 1
) -> Characteristic:
    """A characteristic that is one value; `unknown` is the raw that says "value is not known"."""
    none = frozenset() if unknown is None else frozenset({unknown})
    return _of_field(uuid, Field(quantity, kind, factor=factor, not_available=none))


def _of_field(uuid: int, field: Field) -> Characteristic:
    quantity = field.quantity
    decode = compile_fields(quantity.tag, [field], TYPES[field.type].size_bytes or None)
    return Characteristic(BASE_UUID.format(uuid), (quantity,), decode)


def _gas(uuid: int, tag: str) -> Characteristic:
    quantity = Quantity(tag, _CONCENTRATION.unit, form=_CONCENTRATION.form, low=_CONCENTRATION.low)
    return _one(uuid, quantity, "medfloat16", factor=_KG_IN_UG)


def _direction(tag: str) -> Quantity:
    return Quantity(tag, "deg", 2, low=0, high=360_00)


ENVIRONMENT = (
    _one(0x2A6E, celsius("temperature", 2), "int16", -0x8000),
    _one(0x2A6F, percent("humidity", 2), "uint16", 0xFFFF),
    _one(0x2A6D, Quantity("pressure", "Pa", 1), "uint32"),
    _one(0x2A6C, Quantity("elevation", "m", 2), "int24"),
    _one(0x2A7B, celsius("dew_point", 0), "int8"),
    _one(0x2A7A, celsius("heat_index", 0), "int8"),
    _one(0x2A79, celsius("wind_chill", 0), "int8"),
    _one(0x2A70, Quantity("true_wind_speed", "m/s", 2), "uint16"),
    _one(0x2A71, _direction("true_wind_direction"), "uint16"),
    _one(0x2A72, Quantity("apparent_wind_speed", "m/s", 2), "uint16"),
    _one(0x2A73, _direction("apparent_wind_direction"), "uint16"),
    _one(0x2A74, Quantity("gust_factor", "", 1), "uint8"),
    _one(0x2A78, Quantity("rainfall", "mm"), "uint16"),
    _one(0x2A75, Quantity("pollen_concentration", "1/m3"), "uint24"),
    _one(0x2A76, Quantity("uv_index"), "uint8"),
    _one(0x2A77, Quantity("irradiance", "W/m2", 1), "uint16"),
    _one(0x2AFB, Quantity("illuminance", "lx", 2), "uint24", 0xFFFFFF),
    _one(0x2A2C, _direction("magnetic_declination"), "uint16"),
    _of_field(0x2AA3, Field(Quantity("pressure_trend", form="text"), "uint8", texts=_TRENDS)),
    # 0xFFFE says that there is more than can be told: no number, and no reading to rely on.
    _one(0x2B8C, Quantity("co2", "ppm", high=0xFFFD), "uint16", 0xFFFF),
    _one(0x2BE7, Quantity("voc", "ppb", high=0xFFFD), "uint16", 0xFFFF),
    _gas(0x2BCF, "ammonia"),
    _gas(0x2BD0, "carbon_monoxide"),
    _gas(0x2BD1, "methane"),
    _gas(0x2BD2, "nitrogen_dioxide"),
    _gas(0x2BD4, "ozone"),
    _gas(0x2BD5, "pm1"),
    _gas(0x2BD6, "pm2_5"),
    _gas(0x2BD7, "pm10"),
    _gas(0x2BD8, "sulfur_dioxide"),
)
BATTERY = (_one(0x2A19, percent("battery"), "uint8"),)
DEVICE_INFORMATION = tuple(
    _one(uuid, Quantity(tag, form="text"), "string")
    for uuid, tag in (
        (0x2A29, "manufacturer"),
        (0x2A24, "model"),
        (0x2A25, "serial_number"),
        (0x2A27, "hardware_revision"),
        (0x2A26, "firmware_revision"),
        (0x2A28, "software_revision"),
    )
)
CHARACTERISTICS = (*ENVIRONMENT, *BATTERY, *DEVICE_INFORMATION)

PROFILE = Profile(
    "ess",
    by_tag(*(quantity for each in CHARACTERISTICS for quantity in each.quantities)),
    ("temperature", "humidity", "pressure"),
    characteristics=CHARACTERISTICS,
)
