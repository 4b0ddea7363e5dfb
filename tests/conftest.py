"""What every test shares: coroutine tests, which slow suites run, hypothesis without any timing."""

from __future__ import annotations

import asyncio
import inspect

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
        keep = wanted is None if mark is None else wanted in ("all", *mark.args)
        (kept if keep else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests on a loop of their own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
