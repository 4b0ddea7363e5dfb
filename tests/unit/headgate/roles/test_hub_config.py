from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headgate.config.stateroot import DEFAULT
from headgate.errors import Reject
from headgate.roles.hub_config import (
    HubConfig,
    SiteRef,
    commit_ms_of,
    parse_config,
    parse_site,
    state_root_of,
)

DIGEST = "ab" * 32


def test_defaults() -> None:
    assert parse_config({}) == HubConfig(DEFAULT)


def test_scalars_may_be_text_and_numbers_floats() -> None:
    values = {
        "schema": 1.0,
        "stateRoot": "/srv/hg",
        "site": {"uri": "https://x/site.yaml", "sha256": DIGEST.upper()},
    }
    expected = HubConfig(Path("/srv/hg"), SiteRef("https://x/site.yaml", DIGEST))
    assert parse_config(values) == expected
    assert parse_config(values | {"schema": "1"}) == expected


def test_how_long_batches_wait_is_read_from_a_configuration_that_is_faulty_elsewhere() -> None:
    assert parse_config({"commitMs": "0"}).commit_ms == 0
    assert commit_ms_of({"commitMs": 250, "site": 5}) == 250
    assert commit_ms_of({"commitMs": 20_000}) is None
    assert commit_ms_of({}) is None


def test_an_inline_document_may_be_a_mapping_or_text() -> None:
    for inline in ({"schema": 1, "windows": {"length_s": 5}}, "schema: 1\nwindows: {length_s: 5}\n"):
        data = parse_config({"inline": inline}).inline
        assert data is not None
        assert parse_site(data, "inline").windows.default.length_ms == 5_000


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"schema": 2}, "schema: is not known here"),
        ({"stateroot": "/x"}, "stateroot: unknown key (did you mean 'stateRoot'?)"),
        ({"stateRoot": "relative"}, "stateRoot: 'relative' is no absolute path"),
        ({"site": {"uri": "ftp://x", "sha256": DIGEST}}, "site.uri: 'ftp://x' cannot be fetched"),
        (
            {"site": {"uri": "file:///x", "sha256": "abc"}},
            "site.sha256: 'abc' is not allowed here (64 hex digits",
        ),
        ({"site": {"uri": "file:///x"}}, "site.sha256: is missing"),
        ({"inline": {"x": "y" * 3_000}}, "inline: has 3"),
        ({"inline": 7}, "inline: expected a mapping or text"),
        ({"inline": {"schema": 1}, "site": {"uri": "file:///x", "sha256": DIGEST}}, "stands beside site"),
    ],
)
def test_faults_name_the_place_and_the_way_out(values: dict[str, Any], word: str) -> None:
    with pytest.raises(Reject) as caught:
        parse_config(values)
    assert word in str(caught.value)


def test_the_state_root_is_found_in_a_faulty_configuration() -> None:
    assert state_root_of({"stateRoot": "/srv/hg", "nonsense": 1}) == Path("/srv/hg")
    assert state_root_of({"stateRoot": 7}) == DEFAULT


def test_a_site_document_is_validated_whole() -> None:
    text = b"schema: 1\nwindows: {length_s: 0, longer: 1}\nmodbus: {devices: 7}\nbluetooth: {}\n"
    with pytest.raises(Reject) as caught:
        parse_site(text, "site.yaml")
    for word in ("windows.length_s", "windows.longer", "modbus.devices", "bluetooth"):
        assert word in str(caught.value)
    site = parse_site(b"schema: 1\nwindows: {length_s: 0.5e1}\n", "site.yaml")
    assert site.windows.default.length_ms == 5_000
    assert parse_site(b"schema: 1\n", "site.yaml").windows.default.length_ms == 10_000
