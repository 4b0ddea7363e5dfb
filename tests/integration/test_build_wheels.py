"""Fetching wheels: a package that cannot be had is named, and nothing half fetched is taken for whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.build.wheels import BuildError, Target, wheelhouse


def test_a_package_that_cannot_be_had_is_named_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    lock = tmp_path / "gateway.txt"
    lock.write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n", "utf-8")
    with pytest.raises(BuildError, match=r"(?s)for aarch64-cp313:.*no-such-package==1\.0"):
        wheelhouse([Target("aarch64", "3.13")], lock, tmp_path / "cache")
    assert list((tmp_path / "cache/wheels").iterdir()) == []
