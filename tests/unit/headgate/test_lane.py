"""The priority lane: urgent turns first, in order, never so many that ordinary ones starve."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from headgate.lane import URGENT_IN_A_ROW, Lane


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Users:
    """Takes turns in a lane; `held` are those inside, `order` says who came in when."""

    def __init__(self, lane: Lane, group: asyncio.TaskGroup) -> None:
        self.held: dict[str, asyncio.Event] = {}
        self.order: list[str] = []
        self._lane = lane
        self._group = group

    async def come(self, name: str, *, urgent: bool = False) -> asyncio.Task[None]:
        task = self._group.create_task(self._use(name, urgent))
        await settle()
        return task

    async def go(self, name: str) -> None:
        self.held[name].set()
        await settle()

    async def _use(self, name: str, urgent: bool) -> None:
        async with self._lane.turn(urgent=urgent):
            self.order.append(name)
            self.held[name] = asyncio.Event()
            await self.held[name].wait()
            del self.held[name]


async def drain(users: Users) -> None:
    while users.held:
        await users.go(next(iter(users.held)))


async def test_an_urgent_turn_goes_before_all_ordinary_ones_that_wait() -> None:
    async with asyncio.TaskGroup() as group:
        users = Users(Lane(2), group)
        for n in range(5):
            await users.come(f"poll {n}")
        await users.come("read a", urgent=True)
        await users.come("read b", urgent=True)
        await drain(users)
    assert users.order == ["poll 0", "poll 1", "read a", "read b", "poll 2", "poll 3", "poll 4"]


async def test_ordinary_turns_go_on_under_a_flood_of_urgent_ones() -> None:
    async with asyncio.TaskGroup() as group:
        users = Users(Lane(1), group)
        await users.come("first")
        for n in range(3):
            await users.come(f"poll {n}")
        for n in range(30):
            await users.come(f"read {n}", urgent=True)
        await drain(users)
    places = [place for place, name in enumerate(users.order) if name.startswith("poll")]
    assert places == [5, 10, 15]
    reads = [name for name in users.order if name.startswith("read")]
    assert reads == [f"read {n}" for n in range(30)]


async def test_one_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    async with asyncio.TaskGroup() as group:
        users = Users(Lane(1), group)
        await users.come("first")
        waiting = await users.come("read a", urgent=True)
        await users.come("read b", urgent=True)
        waiting.cancel()
        await drain(users)
    assert users.order == ["first", "read b"]


async def test_a_slot_given_to_one_that_is_cancelled_at_that_moment_is_not_lost() -> None:
    async with asyncio.TaskGroup() as group:
        users = Users(Lane(1), group)
        await users.come("first")
        waiting = await users.come("second")
        users.held["first"].set()
        await asyncio.sleep(0)  # the slot is given, but its new holder has not run
        waiting.cancel()
        await settle()
        await users.come("third")
        await drain(users)
    assert users.order == ["first", "third"]


@given(slots=st.integers(1, 4), arrivals=st.lists(st.booleans(), max_size=60))
def test_order_and_bound_hold_for_any_arrivals(slots: int, arrivals: list[bool]) -> None:
    async def play() -> list[str]:
        async with asyncio.TaskGroup() as group:
            users = Users(Lane(slots), group)
            for n in range(slots):
                await users.come(f"first {n}")
            for n, urgent in enumerate(arrivals):
                await users.come(f"{'u' if urgent else 'o'}{n}", urgent=urgent)
            assert len(users.held) == slots
            await drain(users)
        return users.order[slots:]

    order = asyncio.run(play())
    for kind in "uo":
        numbers = [int(name[1:]) for name in order if name[0] == kind]
        assert numbers == sorted(numbers)
    kinds = "".join(name[0] for name in order)
    while "o" in kinds:
        ahead, _, kinds = kinds.partition("o")
        assert len(ahead) <= URGENT_IN_A_ROW
        if "u" in kinds:
            assert len(ahead) == URGENT_IN_A_ROW
