"""Makes the worlds that the bus contract suite runs in."""

from __future__ import annotations

import pytest

from tests.contract.bus.world import MemoryWorld, World


@pytest.fixture(params=["memory"])
def world(request: pytest.FixtureRequest) -> World:
    return MemoryWorld()
