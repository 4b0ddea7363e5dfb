"""A split bus shows a role only its part of the configuration, and changes of it alone."""

from __future__ import annotations

from headgate.bus.memory import MemoryBus
from headgate.bus.split import SplitBus


async def test_a_role_sees_its_keys_and_no_change_of_others() -> None:
    async with MemoryBus() as local, MemoryBus(config={"schema": 1, "site": {"uri": "a"}}) as outside:
        seen = SplitBus(local, outside, keys=("schema", "stateRoot")).configs()
        assert await anext(seen) == {"schema": 1}
        outside.set_config({"schema": 1, "site": {"uri": "b"}})
        outside.set_config({"schema": 1, "site": {"uri": "b"}, "stateRoot": "/data"})
        assert await anext(seen) == {"schema": 1, "stateRoot": "/data"}


async def test_limits_are_those_of_the_side_that_carries() -> None:
    async with MemoryBus(max_local_bytes=10) as local, MemoryBus(max_cloud_bytes=20) as outside:
        bus = SplitBus(local, outside)
        assert (bus.max_local_bytes, bus.max_cloud_bytes) == (10, 20)
