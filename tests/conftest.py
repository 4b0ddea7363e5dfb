"""What every test shares: which slow suites run, and hypothesis without any timing."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("headgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow` runs every slow suite, `--slow NAME` that one; without it none runs."""
    parser.addoption("--slow", nargs="?", const="all", default=None, metavar="NAME", help="run slow suites")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--slow` keep only the slow suites asked for, without it only the rest."""
    wanted = config.getoption("--slow")
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("slow")
        if mark is None:
            keep = wanted is None
        else:
            keep = wanted is not None and wanted in ("all", *mark.args)
        (kept if keep else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)
