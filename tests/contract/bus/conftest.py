"""Makes the worlds that the bus contract suite runs in: memory, and a simulated nucleus of each profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.bus.world import MemoryWorld, SplitWorld, World
from tests.support.bus_nucleus import NucleusWorld, gateway


@pytest.fixture(scope="session", params=["memory", "classic", "lite", "split"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    profile = "lite" if request.param == "split" else request.param
    with gateway(tmp_path_factory.mktemp("bus"), profile) as world:
        yield SplitWorld(world) if request.param == "split" else world


@pytest.fixture(params=["classic", "lite"])
def nucleus_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NucleusWorld]:
    """A nucleus of the test's own, to stop and start."""
    with gateway(tmp_path, request.param) as world:
        yield world
