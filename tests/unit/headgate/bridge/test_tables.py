"""Series tables served in pages that fit the bus, by content hash."""

from __future__ import annotations

import json

import pytest

from headgate.bridge.tables import Tables
from headgate.errors import Reject
from headgate.model import Series, series_row

TABLE = [Series(f"meter-{i}/voltage", "µV", "f64", 1) for i in range(200)]


def request(dictionary: bytes, page: int = 0) -> bytes:
    return json.dumps({"dictionary": dictionary.hex(), "page": page}).encode()


@pytest.mark.parametrize("page_bytes", [150, 500, 7_000, 100_000])
async def test_pages_fit_and_together_are_the_table(page_bytes: int) -> None:
    tables = Tables(page_bytes)
    dictionary = tables.current(TABLE)
    rows, page, pages = [], 0, 1
    while page < pages:
        reply = await tables.serve(request(dictionary, page))
        assert len(reply) <= page_bytes
        parsed = json.loads(reply)
        rows += parsed["series"]
        page, pages = page + 1, parsed["pages"]
    assert rows == [series_row(series) for series in TABLE] == tables.rows(dictionary)
    with pytest.raises(Reject, match="no page"):
        await tables.serve(request(dictionary, pages))


async def test_an_empty_table_has_one_page() -> None:
    tables = Tables(100)
    assert json.loads(await tables.serve(request(tables.current([])))) == {"pages": 1, "series": []}


async def test_former_tables_are_served_while_they_are_kept() -> None:
    tables = Tables(7_000)
    old = tables.current(TABLE[:1])
    new = tables.current(TABLE[:2])
    assert old != new
    assert len(json.loads(await tables.serve(request(old)))["series"]) == 1
    tables.keep({old})
    assert tables.rows(old) is not None
    tables.keep(set())
    assert tables.rows(new) is not None
    with pytest.raises(Reject, match="no dictionary"):
        await tables.serve(request(old))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"dictionary": "zz"}', b'{"dictionary": 1}', b"\xff"]
)
async def test_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(Reject):
        await Tables(7_000).serve(payload)
