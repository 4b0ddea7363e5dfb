"""What the peer is told to read: every tag of the plant, as a range or each by itself."""

from __future__ import annotations

import pytest

from bench._peer import ENTRIES, Entries, _slaves
from gateway_sim.devices.plantfile import Device, Group, Plant, Tag

TAGS = (
    Tag("polls", 0, "uint32", 0, "1"),
    Tag("u1", 2, "uint16", 1, "V"),
    Tag("u2", 3, "uint16", 1, "V"),
    Tag("u3", 5, "uint16", 1, "V"),
    Tag("p1", 6, "float32", None, "W"),
    Tag("p2", 8, "float32", None, "W"),
)
GROUP = Group("fast", 0.5, "input", 0, 10, "polls", TAGS)
PLANT = Plant(1, 0, (Device("meter", "tcp", 3, (GROUP,), "127.0.0.1", 1502),))


def test_a_group_is_one_range_of_registers() -> None:
    (slave,) = _slaves(PLANT, "ranges")
    found = [(row["address"], row["type"], row["objectsCount"]) for row in slave["timeseries"]]
    assert found == [("0-9", "16uint", 1)]
    assert (slave["unitId"], slave["pollPeriod"], slave["port"]) == (3, 500, 1502)


@pytest.mark.parametrize("entries", ENTRIES)
def test_every_register_of_the_plant_is_read_once(entries: Entries) -> None:
    (slave,) = _slaves(PLANT, entries)
    read: list[int] = []
    for row in slave["timeseries"]:
        assert row["functionCode"] == 4
        first, _, last = str(row["address"]).partition("-")
        read += range(int(first), int(last) + 1 if last else int(first) + row["objectsCount"])
    assert {0, 1, 2, 3, 5, 6, 7, 8, 9} <= set(read)
    assert len(read) == len(set(read))
