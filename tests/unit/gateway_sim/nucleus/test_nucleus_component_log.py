"""The component log of the simulated nucleus: stamped lines, rotation."""

from __future__ import annotations

import re
from pathlib import Path

from gateway_sim.nucleus.component_log import ComponentLog


def test_lines_are_stamped_and_files_rotated(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    output = ComponentLog(file, max_bytes=200)
    for number in range(40):
        output.write("stdout", [b"line %d" % number])
    output.close()
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    last = file.read_text().splitlines()[-1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[stdout\] line 39", last)


def test_an_existing_log_is_continued(tmp_path: Path) -> None:
    for text in (b"first", b"second"):
        output = ComponentLog(tmp_path / "a.log")
        output.write("stderr", [text])
        output.close()
    assert [line.split()[-1] for line in (tmp_path / "a.log").read_text().splitlines()] == ["first", "second"]
