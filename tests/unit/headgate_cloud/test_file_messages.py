"""What gateways say about files: every shape is checked, no key leaves its thing."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.filemessages import (
    MAX_DOWN_BYTES,
    Bad,
    Mismatch,
    Page,
    Plan,
    Sent,
    assemble,
    confirmed,
    object_key,
    read,
    refused,
    urls,
)
from tests.unit.headgate_cloud.file_examples import FILE_ID, PART_BYTES, checksum, page, queued, sent, whole

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "file.v1.json").read_text())


def test_pages_and_sent_are_read() -> None:
    found = read(queued(page(1, [[1, 2], [3]])))
    assert isinstance(found, Page)
    assert found.plan == Plan(
        "gw-1", FILE_ID, 2 * PART_BYTES + 7, PART_BYTES, whole(list(map(checksum, (1, 2, 3))))
    )
    assert (found.page, found.parts, found.plan.parts) == (1, {3: checksum(3)}, 3)
    assert [found.plan.bytes_of(n) for n in (1, 2, 3)] == [PART_BYTES, PART_BYTES, 7]
    assert read(queued(sent("u-1"))) == Sent("gw-1", FILE_ID, "u-1")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"v": 2}, "$.v"),
        ({"kind": "urls"}, "$.kind"),
        ({"size": -1}, "$.size"),
        ({"size": 10**15}, "$.size"),
        ({"part_size": 1024}, "$.part_size"),
        ({"size": 10_001 * PART_BYTES}, "$.part_size"),
        ({"sha256": checksum(1)}, "$.sha256"),
        ({"sha256": checksum(1) + "-2"}, "$.sha256"),
        ({"pages": 0}, "$.pages"),
        ({"pages": 1_001}, "$.pages"),
        ({"page": 9}, "$.page"),
        ({"parts": [[4, checksum(4)]]}, "$.parts[0][0]"),
        ({"parts": [[1, checksum(1)], [1, checksum(1)]]}, "$.parts[1][0]"),
        ({"parts": [[1]]}, "$.parts[0]"),
        ({"parts": [[1, "no checksum"]]}, "$.parts[0][1]"),
        ({"more": 1}, "$"),
    ],
)
def test_a_bad_shape_is_named_and_can_be_answered(changes: dict[str, object], where: str) -> None:
    found = read(queued(page(0, [[1, 2], [3]], **changes)))
    assert isinstance(found, Bad)
    assert (found.thing, found.file_id, found.why.partition(": ")[0]) == ("gw-1", FILE_ID, where)


@pytest.mark.parametrize("file_id", ["../../gw-2", "AB" * 16, "ab" * 15, 7, None])
def test_what_has_no_file_id_can_not_be_answered(file_id: object) -> None:
    found = read(queued({**sent("u"), "file_id": file_id}))
    assert isinstance(found, Bad)
    assert found.file_id == ""


@given(st.one_of(st.binary(max_size=200).map(queued), st.text(max_size=200)))
def test_noise_is_never_more_than_bad(message: str) -> None:
    assert isinstance(read(message), Bad)


@given(thing=st.sampled_from(["a/b", "", "#", "gw 1", "x" * 129]))
def test_a_thing_that_cannot_be_is_refused(thing: str) -> None:
    found = read(queued(sent("u"), thing))
    assert isinstance(found, Bad)
    assert (found.thing, found.file_id) == ("", "")


@given(st.text(max_size=300))
def test_a_key_stays_under_its_thing_and_file(path: str) -> None:
    key = object_key("gw-1", FILE_ID, path)
    thing, file_id, name = key.split("/")
    assert (thing, file_id) == ("gw-1", FILE_ID)
    assert name.strip(".") and len(name) <= 200  # noqa: PT018 one property
    assert name.isascii()


@given(
    st.integers(1, 40).flatmap(
        lambda count: st.tuples(
            st.just(count), st.lists(st.lists(st.integers(1, count), max_size=12), max_size=12)
        )
    )
)
def test_pages_assemble_once_all_parts_are_named(drawn: tuple[int, list[list[int]]]) -> None:
    count, pages = drawn
    checksums = tuple(checksum(n) for n in range(1, count + 1))
    plan = Plan("gw-1", FILE_ID, count * PART_BYTES, PART_BYTES, whole(checksums))
    found = assemble(plan, ({n: checksum(n) for n in some} for some in pages))
    named = {n for some in pages for n in some}
    assert found == (checksums if len(named) == count else None)


def test_contradictions_are_mismatches() -> None:
    plan = Plan("gw-1", FILE_ID, 2 * PART_BYTES, PART_BYTES, whole([checksum(1), checksum(2)]))
    with pytest.raises(Mismatch, match="part 1 was announced with two checksums"):
        assemble(plan, [{1: checksum(1)}, {1: checksum(2)}])
    with pytest.raises(Mismatch, match="composite"):
        assemble(plan, [{1: checksum(2), 2: checksum(1)}])


def test_everything_said_is_in_the_schema_and_fits() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    answers = [
        urls(FILE_ID, "u" * 200, "https://x/" + "y" * 3000),
        confirmed(FILE_ID, "u", f"gw-1/{FILE_ID}/{'n' * 200}", whole([checksum(1)])),
        refused(FILE_ID, "mismatch", "d" * 10_000),
    ]
    for body in answers:
        assert len(body) <= MAX_DOWN_BYTES
        validator.validate(json.loads(body))
    for said in (page(0, [[1, 2]]), sent("u-1")):
        validator.validate(said)
    with pytest.raises(ValueError, match="does not fit 4500 B"):
        urls(FILE_ID, "u", "https://x/" + "y" * 4500)
    assert not validator.is_valid({**sent("u-1"), "kind": "sold"})
    assert not validator.is_valid(page(0, [[1, 2]], more=1))
