"""The codec of the site document in a whole pipeline: applied live, schemas told once and when asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.batch import encode
from headgate.config.stateroot import StateRoot
from headgate.envelope import header
from headgate.envelope.schemas import AGAIN_MS
from headgate.errors import Reject
from headgate.model import Ack, Batch, ClockState, Frame, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.uplink.config import UplinkConfig, parse_mapping
from headgate.window.config import WindowsConfig
from headgate_cloud import compact, decoder

TABLE = (Series("meter-a/x", "V", "f64", 1), Series("meter-a/y", "A", "f64", 2))
UTC_MS = 1_763_685_600_000


def opened(root: Path, epoch: int) -> tuple[Store, Pipeline]:
    store = Store(StateRoot(root), "gw", epoch)
    uplink = UplinkConfig(codec="compact")
    pipeline = Pipeline(store, "gw", WindowsConfig(), (), PipelineTuning(), uplink=uplink)
    pipeline.recover(0)
    return store, pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    store, pipeline = opened(tmp_path, 1)
    yield pipeline
    store.close()


def take_only(pipeline: Pipeline, seq: int, boot_ms: int = 0, run_id: int = 1) -> Pipeline:
    frames = [Frame(boot_ms, (0, 1), (23.5, 1.25))]
    key = dictionary_hash(TABLE)
    batch = Batch("modbus", run_id, seq, 1, key, "", UTC_MS, ClockState.SYNCED, 0, frames)
    (wire,) = encode(batch)
    pipeline.commit(Arrived([TABLE], [(batch, wire)]), boot_ms)
    return pipeline


def take(pipeline: Pipeline, seq: int, boot_ms: int, run_id: int = 1) -> list[Queued]:
    return take_only(pipeline, seq, boot_ms, run_id).seal([], UTC_MS + boot_ms, boot_ms)


def told(queued: list[Queued]) -> dict[str, compact.Schema]:
    report = decoder.decode(queued[0].envelope.body).report
    assert report is not None
    return dict([compact.schema(report)])


def test_the_schema_goes_first_and_once(pipeline: Pipeline) -> None:
    first = take(pipeline, 1, 100)
    topics = [header.topic("gw", item.envelope.id.stream, item.envelope.schema) for item in first]
    assert [topic.partition("/up/")[2] for topic in topics] == ["reports/json", "live/compact"]
    assert [item.envelope.id.stream for item in first] == ["reports", "live"]
    found = compact.decode(first[1].envelope.body, told(first))
    assert [[s.value for s in column.samples()] for column in found.columns] == [[23.5], [1.25]]
    assert [item.envelope.id.stream for item in take(pipeline, 2, 200)] == ["live"]


def test_a_restarted_hub_tells_it_only_when_it_is_asked(tmp_path: Path) -> None:
    store, pipeline = opened(tmp_path, 1)
    first = take(pipeline, 1, 100)
    pages = told(first)
    store.close()
    store, pipeline = opened(tmp_path, 2)
    (item,) = take(pipeline, 1, 200, run_id=2)
    assert compact.decode(item.envelope.body, pages).columns
    wanted = Ack("live", 2, 0, (), tuple(pages))
    waits = pipeline.seal([wanted], UTC_MS + 250, 250)  # the first report is still to be sent
    assert waits == []
    key = first[0].envelope.id
    pipeline.seal([Ack(key.stream, key.epoch, key.seq)], UTC_MS + 260, 260)
    again = pipeline.seal([wanted], UTC_MS + 300, 300)
    assert told(again) == pages
    assert pipeline.seal([wanted], UTC_MS + 400, 400) == []
    later = pipeline.seal([wanted], UTC_MS + 300, 300 + AGAIN_MS)  # it waits, and no other joins it
    assert [item.envelope.id.stream for item in later] == ["live"]
    key = again[0].envelope.id
    pipeline.seal([Ack(key.stream, key.epoch, key.seq)], UTC_MS + 300, 400 + AGAIN_MS)
    assert told(pipeline.seal([wanted], UTC_MS + 300, 500 + AGAIN_MS)) == pages
    store.close()


def test_another_codec_holds_from_the_next_envelope(pipeline: Pipeline) -> None:
    take(pipeline, 1, 100)
    pipeline.set_uplink(UplinkConfig(codec="json"))
    (item,) = take(pipeline, 2, 200)
    assert item.envelope.schema == header.COLUMNS
    assert len(decoder.decode(item.envelope.body).columns) == 2


def test_the_section_is_read_whole() -> None:
    given = {"codec": "compact", "means": "exact", "statistics": ["max", "mean"]}
    assert parse_mapping(given) == UplinkConfig(codec="compact", means="exact", statistics=("mean", "max"))
    assert parse_mapping({}) == UplinkConfig()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"codec": "cbor"}, "codec"),
        ({"means": "none"}, "means"),
        ({"statistics": ["max"]}, "lacks mean"),
        ({"statistics": ["mean", "median"]}, "'median' is none"),
        ({"statistics": "mean"}, "expected a list"),
        ({"colour": 1}, "colour"),
    ],
)
def test_faults_are_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(Reject, match=words):
        parse_mapping(given)


def test_many_samples_that_wait_are_to_be_sealed(tmp_path: Path) -> None:
    store = Store(StateRoot(tmp_path), "gw", 1)
    pipeline = Pipeline(store, "gw", WindowsConfig(), (), PipelineTuning(seal_samples=3))
    pipeline.recover(0)
    assert not take_only(pipeline, 1).full
    assert take_only(pipeline, 2).full
    pipeline.seal([], UTC_MS + 10, 10)
    assert not pipeline.full
    store.close()
