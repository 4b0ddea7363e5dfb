"""Decoders on published vectors, on what is not available, cut, replayed, wrongly sealed, and random."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.ble.decoders import bthome, ess, ruuvi5
from headgate.ble.decoders.bthome_objects import BASE, NUMBERS, QUANTITIES
from headgate.ble.decoders.bthome_special import SPECIAL
from headgate.ble.decoders.quantity import Advert, Packet, Quantity
from headgate.ble.decoders.registry import PROFILES
from headgate.ble.packets import COUNTER_END, Freshness
from headgate.errors import Reject

MAC = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
SEALED = bytes.fromhex("41a47266c95f730011223378237214")
"""bthome.io/encryption: 25.06 °C and 50.55 %, with the key and address above."""

# bthome.io/format, the column "example" of its tables: an object and its result.
BTHOME = [
    ("0009", "packet_id", 9),
    ("0161", "battery", 97),
    ("02ca09", "temperature", 25.06),
    ("451101", "temperature", 27.3),
    ("57ea", "temperature", -22),
    ("58ea", "temperature", -7.7),
    ("03bf13", "humidity", 50.55),
    ("2e23", "humidity", 35),
    ("04138a01", "pressure", 1008.83),
    ("05138a14", "illuminance", 13460.67),
    ("065e1f", "mass", 80.3),
    ("073e1d", "mass_lb", 74.86),
    ("08ca06", "dew_point", 17.38),
    ("0960", "count", 96),
    ("3d0960", "count", 24585),
    ("3e2a2c0960", "count", 1611213866),
    ("59ea", "count", -22),
    ("5aeaea", "count", -5398),
    ("5bea0234ea", "count", -365690134),
    ("0a138a14", "energy", 1346.067),
    ("4d12138a14", "energy", 344593.17),
    ("0b021b00", "power", 69.14),
    ("5c02fbffff", "power", -12.78),
    ("0c020c", "voltage", 3.074),
    ("4a020c", "voltage", 307.4),
    ("0d120c", "pm2_5", 3090),
    ("0e021c", "pm10", 7170),
    ("12e204", "co2", 1250),
    ("133301", "tvoc", 307),
    ("14020c", "moisture", 30.74),
    ("2f23", "moisture", 35),
    ("3f020c", "rotation", 307.4),
    ("400c00", "distance", 0.012),
    ("414e00", "distance", 7.8),
    ("424e3400", "duration", 13.39),
    ("434e34", "current", 13.39),
    ("5d02ea", "current", -5.63),
    ("444e34", "speed", 133.9),
    ("4632", "uv_index", 5.0),
    ("478756", "volume", 2215.1),
    ("48dc87", "volume", 34.78),
    ("4e87562a01", "volume", 19551.879),
    ("49dc87", "volume_flow", 34.78),
    ("4b138a14", "gas_volume", 1346.067),
    ("4c41018a01", "gas_volume", 25821.505),
    ("4f87562a01", "water", 19551.879),
    ("505d396164", "timestamp", 1684093277),
    ("518756", "acceleration", 22.151),
    ("528756", "gyroscope", 22.151),
    ("5587562a01", "volume_storage", 19551.879),
    ("56e803", "conductivity", 1000),
    ("5e9f8c", "direction", 359.99),
    ("6001", "channel", 1),
    ("1501", "battery_low", True),
    ("2100", "motion", False),
    ("2d01", "window", True),
]

# docs.ruuvi.com, data format 5, "test vectors": valid data, maximum values, minimum values, invalid values.
RUUVI = [
    (
        "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F",
        [205, 24.3, 53.49, 100044, 4, -4, 1036, 2.977, 4, 66],
    ),
    (
        "057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F",
        [65534, 163.835, 163.835, 115534, 32767, 32767, 32767, 3.646, 20, 254],
    ),
    (
        "058001000000008001800180010000000000CBB8334C884F",
        [0, -163.835, 0.0, 50000, -32767, -32767, -32767, 1.6, -40, 0],
    ),
    ("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF", [None] * 10),
]

# Bluetooth SIG, GATT Specification Supplement: sint16 0.01 °C (0x8000: not known), uint16 0.01 %
# (0xFFFF: not known), uint32 0.1 Pa.
ESS = [
    ("temperature", "ca09", 25.06),
    ("temperature", "38ff", -2.0),
    ("temperature", "0080", None),
    ("humidity", "bf13", 50.55),
    ("humidity", "ffff", None),
    ("pressure", "cd750f00", 101319.7),
]


def values(packet: Packet, quantities: dict[str, Quantity]) -> dict[str, object]:
    return {tag: quantities[tag].value(raw) for tag, raw in packet.raw.items()}


def sealed(data: bytes) -> Advert:
    return Advert(MAC, 0, service_data={bthome.SERVICE: data})


@pytest.mark.parametrize(("example", "tag", "expected"), BTHOME)
def test_each_bthome_example_gives_its_published_result(example: str, tag: str, expected: object) -> None:
    packet = bthome.decode(bytes.fromhex("40" + example))
    assert values(packet, QUANTITIES) == {tag: expected}
    with pytest.raises(Reject, match="cut"):
        bthome.decode(bytes.fromhex("40" + example)[:-1])


def test_every_object_s_tag_has_a_quantity() -> None:
    assert {each.tag for each in NUMBERS.values()} | {tag for tag, _, _ in SPECIAL.values()} == set(BASE)


def test_a_packet_of_several_objects_counts_those_of_one_kind() -> None:
    packet = bthome.decode(bytes.fromhex("40000902ca0903bf1302cb09"))
    assert packet.id == 9
    assert packet.raw == {"packet_id": 9, "temperature": 2506, "humidity": 5055, "temperature_2": 2507}


def test_an_object_that_is_not_known_ends_a_packet_and_keeps_what_came_before() -> None:
    packet = bthome.decode(bytes.fromhex("4002ca09ee0102"))
    assert (packet.raw, packet.unknown) == ({"temperature": 2506}, 0xEE)


def test_an_encrypted_packet_opens_with_its_key_alone() -> None:
    packet = bthome.make_decode(MAC, KEY)(sealed(SEALED))
    assert packet == Packet({"temperature": 2506, "humidity": 5055}, None, 0x33221100)
    with pytest.raises(Reject, match="bind_key"):
        bthome.make_decode(MAC, bytes(16))(sealed(SEALED))
    with pytest.raises(Reject, match="bind_key"):
        bthome.make_decode("54:48:E6:8F:80:A6", KEY)(sealed(SEALED))
    with pytest.raises(Reject, match="bind_key"):
        bthome.make_decode(MAC, None)(sealed(SEALED))
    with pytest.raises(Reject, match="plain"):
        bthome.make_decode(MAC, KEY)(sealed(bytes.fromhex("4002ca09")))


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_cut_encrypted_packet_is_refused(length: int) -> None:
    with pytest.raises(Reject):
        bthome.make_decode(MAC, KEY)(sealed(SEALED[:length]))


@pytest.mark.parametrize(("data", "expected"), RUUVI)
def test_each_ruuvi_vector_gives_its_published_values(data: str, expected: list[object]) -> None:
    packet = ruuvi5.decode(bytes.fromhex(data))
    assert list(values(packet, ruuvi5.QUANTITIES).values()) == expected
    assert packet.id == expected[0]
    for length in range(24):
        with pytest.raises(Reject):
            ruuvi5.decode(bytes.fromhex(data)[:length])


@pytest.mark.parametrize(("tag", "data", "expected"), ESS)
def test_each_characteristic_gives_its_value(tag: str, data: str, expected: float | None) -> None:
    (each,) = [c for c in ess.CHARACTERISTICS if c.quantities[0].tag == tag]
    assert values(each.decode(bytes.fromhex(data)), dict(ess.PROFILE.quantities)) == {tag: expected}
    for wrong in (bytes.fromhex(data)[:-1], bytes.fromhex(data + "00"), b""):
        with pytest.raises(Reject):
            each.decode(wrong)


@given(
    st.binary(max_size=40), st.sampled_from([b"", b"\x40", b"\x41", b"\x05"]), st.sampled_from([None, KEY])
)
def test_random_adverts_are_decoded_or_rejected_and_nothing_else(
    tail: bytes, head: bytes, key: bytes | None
) -> None:
    data = head + tail
    advert = Advert(MAC, 0, 0, {bthome.SERVICE: data}, {ruuvi5.COMPANY: data})
    for profile in PROFILES.values():
        if profile.make_decode is None:
            continue
        try:
            packet = profile.make_decode(MAC, key if profile.encrypts else None)(advert)
        except Reject:
            continue
        assert packet is None or set(packet.raw) <= set(profile.quantities)


def test_the_same_id_is_the_same_packet() -> None:
    fresh = Freshness()
    heard = [(Packet({"packet_id": n}, n), at) for n, at in ((7, 0), (7, 5), (8, 10), (7, 20), (7, 90_000))]
    assert [fresh.is_new(packet, at) for packet, at in heard] == [True, False, True, True, False]
    assert fresh.repeats == 2


def test_without_an_id_the_same_content_is_new_after_a_second() -> None:
    fresh = Freshness()
    packet = Packet({"temperature": 1})
    assert [fresh.is_new(packet, at) for at in (0, 600, 1200, 1800, 2200)] == [True, False, True, False, True]


def test_a_counter_that_goes_down_is_a_replay_until_it_turns() -> None:
    fresh = Freshness()
    counters = (10, 10, 9, 11, COUNTER_END - 1, 50, 50, 51)
    taken = [fresh.is_new(Packet({"temperature": 1}, None, n), 0) for n in counters]
    assert taken == [True, False, False, True, True, True, False, True]
    assert (fresh.repeats, fresh.replays) == (2, 1)
