"""Downloads: the composite checksum, going on after a break, and nothing left of what was wrong."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.cli.commands.fetch import target
from headgate_cloud.cli.download import Composite, Download
from headgate_cloud.cli.errors import CORRUPT, UNREACHABLE, Complaint
from headgate_cloud.cli.tables import FileRow

DATA = bytes(range(256)) * 10
PART_BYTES = 1000


def composite(data: bytes, part_bytes: int) -> str:
    parts = [data[i : i + part_bytes] for i in range(0, len(data), part_bytes)] or [b""]
    whole = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
    return f"{base64.b64encode(whole).decode()}-{len(parts)}"


class Body:
    """A stream that breaks after `length` bytes, if told to."""

    def __init__(self, data: bytes, length: int | None) -> None:
        self._data, self._length = data, length

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        file = io.BytesIO(self._data if self._length is None else self._data[: self._length])
        while piece := file.read(100):
            yield piece
        if self._length is not None:
            raise ReadTimeoutError(endpoint_url="http://s3", error="cut")


class S3:
    """An object whose first answers break; each is asked for from where the last ended."""

    def __init__(self, *breaks: int) -> None:
        self.breaks, self.ranges = list(breaks), list[str]()

    def get_object(self, **asked: Any) -> dict[str, Any]:
        start = int(asked.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.ranges.append(f"{start} {asked.get('IfMatch')}")
        return {"ETag": '"e"', "Body": Body(DATA[start:], self.breaks.pop(0) if self.breaks else None)}

    def head_object(self, **asked: Any) -> dict[str, Any]:
        assert asked["PartNumber"] == 1
        return {"ContentLength": PART_BYTES}


def row(**changed: Any) -> FileRow:
    fields: dict[str, Any] = {
        "thing": "gw-1",
        "file_id": "0" * 32,
        "source": "logs",
        "path": "a/b.log",
        "size_bytes": len(DATA),
        "mtime_ms": 0,
        "state": "complete",
        "upload_id": "u",
        "key": "gw-1/0/b.log",
        "sha256": composite(DATA, PART_BYTES),
        "part_size_bytes": PART_BYTES,
        "updated_ms": 0,
    }
    return FileRow(**{**fields, **changed})


@given(data=st.binary(max_size=200), part_bytes=st.integers(1, 60), pieces=st.lists(st.integers(1, 50)))
def test_composite_does_not_depend_on_the_pieces(data: bytes, part_bytes: int, pieces: list[int]) -> None:
    found, at = Composite(part_bytes), 0
    for size in [*pieces, len(data)]:
        found.update(data[at : at + size])
        at += size
    assert found.value() == composite(data, part_bytes)


def test_a_file_appears_whole_and_checked(tmp_path: Path) -> None:
    seen: list[int] = []
    Download(S3(), "b", seen.append).to(row(), tmp_path / "b.log")
    assert (tmp_path / "b.log").read_bytes() == DATA
    assert seen[-1] == len(DATA)
    Download(S3(), "b", seen.append).to(row(part_size_bytes=0), tmp_path / "c.log")  # S3 knows the parts
    plain = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    Download(S3(), "b", seen.append).to(row(sha256=plain), tmp_path / "d.log")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.log", "c.log", "d.log"]


def test_a_broken_stream_goes_on_where_it_broke(tmp_path: Path) -> None:
    s3 = S3(300, 500)
    Download(s3, "b", lambda _: None).to(row(), tmp_path / "b.log")
    assert (tmp_path / "b.log").read_bytes() == DATA
    assert s3.ranges == ["0 None", '300 "e"', '800 "e"']


def test_what_never_comes_is_given_up(tmp_path: Path) -> None:
    s3 = S3(*[0] * 9)
    with pytest.raises(Complaint) as refused:
        Download(s3, "b", lambda _: None).to(row(), tmp_path / "b.log")
    assert refused.value.code == UNREACHABLE
    assert len(s3.ranges) == 5


@pytest.mark.parametrize(
    "changed", [{"sha256": composite(DATA[:-1], PART_BYTES)}, {"size_bytes": len(DATA) + 1}]
)
def test_damage_leaves_nothing_behind(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(Complaint) as refused:
        Download(S3(), "b", lambda _: None).to(row(**changed), tmp_path / "b.log")
    assert refused.value.code == CORRUPT
    assert list(tmp_path.iterdir()) == []


def test_only_the_last_name_of_a_gateways_path_counts(tmp_path: Path) -> None:
    assert target(None, "../../etc/passwd") == Path("passwd")
    assert target(tmp_path, "a/b.log") == tmp_path / "b.log"
    assert target(tmp_path / "x", "a/b.log") == tmp_path / "x"
    with pytest.raises(Complaint):
        target(None, "..")
