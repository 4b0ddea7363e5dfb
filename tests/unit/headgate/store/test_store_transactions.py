from __future__ import annotations

from pathlib import Path

import pytest

from headgate.batch import encode
from headgate.columns import Columns
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject
from headgate.model import Ack, Batch, ClockState, EnvelopeId, Frame, Series, dictionary_hash
from headgate.store.state import table_from_rows
from headgate.store.store import Store
from headgate.store.transaction import Previous

TABLE = (Series("a/x", "V"),)


def a_batch(seq: int, run_id: int = 1) -> Batch:
    frames = [Frame(seq, (0,), (float(seq),))]
    return Batch("modbus", run_id, seq, 1, dictionary_hash(TABLE), "", 0, ClockState.SYNCED, 0, frames)


def opened(path: Path, epoch: int = 1) -> Store:
    return Store(StateRoot(path), "gw", epoch)


def body(key: EnvelopeId, previous: Previous | None) -> bytes:
    return f"{key.stream} {key.epoch} {key.seq} {previous}".encode()


def enqueue(store: Store, stream: str, count: int) -> None:
    with store.begin() as tx:
        for _ in range(count):
            tx.enqueue(stream, 1, body, 1, live=stream == "live", sealed_ms=0)


def bodies(store: Store) -> list[str]:
    return [item.envelope.body.decode() for item in store.queued(0, 100)]


def test_a_key_is_held_once_also_after_a_restart(tmp_path: Path) -> None:
    for expected in (True, False):
        store = opened(tmp_path)
        list(store.replay())
        with store.begin() as tx:
            tx.add_table(TABLE)
            appended = [tx.append(a_batch(seq), encode(a_batch(seq))[0]) is not None for seq in (1, 2, 2)]
        assert appended == [expected, expected, False]
        assert store.runs() == {("modbus", 1): 2}
        store.close()


def test_the_journal_alone_replays(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with store.begin() as tx:
        tx.add_table(TABLE)
        tx.append(a_batch(1), encode(a_batch(1))[0])
    store.close()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    store = opened(tmp_path)
    assert [item.batch for item in store.replay()] == [a_batch(1)]
    assert store.table(dictionary_hash(TABLE)) == TABLE
    store.close()


def test_epochs_name_the_one_before_per_stream(tmp_path: Path) -> None:
    for epoch, streams in ((1, ["live", "backlog"]), (2, []), (3, ["live"]), (4, ["backlog", "live"])):
        store = opened(tmp_path, epoch)
        for stream in streams:
            enqueue(store, stream, 2)
        found = bodies(store)
        store.close()
    assert found == [
        "live 1 1 None",
        "live 1 2 None",
        "backlog 1 1 None",
        "backlog 1 2 None",
        "live 3 1 (1, 2)",
        "live 3 2 None",
        "backlog 4 1 (1, 2)",
        "backlog 4 2 None",
        "live 4 1 (3, 2)",
        "live 4 2 None",
    ]


def test_what_the_cloud_holds_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    store = opened(tmp_path)
    enqueue(store, "live", 8)
    enqueue(store, "backlog", 2)
    with store.begin() as tx:
        assert tx.acknowledge(Ack("live", 1, 2, [(4, 5), (7, 7), (90, 99)])) == 5
        assert tx.acknowledge(Ack("live", 2, 100)) == 0
    assert [text.split()[:3:2] for text in bodies(store)] == [
        ["live", "3"],
        ["live", "6"],
        ["live", "8"],
        ["backlog", "1"],
        ["backlog", "2"],
    ]
    assert store.outbox == (5, sum(map(len, bodies(store))))
    assert [e.id.seq for e in store.pending(live=True, limit_bytes=20)] == [3]
    assert [e.id.seq for e in store.pending(live=False, limit_bytes=1_000)] == [1, 2]
    store.close()


def test_a_failed_transaction_leaves_nothing_and_a_store_to_be_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path)

    def fail() -> None:
        with store.begin() as tx:
            tx.enqueue("live", 1, body, 1, live=True, sealed_ms=0)
            raise OSError("no space")

    with pytest.raises(Fatal, match=r"state root .*: no space; is the disk full"):
        fail()
    with pytest.raises(Fatal, match="opened again"), store.begin():
        pass
    store.close()
    store = opened(tmp_path)
    assert bodies(store) == []
    store.close()


def test_ids_of_series_are_never_used_again(tmp_path: Path) -> None:
    first = [Series("a/x"), Series("a/x", revision=2)]
    found: list[dict[Series, int]] = []
    for series in (first, [Series("a/x", "V"), *first]):
        store = opened(tmp_path)
        for i, s in enumerate(series):
            store.keep(i, Columns((s,), [0], [[1.0]], [None]))
        with store.begin() as tx:
            tx.consumed(packed=0, replay=0, window_length_ms=1)
        found.append(store.state.series_ids())
        store.close()
    assert found[0] == {first[0]: 1, first[1]: 2}
    assert found[1] == found[0] | {Series("a/x", "V"): 3}


def test_a_state_file_that_is_none_is_set_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database at all" * 100)
    for _ in range(2):  # until it is in an envelope
        store = opened(tmp_path)
        (note,) = store.opening.untold
        assert (note.file, note.why) == ("state.db", "state.db: file is not a database")
        assert (tmp_path / "quarantine" / note.name).read_bytes() == b"no database at all" * 100
        store.close()


def test_a_second_writer_is_told_who_is_the_first(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(Fatal, match=r"in use by another hub \(pid \d+ since \S+\)"):
        opened(tmp_path)
    store.close()
    opened(tmp_path).close()


@pytest.mark.parametrize("rows", [None, [1], [["a/b", "", "f64", None]], [["a/b", "u" * 65, "f64", None, 1]]])
def test_a_dictionary_of_another_form_is_refused(rows: object) -> None:
    with pytest.raises(Reject, match="dictionary"):
        table_from_rows(rows)
