"""What every test shares: coroutine tests, which slow suites run, hypothesis without any timing."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run: a failure is this change's. The slow suites search with new ones.
settings.register_profile(
    "headgate", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("headgate-slow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headgate")

DEFAULT_SEED = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--slow` runs every slow suite, `--slow NAME` that one; without it none runs."""
    parser.addoption("--slow", nargs="?", const="all", default=None, metavar="NAME", help="run slow suites")
    parser.addoption("--seed", type=int, default=None, help="what slow suites draw from (HEADGATE_SEED)")


def pytest_configure(config: pytest.Config) -> None:
    """Tell the seed to tests and to whatever processes they start, and let these be interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell starts what is to run in its background; whoever is started from here would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    seed = config.getoption("--seed")
    if seed is not None:
        os.environ["HEADGATE_SEED"] = str(seed)
    if config.getoption("--slow"):
        settings.load_profile("headgate-slow")


@pytest.fixture(scope="session")
def seed() -> int:
    """What random choices of a test are drawn from; printed by `./dev test --slow`."""
    return int(os.environ.get("HEADGATE_SEED", DEFAULT_SEED))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--slow` keep only the slow suites asked for, without it only the rest."""
    wanted = config.getoption("--slow")
    suites = {str(name) for item in items for mark in item.iter_markers("slow") for name in mark.args}
    if wanted not in (None, "all", *suites):
        raise pytest.UsageError(f"no slow suite {wanted!r}; there are: {', '.join(sorted(suites)) or 'none'}")
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("slow")
        keep = wanted is None if mark is None else wanted in ("all", *mark.args)
        (kept if keep else dropped).append(item)
    if dropped:
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
