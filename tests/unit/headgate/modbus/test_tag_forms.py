"""The keys of a tag: what each means, and every way to get one wrong, with its path and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.errors import Reject
from headgate.modbus.config import parse_mapping
from headgate.modbus.series_table import series_of
from headgate.modbus.tags import Tag
from headgate.modbus.types import Form, Scaling
from headgate.model import Series


def site(*tags: dict[str, Any], **device: Any) -> dict[str, Any]:
    named = [{"name": f"t{i}"} | tag for i, tag in enumerate(tags)]
    group = {"name": "g", "interval_s": 1, "tags": named}
    return {"devices": [{"name": "d", "transport": {"kind": "tcp", "host": "h"}, "groups": [group]} | device]}


def read(tag: dict[str, Any], **device: Any) -> Tag:
    return parse_mapping(site(tag, **device)).devices[0].groups[0].tags[0]


def series(tag: dict[str, Any]) -> Series:
    (device,) = parse_mapping(site({"table": "holding", "address": 0} | tag)).devices
    return series_of(device.name, device.groups[0].tags[0])


def form(tag: dict[str, Any], **device: Any) -> Form:
    return read({"table": "holding", "address": 0} | tag, **device).form


def faults(tag: dict[str, Any], **device: Any) -> str:
    with pytest.raises(Reject) as caught:
        parse_mapping(site(tag, **device))
    return str(caught.value)


def bad(key: str, value: Any, type_name: str = "uint16", **more: Any) -> str:
    return faults({"table": "holding", "address": 0, "type": type_name, key: value} | more)


@pytest.mark.parametrize(
    ("register", "base", "table", "address"),
    [
        (40001, None, "holding", 0),
        (40001, 1, "holding", 0),
        (40001, 0, "holding", 1),
        (40000, 0, "holding", 0),
        ("40108", None, "holding", 107),
        (49999, None, "holding", 9998),
        (465536, None, "holding", 65535),
        (400001.0, None, "holding", 0),
        (30053, None, "input", 52),
        (365535, None, "input", 65534),
    ],
)
def test_register_notation(register: Any, base: int | None, table: str, address: int) -> None:
    device = {} if base is None else {"base": base}
    tag = read({"register": register, "type": "uint16"}, **device)
    assert (tag.table, tag.address) == (table, address)


@pytest.mark.parametrize(
    ("register", "table", "address"),
    [(10001, "discrete", 0), (165536, "discrete", 65535), ("00001", "coil", 0), ("000020", "coil", 19)],
)
def test_bits_in_register_notation(register: Any, table: str, address: int) -> None:
    tag = read({"register": register})
    assert (tag.table, tag.address, tag.form) == (table, address, Form("bool"))


def test_a_base_shifts_addresses_and_a_table_may_repeat_what_a_register_says() -> None:
    tag = {"table": "input", "type": "uint16"}
    assert read(tag | {"address": 1}, base=1).address == 0
    assert read(tag | {"address": 65536}, base=1).address == 65535
    assert read(tag | {"address": 1}, base=0).address == 1
    assert read(tag | {"register": 30001}).address == 0


@pytest.mark.parametrize(
    ("tag", "device", "part"),
    [
        ({"register": 40000}, {}, "register: 40000 is out of range (40001 to 49999)"),
        ({"register": 400000}, {}, "register: 400000 is out of range (400001 to 465536)"),
        ({"register": 465536, "type": "uint32"}, {}, "register: 465536 is out of range (400001 to 465535)"),
        ({"register": 465536}, {"base": 0}, "register: 465536 is out of range (400000 to 465535)"),
        ({"register": 20001}, {}, "register: 20001 is no register's number"),
        ({"register": 108}, {}, "register: 108 is no register's number"),
        ({"register": "4x0001"}, {}, "register: '4x0001' is no register's number"),
        ({"register": True}, {}, "register: True is no register's number"),
        ({"register": 40001, "address": 0}, {}, "address: says what register says"),
        ({"register": 40001, "table": "input"}, {}, "table: 'input' is not that of register 40001"),
        ({"table": "input", "address": 0}, {"base": 1}, "address: 0 is out of range (1 to 65536)"),
        ({"table": "input", "address": 0}, {"base": 2}, "base: 2 is out of range (0 to 1)"),
        ({"register": 10001}, {}, "type: 'uint16' does not lie in table discrete"),
    ],
)
def test_a_wrong_place_says_so(tag: dict[str, Any], device: dict[str, Any], part: str) -> None:
    text = faults({"type": "uint16"} | tag, **device)
    assert part in text
    assert "modbus: 1 problem, nothing was applied" in text


def test_a_tag_without_any_place_misses_table_and_address() -> None:
    text = faults({"type": "uint16"})
    assert "tags[0].table: is missing" in text
    assert "tags[0].address: is missing" in text


@pytest.mark.parametrize(
    ("keys", "byte_order", "word_order"),
    [
        ({}, "big", "big"),
        ({"order": "abcd"}, "big", "big"),
        ({"order": "CDAB"}, "big", "little"),
        ({"order": "badc"}, "little", "big"),
        ({"order": "dcba"}, "little", "little"),
        ({"byte_order": "little"}, "little", "big"),
        ({"word_order": "little"}, "big", "little"),
    ],
)
def test_orders_of_a_device_and_of_a_tag_are_written_alike(
    keys: Any, byte_order: Any, word_order: Any
) -> None:
    wanted = Form("uint32", byte_order, word_order)
    assert form({"type": "uint32"} | keys) == wanted
    assert form({"type": "uint32"}, **keys) == wanted


def test_a_tag_overrides_its_device() -> None:
    assert form({"type": "float32", "byte_order": "big"}, order="dcba") == Form("float32", "big", "little")
    assert form({"type": "float32", "order": "abcd"}, order="dcba") == Form("float32")
    assert form({"type": "uint64", "order": "ghefcdab"}) == Form("uint64", "big", "little")
    assert form({"type": "uint16", "order": "ba"}) == Form("uint16", "little")


def test_a_device_s_word_order_is_only_for_numbers_of_several_registers() -> None:
    assert form({"type": "uint16"}, order="cdab") == Form("uint16")
    assert form({"type": "string", "length": 2}, order="dcba") == Form("string", "little", length=2)
    assert read({"table": "coil", "address": 0}, order="dcba").form == Form("bool")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (bad("order", "acbd"), "tags[0].order: unknown 'acbd' (known are ab, ba, abcd, cdab, badc, dcba)"),
        (bad("order", "ba", "uint32"), "tags[0].order: unknown 'ba' (known are abcd, cdab, badc, dcba)"),
        (bad("order", "hgfedcba", "uint32"), "tags[0].order: unknown 'hgfedcba'"),
        (bad("order", "abcd", byte_order="big"), "tags[0].order: says what byte_order and word_order say"),
        (bad("byte_order", "middle"), "tags[0].byte_order: unknown 'middle'"),
        (bad("word_order", "little", "string", length=1), "word_order: does not go with type string"),
        (bad("bit", 3), "tags[0].bit: does not go with type uint16 (it goes with bit)"),
        (bad("bit", 16, "bit"), "tags[0].bit: 16 is out of range (0 to 15)"),
        (bad("unit", "V", "bit"), "tags[0].bit: is missing"),
        (bad("unit", "V", "string"), "tags[0].length: is missing"),
        (bad("length", 126, "string"), "tags[0].length: 126 is out of range (1 to 125)"),
        (bad("length", 2), "tags[0].length: does not go with type uint16"),
        (bad("encoding", "utf8", "string", length=1), "did you mean 'utf-8'?"),
        (bad("mask", 0), "tags[0].mask: 0x0 is out of range (0x1 to 0xffff)"),
        (bad("mask", "0x10000"), "tags[0].mask: 0x10000 is out of range"),
        (bad("mask", "wide"), "tags[0].mask: expected a whole number, found text ('wide')"),
        (bad("mask", 1, "int16"), "tags[0].mask: does not go with type int16 (it goes with uint16, uint32,"),
        (bad("scale", 0), "tags[0].scale: 0 makes every value the same"),
        (bad("scale", 1e16), "tags[0].scale: 1e+16 is out of range"),
        (bad("scale", "x"), "tags[0].scale: expected a number"),
        (bad("scale", 2, "bit", bit=1), "tags[0].scale: does not go with type bit"),
        (bad("scale", 0.1, decimals=1), "tags[0].decimals: says what scale says"),
        (bad("offset", 1e-40), "tags[0].offset: 1e-40 has too many decimals"),
        (bad("decimals", 1, "float32"), "tags[0].decimals: does not go with type float32"),
        (bad("values", {}), "tags[0].values: expected numbers with their texts"),
        (bad("values", ["off", "on"]), "tags[0].values: expected numbers with their texts, found a list"),
        (bad("values", {0: "off", "0": "on"}), "tags[0].values.0: 0 is there twice"),
        (bad("values", {0: False}), 'values.0: expected text, found a boolean (False) (put words as "on" in'),
        (bad("values", {0: 1}), "tags[0].values.0: expected text, found a number (1)"),
        (bad("values", {0: ""}), "tags[0].values.0: expected text"),
        (
            bad("values", {"on": "1"}),
            "tags[0].values.on: is not a number that this tag can have (0 to 65535)",
        ),
        (bad("values", {-1: "a"}), "values.-1: is not a number that this tag can have (0 to 65535)"),
        (bad("values", {4: "a"}, mask=0x0C00), "values.4: is not a number that this tag can have (0 to 3)"),
        (bad("values", {2: "a"}, "bit", bit=1), "values.2: is not a number that this tag can have (0 to 1)"),
        (bad("values", {10000: "a"}, "bcd16"), "values.10000: is not a number that this tag can have"),
        (bad("values", {1: "a"}, scale=2), "tags[0].values: does not go with scale, offset or decimals"),
        (bad("values", {1: "a"}, "float32"), "tags[0].values: does not go with type float32"),
        (
            bad("not_available", 0x10000),
            "tags[0].not_available: 65536 is out of range (the type has 16 bits)",
        ),
        (bad("not_available", [0, -1]), "tags[0].not_available[1]: -1 is out of range"),
        (
            bad("not_available", -9999, "float32"),
            "-9999 is out of range (the bit pattern, such as 0x7F7FFFFF",
        ),
        (
            bad("not_available", [1.5], "float32"),
            "not_available[0]: expected a whole number, found a number (1",
        ),
        (bad("not_available", [True]), "not_available[0]: expected a whole number, found a boolean"),
        (bad("not_available", 0, "string", length=1), "not_available: does not go with type string"),
    ],
)
def test_each_wrong_key_says_where_and_what(text: str, part: str) -> None:
    assert part in text
    assert "modbus: 1 problem, nothing was applied" in text


def test_all_faults_of_all_tags_are_told_at_once() -> None:
    document = site(
        {"register": 50001, "type": "uint16", "scale": 0, "values": {}},
        {"table": "coil", "address": 0, "order": "abcd", "scale": 2},
        order="cd",
    )
    with pytest.raises(Reject) as caught:
        parse_mapping(document)
    paths = [problem.path.removeprefix("modbus.devices[0].") for problem in caught.value.problems]
    assert sorted(paths) == [
        "groups[0].tags[0].register",
        "groups[0].tags[0].scale",
        "groups[0].tags[0].values",
        "groups[0].tags[1].order",
        "groups[0].tags[1].scale",
        "order",
    ]


def test_a_string_fits_one_read_of_its_device() -> None:
    tag = {"table": "holding", "address": 0, "type": "string", "length": 20}
    assert read(tag, max_registers=20).count == 20
    assert "tags[0].length: 20 registers do not fit one read of this device" in faults(tag, max_registers=19)


@pytest.mark.parametrize(
    ("keys", "scaling"),
    [
        ({"decimals": 1}, Scaling(1, 0, 1)),
        ({"scale": 0.1}, Scaling(1, 0, 1)),
        ({"scale": "0.1"}, Scaling(1, 0, 1)),
        ({"scale": 1e-3}, Scaling(1, 0, 3)),
        ({"scale": 0.25}, Scaling(25, 0, 2)),
        ({"scale": -10}, Scaling(-10, 0, 0)),
        ({"scale": 1.0}, Scaling(1, 0, 0)),
        ({"offset": -40}, Scaling(1, -40, 0)),
        ({"decimals": 1, "offset": -273.15}, Scaling(10, -27315, 2)),
        ({"scale": 0.0625, "offset": 0.5}, Scaling(625, 5000, 4)),
        ({}, None),
    ],
)
def test_scales_are_the_decimals_that_are_written(keys: dict[str, Any], scaling: Scaling | None) -> None:
    assert form({"type": "uint16"} | keys).scaling == scaling


@pytest.mark.parametrize(
    ("keys", "kind", "decimals"),
    [
        ({"type": "uint16"}, "i64", None),
        ({"type": "uint64"}, "u64", None),
        ({"type": "int8_high"}, "i64", None),
        ({"type": "bcd32"}, "i64", None),
        ({"type": "float16"}, "f64", None),
        ({"type": "bit", "bit": 0}, "bool", None),
        ({"type": "string", "length": 1}, "text", None),
        ({"type": "uint16", "values": {0: "off"}}, "text", None),
        ({"type": "bit", "bit": 0, "values": {0: "off"}}, "text", None),
        ({"type": "uint64", "decimals": 0}, "f64", 0),
        ({"type": "uint64", "scale": 0.001}, "f64", 3),
        ({"type": "uint16", "scale": 0.3333333333333333}, "f64", None),
        ({"type": "float32", "scale": 0.001}, "f64", None),
    ],
)
def test_the_series_of_a_tag(keys: dict[str, Any], kind: Any, decimals: int | None) -> None:
    assert series(keys) == Series("d/t0", "", kind, decimals)


def test_numbers_are_read_from_yaml_json_and_text_alike() -> None:
    tag = {
        "type": "uint16",
        "mask": "0xF0",
        "values": {"0": "off", "0x1": "on"},
        "not_available": ["0xFFFF", 0.0],
    }
    assert form(tag) == Form(
        "uint16", mask=0xF0, values=((0, "off"), (1, "on")), not_available=frozenset({0xFFFF, 0})
    )


@pytest.mark.parametrize(
    ("type_name", "given", "raw"),
    [
        ("int16", 0x8000, -32768),
        ("int16", -32768, -32768),
        ("int8_low", 0xFF, -1),
        ("uint16", 0x8000, 0x8000),
    ],
)
def test_a_sentinel_is_a_bit_pattern_or_the_number_that_it_is(type_name: str, given: int, raw: int) -> None:
    assert form({"type": type_name, "not_available": given}).not_available == {raw}


def test_nan_may_be_named_among_the_sentinels_of_a_float_alone() -> None:
    for nan in ("nan", "NaN", float("nan")):
        assert form({"type": "float32", "not_available": ["0x7F7FFFFF", nan]}).not_available == {0x7F7FFFFF}
        assert form({"type": "float32", "not_available": nan}) == Form("float32")
        assert "not_available: expected a whole number" in bad("not_available", nan)
