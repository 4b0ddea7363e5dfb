"""A folder offers its regular files and nothing else, whatever a path or a link says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headgate.driver import Refused
from headgate.files import folder as folders
from headgate.files.config import Source
from headgate.files.folder import Folder, inode_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files, links and special files; `secret` lies beside it."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "logs"
    (root / "day" / "deep").mkdir(parents=True)
    (root / "day" / "deep" / "b.csv").write_text("b")
    (root / "a.csv").write_text("a")
    (root / "note.txt").write_text("n")
    (root / ".hidden.csv").write_text("h")
    (root / "link.csv").symlink_to(tmp_path / "secret")
    (root / "inside.csv").symlink_to(root / "a.csv")
    (root / "up").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.csv")
    return root


def source(root: Path, pattern: str = "*.csv") -> Source:
    return Source("logs", str(root), pattern)


def test_a_scan_finds_what_is_offered(root: Path) -> None:
    scan = Folder(source(root)).scan()
    assert [found.path for found in scan.found] == ["a.csv", "day/deep/b.csv"]
    assert (scan.skipped, scan.fault, scan.found[0].mark.size_bytes) == (0, "", 1)


@pytest.mark.parametrize(
    "path",
    [
        *("../secret", "/etc/passwd", "day/../../secret", "./a.csv", "day//b", "", ".", "..", "a.csv/"),
        *("link.csv", "inside.csv", "up/secret", "up/logs/a.csv", "pipe.csv", "day", "a.csv/x", "a\0b"),
        *("\udcff.csv", "x" * 1_025),
    ],
)
def test_what_leads_elsewhere_is_outside(root: Path, path: str) -> None:
    for ask in (Folder(source(root)).look, lambda path: Folder(source(root)).remove(path, None)):  # type: ignore[arg-type]
        with pytest.raises(Refused) as refused:
            ask(path)
        assert refused.value.code == "outside_roots"


def test_what_is_not_there_is_unknown(root: Path) -> None:
    for path in ("b.csv", "night/b.csv"):
        with pytest.raises(Refused) as refused:
            Folder(source(root)).look(path)
        assert refused.value.code == "unknown_file"
    with pytest.raises(Refused, match="folder cannot be read"):
        Folder(source(root / "nothing")).look("a.csv")
    assert "nothing" in Folder(source(root / "nothing")).scan().fault


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "current"
    link.symlink_to(root)
    with Folder(source(link)).opened("day/deep/b.csv") as (file, mark):
        assert (file.read(), mark.size_bytes) == (b"b", 1)


def test_nothing_of_the_gateway_s_own_state_is_offered(root: Path) -> None:
    closed = inode_of(root / "day")
    assert closed is not None
    folder = Folder(source(root), frozenset((closed,)))
    assert [found.path for found in folder.scan().found] == ["a.csv"]
    with pytest.raises(Refused, match="own state"):
        folder.look("day/deep/b.csv")
    whole = Folder(source(root / "day"), frozenset((closed,)))
    assert whole.scan().found == []


def test_names_that_a_pattern_offers(root: Path) -> None:
    folder = Folder(source(root))
    offered = {path: folder.offers(path) for path in ("a.csv", "x/y.csv", "a.txt", ".x.csv", ".git/x.csv")}
    assert offered == {"a.csv": True, "x/y.csv": True, "a.txt": False, ".x.csv": False, ".git/x.csv": False}
    assert Folder(source(root, ".*.csv")).offers(".hidden.csv")


def test_bounds_are_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    scan = Folder(source(root)).scan()
    assert ([found.path for found in scan.found], scan.skipped) == (["a.csv"], 1)
    monkeypatch.setattr(folders, "MAX_DEPTH", 0)
    scan = Folder(source(root)).scan()
    assert scan.skipped == 1
    os.fsdecode(b"\xff.csv")
    (root / os.fsdecode(b"\xff.csv")).write_text("no UTF-8")
    assert Folder(source(root)).scan().skipped == 2


def test_a_file_is_removed_only_as_it_was(root: Path) -> None:
    folder = Folder(source(root))
    mark = folder.look("a.csv")
    (root / "a.csv").write_text("changed")
    assert folder.remove("a.csv", mark) is False
    assert folder.remove("a.csv", folder.look("a.csv")) is True
    assert not (root / "a.csv").exists()
