"""When a file is stable, and how lists go on."""

from __future__ import annotations

from headgate.files.catalogue import Catalogue
from headgate.files.config import FilesConfig, Source
from headgate.files.folder import Fingerprint, Found
from headgate.model import file_id

CONFIG = FilesConfig((Source("logs", "/x"), Source("replies", "/y", at_once=True)), stable_ms=1_000)


def found(path: str, size_bytes: int = 1, mtime_ns: int = 5, inode: int = 7, source: str = "logs") -> Found:
    return Found(source, path, Fingerprint(size_bytes, mtime_ns, inode))


def test_a_file_is_offered_once_it_has_not_changed_for_long_enough() -> None:
    catalogue = Catalogue()
    for boot_ms, size_bytes, offered in [(0, 1, 0), (999, 1, 0), (1_000, 1, 1), (1_500, 2, 0), (2_500, 2, 1)]:
        catalogue.scanned([found("a", size_bytes)], CONFIG, boot_ms)
        assert (len(catalogue.offers), catalogue.unstable) == (offered, 1 - offered)
        assert catalogue.is_changing("logs", "a") is not bool(offered)
    (offer,) = catalogue.offers.values()
    assert offer.file_id == file_id("logs", "a", 2, 5)
    catalogue.scanned([], CONFIG, 3_000)
    assert catalogue.offers == {}
    catalogue.scanned([found("a", 2)], CONFIG, 3_001)
    assert catalogue.offers == {}


def test_a_changed_time_or_inode_counts_as_a_change() -> None:
    for other in (found("a", mtime_ns=6), found("a", inode=8)):
        catalogue = Catalogue()
        catalogue.scanned([found("a")], CONFIG, 0)
        catalogue.scanned([other], CONFIG, 1_000)
        assert catalogue.offers == {}


def test_what_is_known_or_written_whole_is_stable_at_once() -> None:
    catalogue = Catalogue()
    known = file_id("logs", "a", 1, 5)
    catalogue.scanned([found("a"), found("b"), found("r", source="replies")], CONFIG, 0, [known])
    assert [offer.key for offer in catalogue.offers.values()] == ["logs/a", "replies/r"]


def test_lists_go_on_after_a_key_that_may_be_gone() -> None:
    catalogue = Catalogue()
    for boot_ms in (0, 1_000):
        catalogue.scanned([found(path) for path in ("c", "a", "b/x", "b")], CONFIG, boot_ms)
    assert [offer.path for offer in catalogue.after("")] == ["a", "b", "b/x", "c"]
    assert [offer.path for offer in catalogue.after("logs/b")] == ["b/x", "c"]
    assert [offer.path for offer in catalogue.after("logs/aa")] == ["b", "b/x", "c"]
    assert catalogue.named("logs", "b/x") is not None
    assert catalogue.named("logs", "z") is None
