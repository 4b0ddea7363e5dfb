"""Decoders on published vectors, on what is not available, cut, replayed, wrongly sealed, and random."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.ble.decoders import bthome, ess, ruuvi5
from headgate.ble.decoders.quantity import Advert, Packet, Quantity
from headgate.ble.decoders.registry import PROFILES
from headgate.ble.packets import COUNTER_END, Freshness
from headgate.errors import Reject

MAC = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
SEALED = bytes.fromhex("41a47266c95f730011223378237214")
"""bthome.io/encryption: 25.06 °C and 50.55 %, with the key and address above."""

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


def test_a_packet_of_several_objects_counts_those_of_one_kind() -> None:
    packet = bthome.decode(bytes.fromhex("40000902ca0903bf1302cb09"))
    assert packet.id == 9
    assert packet.raw == {"packet_id": 9, "temperature": 2506, "humidity": 5055, "temperature_2": 2507}


def test_an_object_that_is_not_known_ends_a_packet_and_keeps_what_came_before() -> None:
    packet = bthome.decode(bytes.fromhex("4002ca09ee0102"))
    assert (packet.raw, packet.unknown) == ({"temperature": 2506}, 0xEE)


def test_an_encrypted_packet_opens_with_its_key_alone() -> None:
    packet = bthome.make_decode(MAC, KEY)(sealed(SEALED))
    assert packet == Packet.of({"temperature": 2506, "humidity": 5055}, None, 0x33221100)
    with pytest.raises(Reject, match="bind_key"):
        bthome.make_decode(MAC, bytes(16))(sealed(SEALED))
    with pytest.raises(Reject, match="bind_key"):
        bthome.make_decode("54:48:E6:8F:80:A6", KEY)(sealed(SEALED))
    with pytest.raises(Reject, match="bind_key"):
        bthome.make_decode(MAC, None)(sealed(SEALED))
    with pytest.raises(Reject, match="plain"):
        bthome.make_decode(MAC, KEY)(sealed(bytes.fromhex("4002ca09")))


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
    heard = [
        (Packet.of({"packet_id": n}, n), at) for n, at in ((7, 0), (7, 5), (8, 10), (7, 20), (7, 90_000))
    ]
    assert [fresh.is_new(packet, at) for packet, at in heard] == [True, False, True, True, False]
    assert fresh.repeats == 2


def test_without_an_id_the_same_content_is_new_after_a_second() -> None:
    fresh = Freshness()
    packet = Packet.of({"temperature": 1})
    assert [fresh.is_new(packet, at) for at in (0, 600, 1200, 1800, 2200)] == [True, False, True, False, True]


def test_a_counter_that_goes_down_is_a_replay_until_it_turns() -> None:
    fresh = Freshness()
    counters = (10, 10, 9, 11, COUNTER_END - 1, 50, 50, 51)
    taken = [fresh.is_new(Packet.of({"temperature": 1}, None, n), 0) for n in counters]
    assert taken == [True, False, False, True, True, True, False, True]
    assert (fresh.repeats, fresh.replays) == (2, 1)
