"""Schemas of codec compact: pages of series, named by their content, that the cloud is told once. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from headgate.envelope.header import Part
from headgate.envelope.reports import pack_report
from headgate.model import ClockState, Series, series_row

ID_BYTES = 8
MAX_ROWS = 1_024
MAX_NEW = 4
"""Pages that one envelope names at most: what it leaves of the room is for values."""
AGAIN_MS = 60_000
"""A page that the cloud asks for is not sent more often: the one under way may not have arrived."""
_FRAME_BYTES = 80
_MAX_KNOWN = 4_096

Stretch = tuple[bytes, int, int]
"""A page's id, an index in it, and how many series stand there one after the other."""


class SchemaBook:
    """Which page holds a series. Pages are made where a series has none; none ever changes."""

    def __init__(self, pages: Mapping[bytes, Sequence[Series]]) -> None:
        self._pages = {key: tuple(rows) for key, rows in pages.items()}
        self._places: dict[Series, tuple[bytes, int]] = {}
        self._told_ms: dict[bytes, int] = {}
        self._known: dict[tuple[Series, ...], list[Stretch]] = {}
        for key, rows in self._pages.items():
            self._places |= {series: (key, i) for i, series in enumerate(rows)}

    def places(self, table: tuple[Series, ...]) -> list[Stretch]:
        """Where each of these series stands, in their order."""
        found = self._known.get(table)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[table] = list(_stretches(self._places[series] for series in table))
        return found

    def knows(self, table: tuple[Series, ...]) -> bool:
        """Whether these series, together, were looked for before: then they all have a place."""
        return table in self._known

    def add(self, table: Iterable[Series], room_bytes: int, boot_ms: int) -> list[bytes]:
        """Make pages for the series that have none, in their order; returns the new ones' ids."""
        fresh = [series for series in dict.fromkeys(table) if series not in self._places]
        keys = []
        for rows in _pages(fresh, room_bytes - _FRAME_BYTES):
            key = schema_id(rows)
            self._pages[key] = rows
            self._places |= {series: (key, i) for i, series in enumerate(rows)}
            self._told_ms[key] = boot_ms
            keys.append(key)
        return keys

    def rows(self, key: bytes) -> tuple[Series, ...]:
        """A page's series."""
        return self._pages[key]

    def report(self, key: bytes, clock: ClockState) -> Part:
        """The page as a report, plain JSON."""
        rows = [series_row(series) for series in self._pages[key]]
        return pack_report("schema", {"id": key.hex(), "series": rows}, clock)

    def again(self, wanted: Iterable[str], boot_ms: int) -> list[bytes]:
        """Which of the ids (hex) that the cloud asks for are to be sent again now."""
        keys = []
        for text in wanted:
            key = bytes.fromhex(text)
            told_ms = self._told_ms.get(key)
            if key in self._pages and (told_ms is None or boot_ms - told_ms >= AGAIN_MS):
                self._told_ms[key] = boot_ms
                keys.append(key)
        return keys


def told_in(body: bytes) -> str:
    """The id (hex) of the schema that a report tells; empty where it is no such report."""
    report = json.loads(body)["report"]
    return str(report["id"]) if report["type"] == "schema" else ""


def schema_id(rows: Sequence[Series]) -> bytes:
    """The first 8 B of the SHA-256 of the rows as JSON without spaces, all ASCII."""
    text = json.dumps([series_row(series) for series in rows], separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:ID_BYTES]


def _stretches(places: Iterable[tuple[bytes, int]]) -> Iterator[Stretch]:
    page, first, count = b"", 0, 0
    for key, index in places:
        if count and key == page and index == first + count:
            count += 1
            continue
        if count:
            yield page, first, count
        page, first, count = key, index, 1
    if count:
        yield page, first, count


def _pages(table: Sequence[Series], room_bytes: int) -> Iterable[tuple[Series, ...]]:
    page: list[Series] = []
    size = 0
    for series in table:
        row = len(json.dumps(series_row(series), separators=(",", ":"))) + 1
        if page and (size + row > room_bytes or len(page) == MAX_ROWS):
            yield tuple(page)
            page, size = [], 0
        page.append(series)
        size += row
    if page:
        yield tuple(page)
