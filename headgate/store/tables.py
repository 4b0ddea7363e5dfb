"""Tables of series a second time, beside state.db: without its table no batch of the journal can be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from headgate.config.stateroot import MODE, write_atomically
from headgate.errors import Reject
from headgate.model import Series, dictionary_hash
from headgate.store.state import table_from_rows, table_text

MAX_TABLES = 64
"""The journal is of the last quarter of an hour: its batches name the newest few."""


def save_table(folder: Path, key: bytes, table: Sequence[Series]) -> None:
    """Keep a table; the oldest beyond MAX_TABLES go. Raises OSError."""
    folder.mkdir(mode=MODE, exist_ok=True)
    held = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in held[: max(0, len(held) - MAX_TABLES + 1)]:
        path.unlink()
    write_atomically(folder / f"{key.hex()}.json", table_text(table).encode())


def saved_tables(folder: Path) -> dict[bytes, tuple[Series, ...]]:
    """The tables that can be read, by content hash."""
    found = {}
    for path in folder.glob("*.json"):
        with suppress(Reject, ValueError, OSError):
            table = table_from_rows(json.loads(path.read_bytes()))
            if dictionary_hash(table).hex() == path.stem:
                found[dictionary_hash(table)] = table
    return found
