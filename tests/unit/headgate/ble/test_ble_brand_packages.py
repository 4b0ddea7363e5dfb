"""Packets of brands, decoded by the packages that others maintain (requirements/crosscheck.txt)."""

from __future__ import annotations

import random

import pytest

from headgate.ble.decoders import brands
from headgate.ble.decoders.quantity import BASE_UUID, Advert, Decode
from headgate.errors import Reject

ADDRESS = "A4:C1:38:AA:BB:CC"
MIBEACON = BASE_UUID.format(0xFE95)
KEY = bytes.fromhex("aa" * 16)
# github.com/pvvx/ATC_MiThermometer, python-interface, atc_mi_format_test.py
MI_PLAIN = bytes.fromhex("50585b051bccbbaa38c1a40d1004be000002")
MI_SEALED = bytes.fromhex("58585b05f4ccbbaa38c1a413df92a81cb30000acc46fda")


def decoder(name: str, key: bytes | None = None) -> Decode:
    make_decode = brands.PROFILES[name].make_decode
    assert make_decode is not None
    return make_decode(ADDRESS, key)


def test_a_xiaomi_packet_gives_what_is_new_in_it() -> None:
    decode = decoder("xiaomi")
    packet = decode(Advert(ADDRESS, 0, -60, {MIBEACON: MI_PLAIN}))
    assert packet is not None
    assert packet.raw == {"temperature": 19.0, "humidity": 51.2}
    battery = bytes.fromhex("50585b0522ccbbaa38c1a40a10014f")
    later = decode(Advert(ADDRESS, 5_000, -60, {MIBEACON: battery}))
    assert later is not None
    assert {tag: raw for tag, raw in later.raw.items() if tag != "voltage"} == {"battery": 79.0}
    assert decode(Advert(ADDRESS, 6_000, -60, {}, {0x4C: b"\x10\x05"})) is None


def test_a_sealed_xiaomi_packet_opens_with_its_key_alone() -> None:
    advert = Advert(ADDRESS, 0, -60, {MIBEACON: MI_SEALED})
    packet = decoder("xiaomi", KEY)(advert)
    assert packet is not None
    assert set(packet.raw) == {"temperature"}
    with pytest.raises(Reject, match="does not open with this bind_key"):
        decoder("xiaomi", bytes(16))(advert)
    with pytest.raises(Reject, match="give the device's bind_key"):
        decoder("xiaomi")(advert)


def test_a_govee_packet() -> None:
    advert = Advert(ADDRESS, 0, -60, {}, {0xEC88: bytes.fromhex("000341c26400")}, "GVH5075_2762")
    packet = decoder("govee")(advert)
    assert packet is not None
    assert packet.raw == {"temperature": 21.3, "humidity": 44.2, "battery": 100.0}


def test_an_inkbird_packet() -> None:
    advert = Advert(ADDRESS, 0, -60, {}, {2096: bytes.fromhex("0f12005ac75706")}, "sps")
    packet = decoder("inkbird")(advert)
    assert packet is not None
    assert packet.raw == {"temperature": 20.96, "humidity": 46.23, "battery": 87.0}


@pytest.mark.parametrize("name", sorted(brands.BRANDS))
def test_random_bytes_are_refused_or_left_alone(name: str, seed: int) -> None:
    chance = random.Random(f"{seed} {name}")
    decode = decoder(name, KEY if brands.BRANDS[name].keyed else None)
    for at in range(2_000):
        data = chance.randbytes(chance.randint(0, 24))
        head = MI_SEALED[: chance.randint(0, 12)]
        service = {MIBEACON: head + data} if chance.random() < 0.5 else {}
        manufacturer = {chance.choice([1, 0xEC88, 2096]): data}
        device = chance.choice(["sps", "tps", "GVH5075_2762", "GVH5106_0001", ""])
        advert = Advert(ADDRESS, at, -60, service, manufacturer, device)
        try:
            packet = decode(advert)
        except Reject:
            continue
        assert packet is None or set(packet.raw) <= set(brands.QUANTITIES)
