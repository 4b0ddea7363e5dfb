"""The `modbus:` section: what it means, and every fault at once with path and hint."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from headgate.errors import Reject
from headgate.modbus.config import parse_mapping
from headgate.modbus.series_table import series_of
from headgate.modbus.transports import Rtu, Tcp
from headgate.model import Series

GOOD: dict[str, Any] = {
    "devices": [
        {
            "name": "meter-a",
            "transport": {"kind": "tcp", "host": "127.0.0.1", "port": "15020"},
            "unit": 1.0,
            "groups": [
                {
                    "name": "fast",
                    "interval_s": 0.1,
                    "tags": [
                        {"name": "polls", "table": "holding", "address": 0, "type": "uint32", "unit": "1"},
                        {
                            "name": "u1",
                            "table": "input",
                            "address": 2,
                            "type": "uint16",
                            "decimals": 1,
                            "unit": "V",
                        },
                        {"name": "e", "table": "holding", "address": 4, "type": "uint64"},
                        {"name": "p", "table": "holding", "address": 8, "type": "float32"},
                        {"name": "on", "table": "coil", "address": 3},
                    ],
                }
            ],
        }
    ]
}


def faults(change: Any) -> str:
    """The refusal of the good section after a change to a copy of it."""
    section = copy.deepcopy(GOOD)
    change(section)
    with pytest.raises(Reject) as caught:
        parse_mapping(section, "site.yaml")
    return str(caught.value)


def tag(section: Any, index: int = 0) -> Any:
    return section["devices"][0]["groups"][0]["tags"][index]


def test_a_section_is_read_whole() -> None:
    (device,) = parse_mapping(GOOD).devices
    assert device.transport == Tcp("127.0.0.1", 15020)
    assert (device.unit, device.timeout_s, device.retries) == (1, 1.0, 1)
    (group,) = device.groups
    assert group.interval_ms == 100
    assert [series_of(device.name, tag) for tag in group.tags] == [
        Series("meter-a/polls", "1", "i64"),
        Series("meter-a/u1", "V", "f64", 1),
        Series("meter-a/e", "", "u64"),
        Series("meter-a/p", "", "f64"),
        Series("meter-a/on", "", "bool"),
    ]


def test_serial_defaults() -> None:
    section = copy.deepcopy(GOOD)
    section["devices"][0]["transport"] = {"kind": "rtu", "path": "/dev/ttyUSB0"}
    assert parse_mapping(section).devices[0].transport == Rtu("/dev/ttyUSB0", 19_200, "N", 1)


def test_no_devices_is_fine() -> None:
    assert parse_mapping({}).devices == ()


def test_an_unknown_register_type_is_told_with_path_and_hint() -> None:
    text = faults(lambda s: tag(s).update(type="unit32"))
    assert "site.yaml: 1 problem, nothing was applied" in text
    assert "modbus.devices[0].groups[0].tags[0].type: unknown 'unit32' (did you mean 'uint32'?" in text


def test_all_faults_are_told_at_once() -> None:
    def change(section: Any) -> None:
        section["devices"][0]["unit"] = "one"
        section["devices"][0]["transport"]["prot"] = 1
        section["devices"][0]["groups"][0]["interval_s"] = 0
        tag(section, 1)["address"] = 70_000
        tag(section, 2).pop("table")

    text = faults(change)
    assert "5 problems" in text
    for part in (
        "modbus.devices[0].unit: expected a whole number, found text ('one')",
        "modbus.devices[0].transport.prot: unknown key (did you mean 'port'?)",
        "modbus.devices[0].groups[0].interval_s: 0 is out of range (0.01 to 86400)",
        "tags[1].address: 70000 is out of range",
        "tags[2].table: is missing",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s: tag(s, 4).update(type="uint16"), "'uint16' does not lie in table coil"),
        (lambda s: tag(s).update(type="bool"), "'bool' does not lie in table holding"),
        (lambda s: tag(s, 3).update(decimals=1), "decimals: does not go with type float32"),
        (lambda s: tag(s, 4).update(decimals=1), "decimals: does not go with type bool"),
        (lambda s: tag(s, 1).update(name="polls"), "'polls' is taken"),
        (lambda s: tag(s).update(name="no spaces"), "1 to 64 of A-Z"),
        (lambda s: tag(s, 2).update(address=65_533), "65533 is out of range (0 to 65532)"),
        (
            lambda s: s["devices"].append(copy.deepcopy(s["devices"][0])),
            "devices[1].name: 'meter-a' is taken",
        ),
        (lambda s: s["devices"][0].pop("transport"), "transport: is missing"),
        (lambda s: s["devices"][0].update(transport={"host": "h"}), "transport.kind: is missing"),
        (lambda s: s["devices"][0]["groups"][0].update(tags=[]), "tags: is empty"),
        (lambda s: s["devices"][0]["groups"][0].update(tags="x"), "tags: expected a list, found text"),
        (lambda s: s.update(devices={}), "devices: expected a list, found a mapping"),
        (lambda s: s.update(device=[]), "did you mean 'devices'?"),
        (lambda s: tag(s).pop("type"), "type: is missing"),
    ],
)
def test_each_fault_says_where_and_what(change: Any, part: str) -> None:
    assert part in faults(change)


def test_a_serial_line_has_one_set_of_parameters() -> None:
    def change(section: Any) -> None:
        section["devices"][0]["transport"] = {"kind": "rtu", "path": "/dev/ttyUSB0"}
        other = copy.deepcopy(section["devices"][0])
        other |= {"name": "b", "transport": {"kind": "rtu", "path": "/dev/ttyUSB0", "baudrate": 9600}}
        section["devices"].append(other)

    assert "modbus.devices[1].transport: /dev/ttyUSB0 has other parameters here" in faults(change)
