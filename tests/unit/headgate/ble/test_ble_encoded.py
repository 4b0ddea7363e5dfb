"""What simulated beacons and thermometers send comes back, whatever it is."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.ble import beacons, tank
from headgate.ble.config import parse_mapping
from headgate.ble.decoders.quantity import Advert, Packet
from headgate.ble.decoders.registry import PROFILES

ADDRESS = "A4:C1:38:AA:BB:CC"
MAC = bytes.fromhex(ADDRESS.replace(":", ""))
INT16 = st.integers(-0x7FFF, 0x7FFF)
UINT8, UINT16, UINT32 = st.integers(0, 0xFF), st.integers(1, 0xFFFF), st.integers(0, (1 << 32) - 1)
THERMOMETERS = st.builds(
    beacons.Thermometer,
    mac=st.just(MAC),
    centi_c=st.integers(-4_000, 8_700),
    centi_pct=st.integers(0, 10_000),
    battery_mv=UINT16,
    battery_pct=st.integers(0, 100),
    count=UINT8,
    flags=st.integers(0, 3),
)


def decoded(profile: str, key: bytes | None = None, **data: object) -> Packet:
    make_decode = PROFILES[profile].make_decode
    assert make_decode is not None
    packet = make_decode(ADDRESS, key)(Advert(ADDRESS, 0, -50, **data))  # type: ignore[arg-type]  # as told
    assert packet is not None
    assert not packet.doubt
    return packet


@given(UINT16, INT16, UINT32, UINT32)
def test_eddystone_telemetry(battery_mv: int, temperature: int, adverts: int, tenths: int) -> None:
    sent = beacons.eddystone_tlm(battery_mv, temperature, adverts, tenths)
    packet = decoded("eddystone_tlm", service_data={beacons.EDDYSTONE_UUID: sent})
    quantity = PROFILES["eddystone_tlm"].quantities["temperature"]
    assert quantity.value(packet.raw["temperature"]) == temperature / 256
    assert (packet.raw["battery_voltage"], packet.raw["uptime"], packet.id) == (battery_mv, tenths, adverts)


@given(st.uuids(), UINT16, UINT16, st.integers(-128, 127))
def test_beacons(proximity: uuid.UUID, major: int, minor: int, power: int) -> None:
    sent = beacons.ibeacon(proximity.bytes, major, minor, power)
    packet = decoded("ibeacon", manufacturer_data={beacons.APPLE: sent})
    assert list(packet.raw.values()) == [1, str(proximity), major, minor, power]


@given(st.integers(-12_799, 12_799), UINT8, st.integers(50_000, 115_535), INT16, UINT16)
def test_ruuvi_3(centi_c: int, half_pct: int, pascal: int, axis: int, battery_mv: int) -> None:
    sent = beacons.ruuvi3(centi_c, half_pct, pascal, (axis, -axis, 0), battery_mv)
    packet = decoded("ruuvi3", manufacturer_data={beacons.RUUVI: sent})
    assert list(packet.raw.values()) == [centi_c, half_pct * 5, pascal, axis, -axis, 0, battery_mv]


@given(THERMOMETERS, st.binary(min_size=16, max_size=16))
def test_thermometers(shown: beacons.Thermometer, key: bytes) -> None:
    def of(data: bytes, key: bytes | None = None) -> Packet:
        return decoded("atc", key, service_data={beacons.ATC_UUID: data})

    pvvx = {
        "counter": shown.count,
        "temperature": shown.centi_c,
        "humidity": shown.centi_pct,
        "battery": shown.battery_pct,
        "reed_switch": shown.flags & 1,
        "trigger": shown.flags >> 1,
    }
    assert of(shown.pvvx()).raw == {**pvvx, "battery_voltage": shown.battery_mv}
    assert of(shown.sealed_pvvx(key), key).raw == pvvx
    atc = {
        "counter": shown.count,
        "temperature": shown.centi_c // 10 * 10,
        "humidity": shown.centi_pct // 100 * 100,
        "battery": shown.battery_pct,
    }
    assert of(shown.atc()).raw == {**atc, "battery_voltage": shown.battery_mv}
    assert of(shown.sealed_atc(key), key).raw == {
        **atc,
        "temperature": shown.centi_c // 50 * 50,
        "humidity": shown.centi_pct // 50 * 50,
        "trigger": shown.flags >> 1,
    }


@given(INT16, UINT16, st.integers(-(1 << 31), (1 << 31) - 1))
def test_bthome_1_in_any_width(centi_c: int, centi_pct: int, count: int) -> None:
    sent = beacons.bthome1((0x02, centi_c, 4, True), (0x03, centi_pct, 2, False), (0x09, count, 4, True))
    packet = decoded("bthome1", service_data={beacons.BTHOME1_UUID: sent})
    assert packet.raw == {"temperature": centi_c, "humidity": centi_pct, "count": count}


@given(UINT8, st.integers(-1, 0xFFFE), st.integers(-4_000, 8_000), st.integers(0, 2), st.integers(0, 1))
def test_a_described_format(count: int, level: int, temperature: int, state: int, alarm: int) -> None:
    device = {"name": "d", "address": ADDRESS, "profile": "tank-level"}
    (parsed,) = parse_mapping({"formats": [tank.DESCRIPTION], "devices": [device]}).devices
    sent = tank.manufacturer_data(
        {"count": count, "level": level, "temperature": temperature, "state": state, "alarm": alarm}
    )
    assert parsed.format.make_decode is not None
    packet = parsed.format.make_decode(ADDRESS, None)(Advert(ADDRESS, 0, 0, {}, {tank.COMPANY: sent}))
    assert packet is not None
    values = {tag: parsed.quantity(tag).value(raw) for tag, raw in packet.raw.items()}
    assert values == {
        "count": count,
        "level": None if level < 0 else level / 10,
        "temperature": temperature / 100,
        "state": tank.STATES[state],
        "alarm": bool(alarm),
    }
    assert packet.id == count
