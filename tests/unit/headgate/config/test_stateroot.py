"""The state root: made with the right modes, files replaced whole, unreadable ones set aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.config.stateroot import StateRoot, write_atomically
from headgate.errors import Fatal


def test_create_makes_every_directory_for_user_and_group_only(tmp_path: Path) -> None:
    root = StateRoot(tmp_path / "state")
    root.create()
    root.create()
    for directory in (root.path, root.journal, root.blocks, root.quarantine, root.spool, root.config):
        assert directory.is_dir()
        assert directory.stat().st_mode & 0o027 == 0


def test_create_says_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Fatal, match="cannot make"):
        StateRoot(tmp_path / "file" / "state").create()


def test_write_atomically_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "current"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [file.name for file in tmp_path.iterdir()] == ["current"]


def test_write_atomically_keeps_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "current"
    path.mkdir()
    with pytest.raises(OSError):
        write_atomically(path, b"x")
    assert [file.name for file in tmp_path.iterdir()] == ["current"]


def test_set_aside_never_overwrites(tmp_path: Path) -> None:
    root = StateRoot(tmp_path)
    root.create()
    names = set()
    for _ in range(2):
        path = root.pending("modbus")
        path.write_bytes(b"torn")
        names.add(root.set_aside(path, 5).name)
    assert names == {"modbus.pending.5", "modbus.pending.5-1"}
