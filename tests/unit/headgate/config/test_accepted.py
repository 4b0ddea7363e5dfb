"""The accepted site document is read only when it is what its name says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from headgate.config.accepted import Accepted, read_accepted, store_accepted
from headgate.config.stateroot import StateRoot
from headgate.errors import Reject

TEXT = b"schema: 1\n"
DIGEST = hashlib.sha256(TEXT).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> StateRoot:
    root = StateRoot(tmp_path)
    root.create()
    return root


def test_none_yet(root: StateRoot) -> None:
    assert read_accepted(root) is None


def test_the_one_in_force(root: StateRoot) -> None:
    assert store_accepted(root, b"schema: 1 # before\n") == read_accepted(root)
    assert store_accepted(root, TEXT) == Accepted(DIGEST, TEXT)
    assert read_accepted(root) == Accepted(DIGEST, TEXT)


@pytest.mark.parametrize(
    ("current", "content", "what"),
    [
        ("../../etc/passwd", TEXT, "is no SHA-256"),
        ("", TEXT, "is no SHA-256"),
        (DIGEST, b"other", "its content is not what its name says"),
        ("0" * 64, TEXT, "though it is the document in force"),
    ],
)
def test_a_damaged_one_is_refused(root: StateRoot, current: str, content: bytes, what: str) -> None:
    (root.config / DIGEST).write_bytes(content)
    root.current.write_text(current)
    with pytest.raises(Reject, match=what):
        read_accepted(root)
