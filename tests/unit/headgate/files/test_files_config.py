"""The `files:` section: typed, whole, every fault with its path."""

from __future__ import annotations

import pytest

from headgate.errors import Reject
from headgate.files.config import DEFAULT_PART_BYTES, FilesConfig, Source, parse_mapping
from headgate.roles.hub_config import parse_site


def test_defaults_and_values() -> None:
    assert parse_mapping({}) == FilesConfig((), 5_000, 10_000, DEFAULT_PART_BYTES, 1)
    found = parse_mapping(
        {
            "stable_s": "2.5",
            "scan_s": 1,
            "part_size_bytes": 5_242_880.0,
            "uploads": "2",
            "sources": [{"name": "logs", "path": "/data/logs", "pattern": "*.csv", "delete": "true"}],
        }
    )
    source = Source("logs", "/data/logs", "*.csv", delete=True)
    assert found == FilesConfig((source,), 2_500, 1_000, 5_242_880, 2)


def test_every_fault_is_told_at_once_with_its_path() -> None:
    section = {
        "stable_s": 0,
        "part_size_bytes": 5_242_879,
        "folder": "/x",
        "sources": [
            {"name": "a/b", "path": "/x"},
            {"name": "logs", "path": "relative"},
            {"name": "logs", "path": "/x", "pattern": "a/b"},
            {"name": "replies", "path": "/"},
            {"name": "up", "path": "/data/../etc", "delete": "perhaps"},
        ],
    }
    with pytest.raises(Reject) as refused:
        parse_mapping(section)
    assert sorted(problem.path for problem in refused.value.problems) == [
        "files.folder",
        "files.part_size_bytes",
        "files.sources[0].name",
        "files.sources[1].path",
        "files.sources[2].name",
        "files.sources[2].pattern",
        "files.sources[3].name",
        "files.sources[3].path",
        "files.sources[4].delete",
        "files.sources[4].path",
        "files.stable_s",
    ]


def test_the_hub_accepts_the_section_whole() -> None:
    parse_site(b"schema: 1\nfiles: {sources: [{name: logs, path: /data/logs}]}\n", "test")
    with pytest.raises(Reject, match=r"files\.sources\[0\]\.path"):
        parse_site(b"schema: 1\nfiles: {sources: [{name: logs}]}\n", "test")
