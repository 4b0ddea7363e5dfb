"""Which sensors are on the air: what each measures, and how its measurement becomes a packet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway_sim.ble import bthome, ess, ruuvi, tank, thermostat
from gateway_sim.ble.blefile import BleDevice, BleTag
from gateway_sim.ble.story import Place, Room, room, room_story
from gateway_sim.ble.thermostat import Setting

Raws = Mapping[str, int]
PACKET_ID_LIMIT = 256
BTHOME_TAGS = (
    BleTag("packet_id", "1", 0),
    BleTag("battery", "%", 0),
    BleTag("temperature", "°C", 2),
    BleTag("humidity", "%", 2),
)
RUUVI_TAGS = (
    BleTag("measurement_sequence", "1", 0),
    BleTag("temperature", "°C", 3),
    BleTag("humidity", "%", 4),
    BleTag("pressure", "Pa", 0),
    *(BleTag(axis, "mG", 0) for axis in ruuvi.AXES),
    BleTag("battery_voltage", "V", 3),
    BleTag("tx_power", "dBm", 0),
    BleTag("movement_counter", "1", 0),
)
TANK_TAGS = (BleTag("count", "", 0), BleTag("level", "mm", 1), BleTag("temperature", "°C", 2))
LOFT_DESCRIPTION: Mapping[str, Any] = {
    "name": "loft-air",
    "values": [
        {"name": "temperature", "characteristic": "2A6E", "type": "int16", "decimals": 2, "unit": "°C"},
        {"name": "humidity", "characteristic": "2A6F", "type": "uint16", "decimals": 2, "unit": "%"},
        {"name": "pressure", "characteristic": "2A6D", "type": "uint32", "scale": 0.1, "unit": "Pa"},
    ],
}
"""What a site document says of a device whose service it does not know by name."""
THERMOSTAT_TAGS = (
    BleTag("setpoint", "°C", 1),
    BleTag("mode", "", 0),
    BleTag("locked", "", 0),
    BleTag("gain", "", 0),
    BleTag("temperature", "°C", 2),
)
ESS_TAGS = (BleTag("temperature", "°C", 2), BleTag("humidity", "%", 2), BleTag("pressure", "Pa", 1))


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a packet carries, in BlueZ's words."""

    uuids: tuple[str, ...] = ()
    service_data: Mapping[str, bytes] = field(default_factory=dict)
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor. `measure(count, t_s)` gives the raws that packet `count`, or a read, shows at that time;
    `advertise(count, raws)` the packet. `connectable` ones answer GATT reads and send no values; `settings`
    is what of them can be written."""

    device: BleDevice
    measure: Callable[[int, float], Raws]
    advertise: Callable[[int, Raws], Advertisement]
    connectable: bool = False
    settings: tuple[Setting, ...] = ()


def building(seed: int) -> list[Sensor]:
    """The sensors of the building that the plant room heats."""
    return [
        _bthome(seed, Place("office", 0.30, 118.0), "A4:C1:38:10:00:01", None),
        _bthome(seed, Place("archive", 0.27, 114.0), "54:48:E6:8F:80:A5", _key(seed)),
        _ruuvi(seed, Place("cold-store", 0.06, 110.0), "CB:B8:33:4C:88:4F"),
        _ess(seed, Place("workshop", 0.24, 110.0), "E0:5A:1B:77:00:0C"),
        _tank(seed, Place("tank", 0.02, 105.0), "C8:2A:10:00:00:09"),
        _described(_ess(seed, Place("loft", 0.20, 121.0), "E0:5A:1B:77:00:0D"), LOFT_DESCRIPTION),
    ]


def room_thermostat(seed: int) -> Sensor:
    """A device that can be set, for tests: it is not of the building."""
    sensor = _described(
        _ess(seed, Place("thermostat", 0.24, 110.0), "E0:5A:1B:77:00:0E"), thermostat.DESCRIPTION
    )
    device = replace(sensor.device, tags=THERMOSTAT_TAGS)
    return replace(sensor, device=device, settings=thermostat.FACTORY_SETTINGS)


def crowd(seed: int, broadcasters: int, peripherals: int) -> list[Sensor]:
    """Many of them: those that advertise are equal thirds BTHome plain, BTHome encrypted and RuuviTag."""
    found = []
    for number in range(broadcasters):
        place = Place(f"crowd-{number:03d}", 0.2 + 0.001 * (number % 100), 110.0)
        address = f"C4:7C:8D:00:{number >> 8:02X}:{number & 0xFF:02X}"
        if number % 3 == 2:
            found.append(_ruuvi(seed, place, address))
        else:
            found.append(_bthome(seed, place, address, _key(seed + number) if number % 3 else None))
    for number in range(peripherals):
        place = Place(f"peripheral-{number}", 0.24, 110.0)
        found.append(_ess(seed, place, f"E0:5A:1B:00:00:{number:02X}"))
    return found


def _key(seed: int) -> bytes:
    """A bind key: no secret, only a number that differs by seed."""
    return (0x231D39C1D7CC1AB1AEE224CD096DB932 ^ seed).to_bytes(16, "big")


def _bthome(seed: int, place: Place, address: str, key: bytes | None) -> Sensor:
    def raws(count: int, now: Room) -> Raws:
        return {
            "packet_id": count % PACKET_ID_LIMIT,
            "battery": round(now.battery_pct),
            "temperature": round(now.air_c * 100),
            "humidity": round(now.humidity_pct * 100),
        }

    def advertise(count: int, values: Raws) -> Advertisement:
        if key is None:
            data = bthome.service_data(values)
        else:
            data = bthome.encrypted_service_data(values, key=key, address=_mac(address), counter=count)
        return Advertisement(service_data={bthome.SERVICE_UUID: data})

    device = BleDevice(place.name, address, "bthome", key.hex() if key else None, 1.0, BTHOME_TAGS)
    return Sensor(device, _measure(seed, place, raws), advertise)


def _ruuvi(seed: int, place: Place, address: str) -> Sensor:
    def raws(count: int, now: Room) -> Raws:
        axes = {axis: round(g * 1000) for axis, g in zip(ruuvi.AXES, now.acceleration_g, strict=True)}
        return {
            "measurement_sequence": count % ruuvi.SEQUENCE_LIMIT,
            "temperature": round(now.air_c * 200) * ruuvi.TEMPERATURE_STEP,
            "humidity": round(now.humidity_pct * 400) * ruuvi.HUMIDITY_STEP,
            "pressure": round(now.pressure_pa),
            **axes,
            "battery_voltage": round(now.battery_v * 1000),
            "tx_power": 4,
            "movement_counter": now.door_moves % ruuvi.MOVEMENT_LIMIT,
        }

    def advertise(_: int, values: Raws) -> Advertisement:
        data = ruuvi.manufacturer_data(values, _mac(address))
        return Advertisement(manufacturer_data={ruuvi.MANUFACTURER_ID: data})

    device = BleDevice(place.name, address, "ruuvi5", None, 1.0, RUUVI_TAGS)
    return Sensor(device, _measure(seed, place, raws), advertise)


def _ess(seed: int, place: Place, address: str) -> Sensor:
    def raws(_: int, now: Room) -> Raws:
        return {
            "temperature": round(now.air_c * 100),
            "humidity": round(now.humidity_pct * 100),
            "pressure": round(now.pressure_pa * 10),
        }

    def advertise(_: int, __: Raws) -> Advertisement:
        return Advertisement(uuids=(ess.uuid(ess.SERVICE),))

    device = BleDevice(place.name, address, "ess", None, 5.0, ESS_TAGS)
    return Sensor(device, _measure(seed, place, raws), advertise, connectable=True)


def _tank(seed: int, place: Place, address: str) -> Sensor:
    """A tank outdoors: its level goes up and down by a millimetre a packet."""

    def raws(count: int, now: Room) -> Raws:
        return {
            "count": count % PACKET_ID_LIMIT,
            "level": 12_000 + 10 * abs(count % 400 - 200),
            "temperature": round(now.air_c * 100),
            "state": count % len(tank.STATES),
            "alarm": int(count % 50 == 0),
        }

    def advertise(_: int, values: Raws) -> Advertisement:
        return Advertisement(manufacturer_data={tank.COMPANY: tank.manufacturer_data(values)})

    device = BleDevice(place.name, address, tank.FORMAT_NAME, None, 1.0, TANK_TAGS, tank.DESCRIPTION)
    return Sensor(device, _measure(seed, place, raws), advertise)


def _described(sensor: Sensor, description: Mapping[str, Any]) -> Sensor:
    """The same sensor, to be read by a description and not by a profile."""
    device = replace(sensor.device, profile=description["name"], description=description)
    return replace(sensor, device=device)


def _measure(seed: int, place: Place, raws: Callable[[int, Room], Raws]) -> Callable[[int, float], Raws]:
    story = room_story(seed, place)
    return lambda count, t_s: raws(count, room(story, t_s))


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
