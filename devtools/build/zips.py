"""Zip files whose bytes depend on nothing but their entries."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

DATE = (1980, 1, 1, 0, 0, 0)
"""The oldest date a zip can hold."""

PACKED = {".whl", ".zip", ".gz", ".png"}
"""Suffixes of what is compressed already."""


def write_zip(target: Path, entries: Mapping[str, Path | bytes]) -> None:
    """Write `entries` (name in the zip -> file or content) sorted, with one date and one mode."""
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3  # unix, wherever it was built
            entry.external_attr = 0o100644 << 16
            packed = Path(name).suffix in PACKED
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            source = entries[name]
            content = source if isinstance(source, bytes) else source.read_bytes()
            archive.writestr(entry, content, compresslevel=9)
