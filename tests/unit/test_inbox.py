"""The bounded queue: order, both policies, both bounds, the end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.inbox import Inbox, Overflow


async def rest(inbox: Inbox[int]) -> list[int]:
    inbox.finish()
    return [item async for item in inbox]


@given(st.integers(0, 30), st.integers(1, 10), st.sampled_from(Overflow))
def test_a_full_inbox_drops_by_its_policy_and_counts(count: int, limit: int, policy: Overflow) -> None:
    inbox: Inbox[int] = Inbox(limit, 10**6, policy)
    for n in range(count):
        inbox.put(n, 1)
    items = list(range(count))
    kept = items[-limit:] if policy is Overflow.DROP_OLDEST else items[:limit]
    assert asyncio.run(rest(inbox)) == kept
    assert (inbox.received, inbox.dropped) == (count, count - len(kept))


def test_bytes_are_bounded_too_but_one_large_item_passes() -> None:
    inbox: Inbox[int] = Inbox(100, 10)
    for n, size_bytes in enumerate([4, 4, 4, 50]):
        inbox.put(n, size_bytes)
    assert inbox.dropped == 3
    assert asyncio.run(rest(inbox)) == [3]


def test_a_reader_waits_for_items_and_sees_the_end() -> None:
    async def scenario() -> list[int]:
        inbox: Inbox[int] = Inbox(5, 100)
        got: list[int] = []

        async def read() -> None:
            got.extend([item async for item in inbox])

        async with asyncio.TaskGroup() as group:
            group.create_task(read(), name="read")
            await asyncio.sleep(0)
            inbox.put(1, 1)
            await asyncio.sleep(0)
            inbox.put(2, 1)
            inbox.put(3, 1)
            inbox.finish()
            inbox.put(4, 1)
        return got

    assert asyncio.run(scenario()) == [1, 2, 3]


def test_closing_drops_what_waits() -> None:
    inbox: Inbox[int] = Inbox(5, 100)
    inbox.put(1, 1)
    inbox.close()
    assert asyncio.run(rest(inbox)) == []


def test_a_second_reader_is_an_error() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(5, 100)
        first = asyncio.ensure_future(anext(inbox))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await anext(inbox)
        inbox.close()
        with pytest.raises(StopAsyncIteration):
            await first

    asyncio.run(scenario())
