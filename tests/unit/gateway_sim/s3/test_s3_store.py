"""Uploads become objects by S3's rules, and no file is left of what is gone."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from gateway_sim.cloud.s3.errors import S3Error
from gateway_sim.cloud.s3.store import MIN_PART_BYTES, Body, NamedPart, Store, composite


def land(store: Store, content: bytes, *, size_bytes: int | None = None) -> Body:
    path = store.landing()
    path.write_bytes(content)
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Body(path, size_bytes or len(content), digest, hashlib.md5(content).hexdigest())


def named(number: int, body: Body) -> NamedPart:
    return NamedPart(number, f'"{body.md5}"', body.sha256)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "s3")
    found.make_bucket("b")
    return found


def test_parts_in_any_order_become_one_object_and_the_rest_is_gone(store: Store, tmp_path: Path) -> None:
    upload = store.begin("b", "k", checksums=True, content_type="x/y")
    where = ("b", "k", upload.upload_id)
    second, stray = land(store, b"two"), land(store, b"stray")
    assert not store.put_part(*where, 2, second)
    assert not store.put_part(*where, 1, land(store, b"old", size_bytes=MIN_PART_BYTES))
    first = land(store, b"one", size_bytes=MIN_PART_BYTES)
    assert store.put_part(*where, 1, first)  # a part that was held is replaced, and that is told
    store.put_part(*where, 7, stray)
    made = store.complete(*where, [named(1, first), named(2, second)], 5.0)
    assert (made.checksum, made.size_bytes) == (composite([first.sha256, second.sha256]), MIN_PART_BYTES + 3)
    assert store.get("b", "k") == made
    assert sorted((tmp_path / "s3").iterdir()) == sorted([first.path, second.path])
    with pytest.raises(S3Error, match="NoSuchUpload"):
        store.complete(*where, [named(1, first)], 6.0)
    store.delete("b", "k")
    assert list((tmp_path / "s3").iterdir()) == []


def test_what_completes_wrongly_changes_nothing(store: Store) -> None:
    upload = store.begin("b", "k", checksums=True, content_type="x/y")
    where = ("b", "k", upload.upload_id)
    first, second = land(store, b"one"), land(store, b"two")
    store.put_part(*where, 1, first)
    store.put_part(*where, 2, second)
    for parts, code in (
        ([], "MalformedXML"),
        ([named(1, first), named(2, second)], "EntityTooSmall"),
        ([named(2, second), named(1, first)], "InvalidPartOrder"),
        ([named(1, second)], "InvalidPart"),
        ([named(3, second)], "InvalidPart"),
        ([NamedPart(1, first.md5, "")], "InvalidPart"),
    ):
        with pytest.raises(S3Error, match=code):
            store.complete(*where, parts, 5.0)
    assert [number for number, _ in store.parts(upload)] == [1, 2]
    assert store.listing("b", "", "") == []


def test_an_upload_is_its_keys_own(store: Store) -> None:
    upload = store.begin("b", "gw-1/k", checksums=False, content_type="x/y")
    with pytest.raises(S3Error, match="NoSuchUpload"):
        store.put_part("b", "gw-2/k", upload.upload_id, 1, land(store, b"x"))
    store.abort("b", "gw-1/k", upload.upload_id)
    assert store.uploads("b") == []
    with pytest.raises(S3Error, match="NoSuchBucket"):
        store.begin("c", "k", checksums=False, content_type="x/y")
