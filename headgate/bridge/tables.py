"""The series tables that a bridge's batches refer to, served to the hub page by page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence, Set

from headgate.errors import Reject
from headgate.model import Series, dictionary_hash, series_row

Row = list[str | int | None]


class Tables:
    """Tables by content hash: the current one, and former ones while batches refer to them.

    Pages are kept as they are spelled: as lists of rows they would take three times as much.
    """

    def __init__(self, page_bytes: int) -> None:
        self._page_bytes = page_bytes
        self._pages: dict[bytes, list[bytes]] = {}
        self._current = b""
        self._length = -1

    def current(self, table: Sequence[Series]) -> bytes:
        """The hash of the table in use, which only ever grows; remembered until it does."""
        if len(table) != self._length:
            self._length = len(table)
            self._current = dictionary_hash(table)
            self.add(self._current, map(series_row, table))
        return self._current

    def add(self, dictionary: bytes, rows: Iterable[Row]) -> None:
        """Serve a table."""
        self._pages[dictionary] = list(_paged(rows, self._page_bytes))

    def keep(self, dictionaries: Set[bytes]) -> None:
        """Forget the tables that are neither current nor among these."""
        self._pages = {
            key: pages for key, pages in self._pages.items() if key in dictionaries or key == self._current
        }

    def rows(self, dictionary: bytes) -> list[Row] | None:
        """A table's rows; None when it is not known."""
        pages = self._pages.get(dictionary)
        return None if pages is None else [row for page in pages for row in json.loads(page)]

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


def _paged(rows: Iterable[Row], page_bytes: int) -> Iterator[bytes]:
    """Rows in pages whose replies are at most `page_bytes`; at least one page."""
    room = page_bytes - len(_text({"pages": 10**9, "series": []}))
    page: list[bytes] = []
    size = 0
    for row in rows:
        text = _text(row)
        if page and size + len(text) + 1 > room:
            yield b"[%s]" % b",".join(page)
            page, size = [], 0
        page.append(text)
        size += len(text) + 1
    yield b"[%s]" % b",".join(page)


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
