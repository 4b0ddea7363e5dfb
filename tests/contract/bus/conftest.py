"""Makes the worlds that the bus contract suite runs in: memory, and a simulated nucleus of each profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bus.world import MemoryWorld, World
from tests.support.bus_nucleus import NucleusWorld, gateway


@pytest.fixture(scope="session", params=["memory", "classic", "lite"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    with gateway(tmp_path_factory.mktemp("bus"), request.param) as world:
        yield world


@pytest.fixture(params=["classic", "lite"])
def nucleus_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NucleusWorld]:
    """A nucleus of the test's own, to stop and start."""
    with gateway(tmp_path, request.param) as world:
        yield world
