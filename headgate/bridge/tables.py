"""The series tables that a bridge's batches refer to, served to the hub page by page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Protocol

from headgate.errors import Reject
from headgate.model import Series, dictionary_hash, series_row

Row = list[str | int | None]


class _Pages(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, page: int, /) -> bytes: ...

    def rows(self) -> list[Row]: ...


@dataclass(frozen=True, slots=True)
class _Spelled:
    """A table of a former run, as it is sent: as lists of rows it would take three times as much."""

    pages: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, page: int, /) -> bytes:
        return self.pages[page]

    def rows(self) -> list[Row]:
        return [row for page in self.pages for row in json.loads(page)]


@dataclass(frozen=True, slots=True)
class _Prefix:
    """The first series of the table in use, spelled when it is asked for; `starts` of pages, and the end."""

    table: Sequence[Series]
    starts: Sequence[int]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, page: int, /) -> bytes:
        first, end = self.starts[page], self.starts[page + 1]
        return b"[%s]" % b",".join(_text(series_row(self.table[i])) for i in range(first, end))

    def rows(self) -> list[Row]:
        return [series_row(series) for series in islice(self.table, self.starts[-1])]


class Tables:
    """Tables by content hash: the current one, and former ones while batches refer to them."""

    def __init__(self, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._pages: dict[bytes, _Pages] = {}
        self._current = b""
        self._length = -1

    def current(self, table: Sequence[Series]) -> bytes:
        """The hash of the table in use, which only ever grows; remembered until it does."""
        if len(table) != self._length:
            self._length = len(table)
            self._current = dictionary_hash(table)
            starts = _starts(map(series_row, table), self._page_bytes)
            self._pages[self._current] = _Prefix(table, starts)
        return self._current

    def add(self, dictionary: bytes, rows: Sequence[Row]) -> None:
        """Serve a table of a former run."""
        starts = _starts(rows, self._page_bytes)
        pages = [b"[%s]" % b",".join(map(_text, rows[first:end])) for first, end in pairwise(starts)]
        self._pages[dictionary] = _Spelled(pages)

    def keep(self, dictionaries: Set[bytes]) -> None:
        """Forget the tables that are neither current nor among these."""
        self._pages = {
            key: pages for key, pages in self._pages.items() if key in dictionaries or key == self._current
        }

    def rows(self, dictionary: bytes) -> list[Row] | None:
        """A table's rows; None when it is not known."""
        pages = self._pages.get(dictionary)
        return None if pages is None else pages.rows()

    async def serve(self, payload: bytes) -> bytes:
        """Answer one request (docs/wire.md, topic dictionary). Raises Reject for what is not here."""
        try:
            asked = json.loads(payload)
            dictionary, page = bytes.fromhex(asked["dictionary"]), int(asked.get("page", 0))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Reject(f"not a request for a dictionary: {payload[:80]!r}") from error
        pages = self._pages.get(dictionary)
        if pages is None:
            raise Reject(f"no dictionary {dictionary.hex()} here")
        if not 0 <= page < len(pages):
            raise Reject(f"dictionary {dictionary.hex()} has {len(pages)} pages, no page {page}")
        return b'{"pages":%d,"series":%s}' % (len(pages), pages[page])


def _starts(rows: Iterable[Row], page_bytes: int) -> list[int]:
    """Where pages begin whose replies are at most `page_bytes`, and where the last one ends; one at least."""
    room = page_bytes - len(_text({"pages": 10**9, "series": []}))
    starts, size, index = [0], 0, 0
    for row in rows:
        length = len(_text(row)) + 1
        if size and size + length > room:
            starts.append(index)
            size = 0
        size += length
        index += 1
    return [*starts, index]


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
