"""Formats that a site document describes: what they decode, and every fault with its place."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.ble.config import BleConfig, Device, parse_mapping
from headgate.ble.decoders.fields import TYPES, medfloat16
from headgate.ble.decoders.quantity import Advert
from headgate.ble.samples import Framer, Sample, samples_of
from headgate.errors import Reject
from headgate.model import Quality, Series

ADDRESS = "C8:00:00:00:00:09"
COMPANY = 0x0BCD
GOOD, UNCERTAIN, BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.BAD_VALUE


def described(*values: dict[str, Any], **more: Any) -> BleConfig:
    own = {"name": "own", "company": COMPANY, "values": list(values), **more}
    own = {key: value for key, value in own.items() if value is not None}
    return parse_mapping({"formats": [own], "devices": [{"name": "d", "address": ADDRESS, "profile": "own"}]})


def faults(*values: dict[str, Any], **more: Any) -> list[str]:
    with pytest.raises(Reject) as refused:
        described(*values, **more)
    return [f"{each.path}: {each.what}" for each in refused.value.problems]


def heard(device: Device, data: bytes) -> dict[str, tuple[object, int]] | None:
    """Value and quality by tag; None for another format."""
    advert = Advert(device.address, 0, -50, {}, {COMPANY: data})
    assert device.format.make_decode is not None
    packet = device.format.make_decode(device.address, None)(advert)
    if packet is None:
        return None
    framer = Framer(device, range(len(device.tags)))
    framer.frame(packet, advert.boot_ms, advert.rssi_dbm)
    samples = {tag: framer.last(tag) for tag in device.tags}
    return {tag: (sample.value, sample.quality) for tag, sample in samples.items() if sample}


def one(data: str, **value: Any) -> tuple[object, int]:
    (device,) = described({"name": "v", **value}).devices
    found = heard(device, bytes.fromhex(data))
    assert found is not None
    return found["v"]


@pytest.mark.parametrize(
    ("data", "value", "expected"),
    [
        ("ff", {"type": "uint8"}, (255, GOOD)),
        ("ff", {"type": "int8"}, (-1, GOOD)),
        ("0001", {"type": "uint16"}, (256, GOOD)),
        ("0001", {"type": "uint16", "order": "big"}, (1, GOOD)),
        ("aa010000", {"type": "int24", "at": 1}, (1, GOOD)),
        ("000080", {"type": "int24"}, (-(1 << 23), GOOD)),
        ("ffffffffffff", {"type": "uint48"}, ((1 << 48) - 1, GOOD)),
        ("ffffffffffffffff", {"type": "uint64"}, ((1 << 64) - 1, GOOD)),
        ("0000c03f", {"type": "float32"}, (1.5, GOOD)),
        ("3fc00000", {"type": "float32", "order": "big"}, (1.5, GOOD)),
        ("0000c07f", {"type": "float32"}, (None, BAD)),
        ("0000807f", {"type": "float32"}, (None, BAD)),
        ("003c", {"type": "float16", "scale": 2, "offset": 1}, (3.0, GOOD)),
        ("6af0", {"type": "medfloat16"}, (10.6, GOOD)),
        ("ff07", {"type": "medfloat16"}, (None, BAD)),
        ("08", {"type": "bit", "bit": 3}, (True, GOOD)),
        ("f7", {"type": "bit", "bit": 3}, (False, GOOD)),
        ("48690000", {"type": "string"}, ("Hi", GOOD)),
        ("486921", {"type": "string", "length": 2}, ("Hi", GOOD)),
        ("ff", {"type": "string"}, (None, BAD)),
        ("fd08", {"type": "uint16", "scale": 0.1}, (230.1, GOOD)),
        ("fd08", {"type": "uint16", "decimals": 2, "offset": -40}, (-16.99, GOOD)),
        ("fd08", {"type": "uint16", "scale": 10}, (23010.0, GOOD)),
        ("f0ff", {"type": "int16", "scale": -0.5}, (8.0, GOOD)),
        ("ffff", {"type": "uint16", "not_available": 0xFFFF}, (None, BAD)),
        ("0080", {"type": "int16", "not_available": [0x8000, 0x7FFF]}, (None, BAD)),
        ("ffff7f7f", {"type": "float32", "not_available": 0x7F7FFFFF}, (None, BAD)),
        ("a5", {"type": "uint8", "mask": 0xF0}, (10, GOOD)),
        ("01", {"type": "uint8", "values": {0: "idle", 1: "filling"}}, ("filling", GOOD)),
        ("07", {"type": "uint8", "values": {0: "idle", 1: "filling"}}, ("7", UNCERTAIN)),
        ("ff", {"type": "uint8", "values": {0: "idle"}, "not_available": 255}, (None, BAD)),
        ("e903", {"type": "uint16", "scale": 0.1, "high": 100}, (100.1, UNCERTAIN)),
        ("e803", {"type": "uint16", "scale": 0.1, "high": 100}, (100.0, GOOD)),
        ("00", {"type": "uint8", "low": 1}, (0, UNCERTAIN)),
        ("0000c0bf", {"type": "float32", "low": 0}, (-1.5, UNCERTAIN)),
        ("ffffffffffffff7f", {"type": "int64", "scale": 1}, (float((1 << 63) - 1), UNCERTAIN)),
    ],
)
def test_a_described_value_is_decoded(data: str, value: dict[str, Any], expected: tuple[object, int]) -> None:
    found, quality = one(data, **value)
    assert (found, quality) == expected
    assert type(found) is type(expected[0])


@given(st.integers(0, (1 << 64) - 1), st.sampled_from(["little", "big"]), st.sampled_from(sorted(TYPES)))
def test_integers_of_every_width_and_order_come_back(number: int, order: str, name: str) -> None:
    kind = TYPES[name]
    if kind.family != "integer":
        return
    bits = 8 * kind.size_bytes
    number %= 1 << bits
    if kind.signed and number >> bits - 1:
        number -= 1 << bits
    data = number.to_bytes(kind.size_bytes, "little" if order == "little" else "big", signed=kind.signed)
    assert one("ab" + data.hex(), type=name, order=order, at=1) == (number, GOOD)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_come_back(number: float) -> None:
    assert one(struct.pack(">f", number).hex(), type="float32", order="big") == (number, GOOD)


def test_a_medfloat16_has_no_reserved_value() -> None:
    assert [medfloat16(pattern) for pattern in (0x07FE, 0x07FF, 0x0800, 0x0801, 0x0802)] == [None] * 5
    assert [medfloat16(pattern) for pattern in (0x0001, 0x0FFF, 0x1001, 0xF001)] == [1, -1, 10, 0.1]


def test_series_have_the_kind_and_decimals_that_the_description_means() -> None:
    (device,) = described(
        {"name": "n", "type": "uint8"},
        {"name": "u", "type": "uint64"},
        {"name": "s", "type": "int16", "scale": 0.25, "unit": "mm"},
        {"name": "t", "type": "int16", "scale": 10},
        {"name": "f", "type": "float32", "scale": 0.1},
        {"name": "b", "type": "bit", "bit": 0},
        {"name": "e", "type": "uint8", "values": {1: "on"}},
        {"name": "x", "type": "string"},
    ).devices
    assert [device.series(tag) for tag in device.tags] == [
        Series("d/n", "", "i64"),
        Series("d/u", "", "u64"),
        Series("d/s", "mm", "f64", 2),
        Series("d/t", "", "f64", 0),
        Series("d/f", "", "f64"),
        Series("d/b", "", "bool"),
        Series("d/e", "", "text"),
        Series("d/x", "", "text"),
    ]


def test_only_data_with_the_prefix_and_the_length_is_of_the_format() -> None:
    (device,) = described({"name": "v", "type": "uint8", "at": 2}, starts_with="01 02", length=4).devices
    assert heard(device, bytes.fromhex("01020304")) == {"v": (3, GOOD)}
    assert heard(device, bytes.fromhex("01030304")) is None
    for wrong in ("010203", "0102030405"):
        with pytest.raises(Reject, match=r"own: .* expected 4 B"):
            heard(device, bytes.fromhex(wrong))


def test_data_too_short_for_a_value_is_refused_and_more_is_not() -> None:
    (device,) = described({"name": "v", "type": "uint16", "at": 1}).devices
    with pytest.raises(Reject, match="expected 3 B or more"):
        heard(device, b"\0\0")
    assert heard(device, b"\0\1\0\xff") == {"v": (1, GOOD)}


def test_the_packet_id_tells_packets_apart_and_is_always_a_series() -> None:
    values = [{"name": "n", "type": "uint8"}, {"name": "v", "type": "uint8", "at": 1}]
    own = {"name": "own", "company": COMPANY, "packet_id": "n", "values": values}
    device = {"name": "d", "address": ADDRESS, "profile": "own", "tags": ["v", "rssi"]}
    (parsed,) = parse_mapping({"formats": [own], "devices": [device]}).devices
    assert parsed.tags == ("n", "v", "rssi")
    assert parsed.format.make_decode is not None
    packet = parsed.format.make_decode(ADDRESS, None)(Advert(ADDRESS, 0, 0, {}, {COMPANY: b"\x07\x01"}))
    assert packet is not None
    assert packet.id == 7
    assert heard(parsed, b"\x07\x01") == {"n": (7, GOOD), "v": (1, GOOD), "rssi": (-50, GOOD)}


def test_service_data_is_found_by_its_short_or_long_uuid() -> None:
    for spelt in ("FEAA", "0xfeaa", "0000FEAA-0000-1000-8000-00805F9B34FB"):
        (device,) = described({"name": "v", "type": "uint8"}, company=None, service=spelt).devices
        assert device.format.make_decode is not None
        decode = device.format.make_decode(ADDRESS, None)
        packet = decode(Advert(ADDRESS, 0, 0, {"0000feaa-0000-1000-8000-00805f9b34fb": b"\x09"}))
        assert packet is not None
        assert packet.raw == {"v": 9}


def test_values_of_one_characteristic_are_read_at_once() -> None:
    values = [
        {"name": "flow", "characteristic": "AA01", "type": "uint16", "scale": 0.1},
        {"name": "battery", "characteristic": "2A19", "type": "uint8", "high": 100},
        {"name": "state", "characteristic": "AA01", "at": 2, "type": "uint8", "values": {1: "ok"}},
    ]
    (device,) = described(*values, company=None).devices
    assert device.tags == ("flow", "battery", "state")
    assert device.format.make_decode is None
    by_uuid = {each.uuid[4:8]: each for each in device.format.characteristics}
    assert samples_of(by_uuid["aa01"], bytes.fromhex("0f0002"), 5) == {
        "flow": Sample(1.5, GOOD, 5),
        "state": Sample("2", UNCERTAIN, 5),
    }
    assert samples_of(by_uuid["aa01"], b"\x0f", 5) == {
        "flow": Sample(None, BAD, 5),
        "state": Sample(None, BAD, 5),
    }
    assert samples_of(by_uuid["2a19"], b"\x65", 5) == {"battery": Sample(101, UNCERTAIN, 5)}


def test_an_equal_description_is_no_change() -> None:
    value = {"name": "v", "type": "uint8"}
    (one_device,), (same,) = described(value).devices, described(value).devices
    (other,) = described({**value, "unit": "mm"}).devices
    assert one_device == same
    assert one_device.format is same.format
    assert one_device != other


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"type": "uint7"}, "type: unknown 'uint7'"),
        ({"type": "uint8", "at": -1}, "at: -1 is out of range"),
        ({"type": "uint32", "at": 509}, "at: 509 is out of range"),
        ({"type": "uint8", "order": "middle"}, "order: unknown 'middle'"),
        ({"type": "string", "order": "big"}, "order: does not go with type string"),
        ({"type": "bit"}, "bit: is missing"),
        ({"type": "bit", "bit": 8}, "bit: 8 is out of range"),
        ({"type": "uint8", "bit": 1}, "bit: does not go with type uint8"),
        ({"type": "int8", "mask": 1}, "mask: does not go with type int8"),
        ({"type": "uint8", "mask": 0x100}, "mask: 256 is no mask of this type"),
        ({"type": "uint8", "scale": 0}, "scale: 0 makes every value the same"),
        ({"type": "uint8", "scale": "x"}, "scale: expected a number, found text ('x')"),
        ({"type": "uint8", "scale": 0.1, "decimals": 1}, "decimals: says what scale says"),
        ({"type": "float32", "decimals": 1}, "decimals: does not go with type float32"),
        ({"type": "uint8", "values": {1: True}}, "values.1: expected text, found a boolean (True)"),
        ({"type": "uint8", "values": {256: "x"}}, "values.256: is not a number that this value can have"),
        ({"type": "uint8", "values": {1: "a", "1": "b"}}, "values.1: 1 is there twice"),
        ({"type": "uint8", "values": []}, "values: expected numbers with their texts, found a list"),
        ({"type": "uint8", "values": {1: "a"}, "scale": 2}, "scale: does not go with values"),
        ({"type": "uint8", "not_available": 256}, "not_available: 256 is nothing that a 8-bit value can be"),
        (
            {"type": "uint8", "not_available": ["x"]},
            "not_available[0]: 'x' is nothing that a 8-bit value can be",
        ),
        ({"type": "uint8", "low": 2, "high": 1}, "high: is below low"),
        ({"type": "uint8", "unit": "x" * 17}, f"unit: '{'x' * 17}' is not allowed here"),
        ({"type": "uint8", "ofset": 1}, "ofset: unknown key"),
        ({"type": "uint8", "name": "a/b"}, "name: 'a/b' is not allowed here"),
        ({"type": "uint8", "name": "rssi"}, "name: 'rssi' is taken"),
        ({"type": "uint8", "characteristic": "2A19"}, "characteristic: does not go with an advertisement"),
    ],
)
def test_each_fault_of_a_value_is_named_with_its_place(value: dict[str, Any], fault: str) -> None:
    assert faults({"name": "v", **value}) == [f"ble.formats[0].values[0].{fault}"]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"name": "bthome"}, "name: 'bthome' is taken"),
        ({"company": 65536}, "company: 65536 is out of range"),
        ({"service": "FEAA"}, "service: stands beside company"),
        ({"starts_with": "012"}, "starts_with: '012' are no bytes"),
        ({"starts_with": 12}, "starts_with: expected text, found a number (12)"),
        ({"length": 0}, "length: 0 is out of range"),
        ({"length": 1}, "length: 1 is out of range"),
        ({"packet_id": "w"}, "packet_id: 'w' counts no packets"),
        ({"values": []}, "values: are 0"),
        ({"comapny": 1}, "comapny: unknown key"),
    ],
)
def test_each_fault_of_a_format_is_named_with_its_place(more: dict[str, Any], fault: str) -> None:
    found = faults({"name": "v", "type": "uint16"}, **more)
    assert [each for each in found if "devices" not in each] == [f"ble.formats[0].{fault}"]


def test_a_format_without_an_advertisement_needs_characteristics() -> None:
    value = {"name": "v", "type": "uint8"}
    assert faults(value, company=None) == ["ble.formats[0].values[0].characteristic: is missing"]
    assert faults({**value, "characteristic": "XYZ"}, company=None) == [
        "ble.formats[0].values[0].characteristic: 'XYZ' is no UUID"
    ]
    assert faults({**value, "characteristic": "2A19"}, company=None, starts_with="01", packet_id="v") == [
        "ble.formats[0].packet_id: is of an advertisement only",
        "ble.formats[0].starts_with: is of an advertisement only",
    ]


def test_names_are_taken_once() -> None:
    value = {"name": "v", "type": "uint8"}
    assert faults(value, value) == ["ble.formats[0].values[1].name: 'v' is taken"]
    own = {"name": "own", "company": 1, "values": [value]}
    with pytest.raises(Reject, match=r"ble\.formats\[1\]\.name: 'own' is taken"):
        parse_mapping({"formats": [own, own]})
