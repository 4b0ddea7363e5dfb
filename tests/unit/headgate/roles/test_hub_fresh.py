from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from headgate.model import Batch, ClockState, Frame, Quality, Series, dictionary_hash
from headgate.roles.hub_fresh import MAX_TABLES, Fresh, mark_of

ALL = [Series(f"{device}/{tag}") for device in ("a", "b", "c") for tag in ("x", "y")]


class Tables(dict[bytes, tuple[Series, ...]]):
    def known(self, *series: Series) -> bytes:
        key = dictionary_hash(series)
        self[key] = series
        return key


def batch(key: bytes, *frames: tuple[Sequence[int], Sequence[int]]) -> Batch:
    found = [Frame(0, series, [1.0] * len(series), quality) for series, quality in frames]
    return Batch("modbus", 1, 1, 1, key, "", 0, ClockState.SYNCED, 0, found)


def picked(fresh: Fresh, tables: Tables, limit: int = 2) -> list[str]:
    names = []
    while (found := fresh.pick("modbus", limit)) is not None:
        assert len(found[1]) <= limit
        names += [tables[found[0]][i].name for i in found[1]]
    return names


def test_only_what_was_not_bad_looks_fresh_and_is_picked_once() -> None:
    tables = Tables()
    key = tables.known(*ALL)
    fresh = Fresh({}, tables.get)
    fresh.add(batch(key, ((0, 1, 2, 3), ()), ((1, 2), (Quality.BAD_VALUE, Quality.STALE)), ((4,), (3,))))
    assert fresh.bridges() == ["modbus"]
    assert picked(fresh, tables) == ["a/x", "b/x", "b/y"]
    assert fresh.bridges() == []
    assert picked(fresh, tables) == []


def test_a_series_that_a_new_table_does_not_have_is_not_forgotten() -> None:
    tables = Tables()
    fresh = Fresh({}, tables.get)
    fresh.add(batch(tables.known(*ALL[:4]), ((0, 1, 2, 3), ())))
    fresh.add(batch(tables.known(ALL[1], ALL[5]), ((0, 1), (Quality.BAD_COMM, 0))))
    assert sorted(picked(fresh, tables)) == ["a/x", "b/x", "b/y", "c/y"]


def test_former_tables_are_bounded() -> None:
    tables = Tables()
    fresh = Fresh({}, tables.get)
    for i in range(10):
        fresh.add(batch(tables.known(Series(f"a/x{i}")), ((0,), ())))
    assert picked(fresh, tables) == [f"a/x{i}" for i in range(10 - MAX_TABLES, 10)]


def test_devices_that_the_site_document_gave_up_are_not_missed() -> None:
    tables = Tables()
    key = tables.known(*ALL)
    fresh = Fresh({}, tables.get)
    fresh.add(batch(key, (range(6), ())))
    fresh.site_changed({"a": "modbus", "b": "modbus", "z": "modbus"}, {"b": "modbus"})
    fresh.add(batch(key, ((0,), ())))  # its last sample was under way
    assert picked(fresh, tables) == ["b/x", "b/y", "c/x", "c/y"]  # of c no document ever told
    fresh.site_changed({"b": "modbus"}, {"a": "modbus", "b": "modbus"})
    fresh.add(batch(key, ((0,), ())))
    assert picked(fresh, tables) == ["a/x"]


def test_what_was_saved_comes_back_and_is_written_only_when_it_changed() -> None:
    tables = Tables()
    key = tables.known(*ALL)
    fresh = Fresh({}, tables.get)
    fresh.add(batch(key, ((0, 3), ())))
    rows = fresh.unsaved()
    assert rows == {("modbus", key): bytes((1, 0, 0, 1, 0, 0))}
    fresh.were_saved(rows)
    fresh.add(batch(key, ((0, 3), ())))
    assert fresh.unsaved() == {}
    again = Fresh({k: looks for k, looks in rows.items() if looks}, tables.get)
    assert again.unsaved() == {}
    assert again.pick("modbus", 9) == (key, [0, 3])
    assert again.unsaved() == {("modbus", key): None}
    fresh.let_go("modbus")
    assert fresh.unsaved() == {("modbus", key): None}
    fresh.were_saved(fresh.unsaved())
    assert fresh.unsaved() == {}


def test_what_was_saved_of_a_table_that_is_not_known_is_nothing() -> None:
    assert Fresh({("modbus", b"?"): b"\1"}, Tables().get).bridges() == []


def test_a_mark_has_a_frame_for_each_device() -> None:
    mark = mark_of("modbus", 1, 2, b"k", [0, 3, 1], ALL, boot_ms=5, utc_ms=1_005, clock=ClockState.HOLDOVER)
    assert [(f.boot_ms, tuple(f.series), tuple(f.values), tuple(f.quality)) for f in mark.frames] == [
        (5, (0, 1), (None, None), (3, 3)),
        (5, (3,), (None,), (3,)),
    ]
    assert (mark.utc_offset_ms, mark.clock) == (1_000, ClockState.HOLDOVER)


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Quality)), min_size=1), max_size=12))
def test_a_table_that_grows_loses_nothing(told: list[list[tuple[int, Quality]]]) -> None:
    tables = Tables()
    fresh = Fresh({}, tables.get)
    size = 0
    last: dict[str, Quality] = {}
    for samples in told:
        size = max(size, 1 + max(i for i, _ in samples))
        fresh.add(batch(tables.known(*ALL[:size]), *(((i,), (code,)) for i, code in samples)))
        last |= {ALL[i].name: code for i, code in samples}
    assert sorted(picked(fresh, tables)) == sorted(n for n, code in last.items() if code < Quality.BAD_COMM)
