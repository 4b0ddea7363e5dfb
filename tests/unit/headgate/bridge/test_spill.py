"""The spill file: whole after a round trip, good up to its first fault, and it says where that is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch import encode
from headgate.bridge.spill import read_spill, remove_spill, write_spill
from headgate.bridge.tables import Row
from headgate.model import Batch, ClockState, Frame

TABLES: dict[bytes, list[Row]] = {bytes(range(16)): [["a/b", "V", "f64", 1, 1]], bytes(16): []}


def wires(count: int) -> list[bytes]:
    frames = [Frame(5, (0,), [1.5])]
    return encode(Batch("m", 9, 1, 1, bytes(16), "", 0, ClockState.SYNCED, 0, frames)) * count


def test_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "modbus.pending"
    assert read_spill(path) is None
    assert write_spill(path, TABLES, wires(3)) == path.stat().st_size
    spilled = read_spill(path)
    assert spilled is not None
    assert (spilled.tables, spilled.wires, spilled.fault) == (TABLES, wires(3), "")
    remove_spill(path)
    remove_spill(path)
    assert read_spill(path) is None


@given(cut=st.integers(0, 10_000))
def test_a_torn_file_is_good_up_to_the_tear(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("spill") / "modbus.pending"
    size = write_spill(path, TABLES, wires(5))
    cut %= size
    path.write_bytes(path.read_bytes()[:cut])
    spilled = read_spill(path)
    assert spilled is not None
    assert spilled.wires == wires(5)[: len(spilled.wires)]
    assert bool(spilled.fault) != (cut in boundaries(5))


def boundaries(count: int) -> list[int]:
    """File lengths at which no record is cut."""
    ends = [5]
    for payload in [
        b'{"dictionary":"000102030405060708090a0b0c0d0e0f","series":[["a/b","V","f64",1,1]]}',
        b'{"dictionary":"00000000000000000000000000000000","series":[]}',
        *wires(count),
    ]:
        ends.append(ends[-1] + 9 + len(payload))
    return ends


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_damaged_file_never_yields_a_damaged_batch(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("spill") / "modbus.pending"
    write_spill(path, TABLES, wires(5))
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= flip
    path.write_bytes(data)
    spilled = read_spill(path)
    assert spilled is not None
    assert spilled.fault
    assert spilled.wires == wires(5)[: len(spilled.wires)]
