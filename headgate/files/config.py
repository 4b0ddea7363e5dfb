"""The `files:` section of a site document as frozen types: the folders whose files may be asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.config.reader import Problems, Section
from headgate.model import NAME_PART

REPLIES = "replies"
"""The source that is always there: replies too large for the way up."""
MIN_PART_BYTES = 5 * 1024**2
"""Of all parts but the last (Amazon S3 user guide, "Amazon S3 multipart upload limits")."""
MAX_PART_BYTES = 1024**3
DEFAULT_PART_BYTES = 8 * 1024**2
"""What a kill or a cut line costs at most; 15 minutes, the life of a URL, at 75 kbit/s."""
MAX_SOURCES = 64
_NAME_HINT = "1 to 64 of A-Z a-z 0-9 _ . -"
_PATH_HINT = "an absolute path of a folder, without . and .. and not the root itself"


@dataclass(frozen=True, slots=True)
class Source:
    """A folder, and which of its files are offered: those whose name matches the shell pattern.

    `at_once`: they are written whole, so that one that is there is finished. `announced`: somebody else
    announces them. `delete`: they go once the cloud has confirmed that it has them.
    """

    name: str
    path: str
    pattern: str = "*"
    delete: bool = False
    at_once: bool = False
    announced: bool = False


@dataclass(frozen=True, slots=True)
class FilesConfig:
    """A file is stable when it has not changed for `stable_ms`; folders are looked at every `scan_ms`."""

    sources: tuple[Source, ...] = ()
    stable_ms: int = 5_000
    scan_ms: int = 10_000
    part_bytes: int = DEFAULT_PART_BYTES
    uploads: int = 1


def parse(section: Section) -> FilesConfig:
    """Read the `files:` section; faults go to the section's problems (for `parse_sections`)."""
    sources = tuple(_source(each) for each in section.sections("sources"))
    first: dict[str, int] = {}
    for i, source in enumerate(sources):
        if source.name and first.setdefault(source.name, i) != i:
            there = f"by {section.at('sources')}[{first[source.name]}]"
            section.problems.add(f"{section.at('sources')}[{i}].name", f"{source.name!r} is taken", there)
    if len(sources) > MAX_SOURCES:
        section.fault("sources", f"has {len(sources)} entries", f"at most {MAX_SOURCES}")
    config = FilesConfig(
        sources=sources,
        stable_ms=round(section.number("stable_s", 5, low=0.1, high=86_400) * 1000),
        scan_ms=round(section.number("scan_s", 10, low=0.1, high=86_400) * 1000),
        part_bytes=section.integer(
            "part_size_bytes", DEFAULT_PART_BYTES, low=MIN_PART_BYTES, high=MAX_PART_BYTES
        ),
        uploads=section.integer("uploads", 1, low=1, high=4),
    )
    section.close()
    return config


def parse_mapping(config: Mapping[str, Any], source: str = "files") -> FilesConfig:
    """Read a `files:` section on its own. Raises Reject with all faults."""
    problems = Problems(source)
    parsed = parse(Section(config, "files", problems))
    problems.reject_if_any()
    return parsed


def _source(section: Section) -> Source:
    name = section.text("name", pattern=NAME_PART.pattern, hint=_NAME_HINT)
    if name == REPLIES:
        section.fault("name", f"{name!r} is taken", "the gateway's own replies are offered under it")
    path = section.text("path")
    if path and not _is_folder_path(path):
        section.fault("path", f"{path!r} is not allowed here", _PATH_HINT)
    pattern = section.text("pattern", "*", pattern=r"[^/\0]{1,200}", hint='of file names, such as "*.csv"')
    source = Source(name, path, pattern, delete=section.boolean("delete", False))
    section.close()
    return source


def _is_folder_path(path: str) -> bool:
    parts = re.split(r"[/\\]" if re.match(r"[A-Za-z]:", path) else "/", path)
    absolute = path.startswith("/") or re.match(r"[A-Za-z]:[\\/]", path) is not None
    named = [part for part in parts[1:] if part]
    return absolute and bool(named) and not {".", ".."} & set(named) and "\0" not in path
