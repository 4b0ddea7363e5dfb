"""Two builds of one checkout at once, as tests that run side by side start them."""

from __future__ import annotations

import threading
from pathlib import Path

from devtools.build.command import one_at_a_time


def test_a_build_waits_for_the_one_that_runs(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with one_at_a_time(tmp_path / "cache"):
            order.append("second")

    with one_at_a_time(tmp_path / "cache"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        thread.join(0.2)  # gives a build that does not wait the time to show it
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
