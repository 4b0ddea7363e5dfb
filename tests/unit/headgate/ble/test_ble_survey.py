"""What is overheard: which profiles fit, what is only guessed, and that no packet breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.ble import tank
from gateway_sim.ble.sensors import building
from headgate.ble.commissioning.report import HEARD_HEAD, heard_rows
from headgate.ble.commissioning.suggest import suggested_site
from headgate.ble.config import parse_mapping
from headgate.ble.decoders.quantity import BASE_UUID, Advert
from headgate.ble.hints import address_kind, maker, short_uuid
from headgate.ble.radio import Overheard
from headgate.ble.survey import MAX_DEVICES, Sighting, Survey
from headgate.commands.screen import table_lines
from tests.support.ble_golden import Case, cases

ADDRESS = "A4:C1:38:10:00:01"
TANK = {**tank.DESCRIPTION}


def survey(*heard: Overheard, **options: Any) -> Survey:
    made = Survey(**options)
    for each in heard:
        made.hear(each)
    return made


def one(*heard: Overheard, **options: Any) -> Sighting:
    (found,) = survey(*heard, **options).found()
    return found


def around() -> list[Overheard]:
    """One packet of each sensor of the simulated building, named as it is."""
    heard = []
    for sensor in building(1):
        raws = sensor.measure(1, 0.0)
        packet = sensor.advertise(1, raws)
        advert = Advert(
            sensor.device.address,
            5,
            -60,
            packet.service_data,
            packet.manufacturer_data,
            sensor.device.name,
        )
        heard.append(Overheard(advert, packet.uuids, "public"))
    return heard


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case.profile}-{case.data.hex()[:12]}")
def test_published_packets_are_recognised(case: Case) -> None:
    found = one(Overheard(case.advert())).fits()
    if case.key is not None:
        assert [fit.profile.name for fit in found if fit.sealed] == [case.profile]
    elif any(value is not None for value in case.values.values()):
        fit = next(fit for fit in found if fit.profile.name == case.profile)
        assert set(fit.values) <= set(case.values)
        assert fit.values


@given(st.sampled_from(list(cases())), st.binary(max_size=40), st.integers(0, 40))
def test_no_packet_breaks_it(case: Case, noise: bytes, cut: int) -> None:
    for data in (noise, case.data[:cut], case.data + noise, case.data[:cut] + noise):
        found = survey(Overheard(case.advert(data)))
        json.dumps([each.as_json(0) for each in found.found()], allow_nan=False)
        parse_mapping(yaml.safe_load(suggested_site(found.found(), "hci0"))["ble"])


def test_the_building_becomes_a_site_document() -> None:
    found = survey(*around()).found()
    site = suggested_site(found, "hci1")
    parsed = parse_mapping(yaml.safe_load(site)["ble"])
    assert {device.name: (device.profile, device.adapter) for device in parsed.devices} == {
        "office": ("bthome", "hci1"),
        "cold-store": ("ruuvi5", "hci1"),
        "workshop": ("ess", "hci1"),
        "loft": ("ess", "hci1"),
    }
    office = next(device for device in parsed.devices if device.name == "office")
    assert set(office.tags) == {"packet_id", "battery", "temperature", "humidity"}
    assert "# archive, -60 dBm: encrypted; give its bind_key" in site
    uncommented = site.replace("    # - ", "    - ").replace("    #   ", "      ")
    archive = parse_mapping(yaml.safe_load(uncommented)["ble"]).devices
    assert {device.name for device in archive} == {"office", "cold-store", "workshop", "loft", "archive"}
    assert "tank" not in site
    lines = table_lines(HEARD_HEAD, heard_rows(found))
    (row,) = [line for line in lines if "tank" in line]
    assert f"0x{tank.COMPANY:04x}: " in row
    assert any("encrypted: needs its bind_key" in line for line in lines)


def test_a_format_of_the_site_s_own_is_recognised_too() -> None:
    description = {**TANK}
    devices = [{"name": "t", "address": "C8:2A:10:00:00:09", "profile": description["name"]}]
    (device,) = parse_mapping({"formats": [description], "devices": devices}).devices
    found = survey(*around(), formats=[device.format]).sightings["C8:2A:10:00:00:09"]
    (fit,) = found.fits()
    assert fit.profile.name == description["name"]
    assert "level" in fit.values


def test_what_packets_say_adds_up_and_repetitions_are_counted() -> None:
    first = Advert(ADDRESS, 10, -70, {BASE_UUID.format(0xFCD2): bytes.fromhex("4002c409")})
    second = Advert(ADDRESS, 20, -50, {BASE_UUID.format(0xFCD2): bytes.fromhex("4003bf13")}, name="Kitchen")
    found = one(*map(Overheard, (first, first, second, first._replace(boot_ms=30, rssi_dbm=-80))))
    row = found.as_json(1_000)
    (profile,) = row["profiles"]
    assert profile == {"profile": "bthome", "values": {"temperature": 25.0, "humidity": 50.55}}
    assert (row["adverts"], row["rssi"], row["best_rssi"]) == (4, -80, -50)
    assert (row["t"], row["name"]) == (1_030, "Kitchen")


def test_names_and_services_are_guessed_from() -> None:
    guesses = {
        "GVH5075_1234": ["govee"],
        "sps": ["inkbird"],
        "LYWSD03MMC": ["xiaomi"],
        "Phone": [],
    }
    for name, expected in guesses.items():
        found = one(Overheard(Advert(ADDRESS, 0, name=name)), brands=False).fits()
        assert [fit.profile.name for fit in found] == expected
        assert all(fit.guessed for fit in found)
    battery = one(Overheard(Advert(ADDRESS, 0), (BASE_UUID.format(0x180F),)))
    assert [fit.profile.name for fit in battery.fits()] == ["ess"]


def test_private_addresses_are_not_suggested() -> None:
    assert address_kind("7B:00:00:00:00:01", "random") == "private"
    assert address_kind("3B:00:00:00:00:01", "random") == "private"
    assert address_kind("C0:00:00:00:00:01", "random") == "static"
    assert (address_kind(ADDRESS, "public"), address_kind(ADDRESS, "")) == ("public", "")
    beacon = bytes.fromhex("0215") + bytes(20) + b"\xc5"
    found = one(Overheard(Advert("7B:00:00:00:00:01", 0, -40, {}, {0x4C: beacon}), address_type="random"))
    site = suggested_site([found], "hci0")
    assert "its address changes" in site
    assert yaml.safe_load(site)["ble"] == {"devices": []}


def test_suggested_names_are_names_each_its_own() -> None:
    data = {BASE_UUID.format(0xFCD2): bytes.fromhex("4002c409")}
    names = ["no", "no", "Wohnzimmer Süd / 1", "1.5", "___", "-", "x" * 200, "", "Null"]
    heard = [
        Overheard(Advert(f"A4:C1:38:10:00:{n:02X}", 0, -60, data, {}, name)) for n, name in enumerate(names)
    ]
    parsed = parse_mapping(yaml.safe_load(suggested_site(survey(*heard).found(), "hci0"))["ble"])
    assert len({device.name for device in parsed.devices}) == len(names)
    assert {"no", "no-2", "wohnzimmer-s-d-1", "ble-0003"} <= {device.name for device in parsed.devices}


def test_an_air_full_of_phones_is_bounded() -> None:
    made = Survey()
    for number in range(MAX_DEVICES + 5):
        address = f"7B:00:00:00:{number >> 8:02X}:{number & 255:02X}"
        made.hear(Overheard(Advert(address, 0), (), "random"))
    assert (len(made.sightings), made.missed, made.adverts) == (MAX_DEVICES, 5, MAX_DEVICES + 5)


def test_spelling() -> None:
    assert short_uuid(BASE_UUID.format(0xFCD2)) == "fcd2"
    assert short_uuid("12345678-0000-1000-8000-00805f9b34fc") == "12345678-0000-1000-8000-00805f9b34fc"
    assert (maker(0x4C), maker(0xBCD)) == ("0x004c (Apple)", "0x0bcd")
