"""The site document: YAML or JSON in, sections out, every refusal with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.config.reader import Section
from headgate.config.site import MAX_BYTES, load_document, parse_sections
from headgate.errors import Reject

YAML = "schema: 1\nmodbus:\n  devices: []\nwindows: {length_s: 10}\n"


def windows(section: Section) -> dict[str, float]:
    length_s = section.number("length_s", 10, low=1, high=3600)
    section.close()
    return {"length_s": length_s}


def test_yaml_and_json_mean_the_same() -> None:
    document = load_document(YAML, "site.yaml")
    assert document == {"schema": 1, "modbus": {"devices": []}, "windows": {"length_s": 10}}
    assert load_document(json.dumps(document), "site.json") == document
    assert load_document(b"\xef\xbb\xbf" + YAML.encode(), "site.yaml") == document


def test_flow_style_yaml_is_read_though_it_starts_like_json() -> None:
    assert load_document("{schema: 1, windows: {length_s: 5}}", "s")["windows"] == {"length_s": 5}


def test_only_true_and_false_are_booleans() -> None:
    text = "schema: 1\nvalues: {0: off, 1: on, 2: NO, 3: yes, 4: n}\nplain: [true, False]\n"
    document = load_document(text, "s")
    assert document["values"] == {0: "off", 1: "on", 2: "NO", 3: "yes", 4: "n"}
    assert document["plain"] == [True, False]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("schema: 1\nschema: 2\n", "line 2, column 1: the key 'schema' is there twice"),
        ('{"schema": 1, "schema": 2}', "'schema' is there twice"),
        ("schema: [1\n", "line 2"),
        ("- 1\n", "expected a mapping, found a list"),
        ("", "expected a mapping, found nothing"),
        (b"schema: \xff", "byte 8: is not UTF-8"),
        (b"x" * (MAX_BYTES + 1), "at most"),
        ("{" + '"a":[' * 50 + "]" * 50 + "}", "nested deeper"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]\n"
                for x, y in zip("abcdefg", "bcdefgh", strict=True)
            ),
            "has over",
        ),
        ("a: !!python/object:os.system {}\n", "could not determine a constructor"),
        ('{"a": ' + "[" * 100_000, "site.yaml"),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(text: str | bytes, place: str) -> None:
    with pytest.raises(Reject) as caught:
        load_document(text, "site.yaml")
    assert place in str(caught.value)
    assert str(caught.value).startswith("site.yaml")


def test_sections_reach_their_owners_and_missing_ones_give_defaults() -> None:
    parsed = parse_sections({"schema": 1}, "s", {"windows": windows}, whole=True)
    assert parsed == {"windows": {"length_s": 10}}


def test_faults_of_all_sections_are_told_at_once() -> None:
    document: dict[str, Any] = {"schema": 2, "windows": {"length_s": "long", "lenght_s": 1}, "windws": {}}
    with pytest.raises(Reject) as caught:
        parse_sections(document, "site.yaml", {"windows": windows}, whole=True)
    text = str(caught.value)
    for part in ("schema: 2", "windows.length_s", "windows.lenght_s", "did you mean 'length_s'", "windws"):
        assert part in text


def test_a_bridge_leaves_the_sections_of_others_alone() -> None:
    document = {"schema": 1, "windows": {"length_s": 5}, "ble": {"anything": 1}}
    assert parse_sections(document, "s", {"windows": windows}, whole=False) == {"windows": {"length_s": 5.0}}


def test_a_missing_schema_is_told_once() -> None:
    with pytest.raises(Reject) as caught:
        parse_sections({}, "s", {}, whole=True)
    assert [problem.what for problem in caught.value.problems] == ["is missing"]
