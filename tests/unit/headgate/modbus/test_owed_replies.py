"""Late replies on lines without numbers: a simulated device answers late, and no answer is misread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.checks import data_bytes
from headgate.modbus.owed import MAX_PROOFS, PATIENCE_MS, Owed
from headgate.modbus.tags import TABLES, Table

READS = st.tuples(st.sampled_from(TABLES), st.integers(1, 20))


def shape(read: tuple[Table, int]) -> tuple[Table, int]:
    return read[0], data_bytes(*read)


@given(st.lists(READS, min_size=1, max_size=12), READS)
def test_no_missing_reply_can_be_taken_for_a_proof(
    missed: list[tuple[Table, int]], ask: tuple[Table, int]
) -> None:
    owed = Owed()
    for table, count in missed:
        owed.missed(table, count, 0)
    proofs = owed.proofs(*ask)
    assert len(proofs) <= MAX_PROOFS
    assert not {shape(proof) for proof in proofs} & {shape(read) for read in missed}
    # Within the registers that are asked for anyway, or of another function.
    assert all(table != ask[0] or count <= ask[1] for table, count in proofs if table == ask[0])
    doubtful = owed.doubts(ask[0], 0, 1000)
    assert doubtful == any(table == ask[0] for table, _ in missed)
    if not doubtful:
        assert shape(ask) not in {shape(read) for read in missed}


def test_a_proof_settles_everything_and_time_does_so_too() -> None:
    owed = Owed()
    assert not owed.doubts("holding", 0, 100)
    owed.missed("holding", 2, 0)
    assert owed.doubts("holding", PATIENCE_MS - 1, 100)
    assert not owed.doubts("input", 0, 100)
    owed.settle()
    assert not owed.doubts("holding", 1, 100)
    owed.missed("holding", 2, 0)
    assert not owed.doubts("holding", PATIENCE_MS, 100)
    owed.missed("holding", 2, 0)
    assert owed.doubts("holding", PATIENCE_MS, 2_000)


def test_shorter_reads_go_before_other_functions() -> None:
    owed = Owed()
    owed.missed("holding", 4, 0)
    assert owed.proofs("holding", 4) == [("holding", 1), ("holding", 2), ("input", 1), ("coil", 1)]
    owed.missed("holding", 1, 0)
    assert owed.proofs("holding", 4)[0] == ("holding", 2)
    owed = Owed()
    owed.missed("coil", 20, 0)
    assert owed.proofs("coil", 20)[:2] == [("coil", 8), ("holding", 1)]


def test_a_write_that_was_not_confirmed_makes_the_next_of_its_function_doubtful() -> None:
    owed = Owed()
    assert not owed.doubts_write(6, 0, 100)
    owed.missed_write(6, 0)
    assert owed.doubts_write(6, PATIENCE_MS - 1, 100)
    assert not owed.doubts_write(16, 0, 100)
    assert not owed.doubts("holding", 0, 100)  # a confirmation is no reply to a read
    assert not owed.doubts_write(6, PATIENCE_MS, 100)
    owed.missed_write(6, 0)
    owed.settle()
    assert not owed.doubts_write(6, 1, 100)
