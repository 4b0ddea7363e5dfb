"""What messages amount to, by day and kind, and that it survives a restart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import ManualClock
from headgate.config.stateroot import StateRoot
from headgate.errors import Retry
from headgate.store.store import Store
from headgate.uplink.ledger import DAY_MS, Key, Ledger, Use, lines_from, rows_of, summary
from headgate.uplink.metered import MeteredBus
from headgate.uplink.prices import Prices, units_of

DAY = 20_454
NOW_MS = DAY * DAY_MS + 1_000
LIVE = "$aws/rules/hg_ingest_v1/hg/v1/gw/up/live/json"
REPLY = "hg/v1/gw/up/reply"


def test_a_message_is_metered_in_steps_of_5_kb_with_its_topic() -> None:
    assert [units_of("t", size) for size in (0, 5_119, 5_120, 10_239, 10_240)] == [1, 1, 2, 2, 3]


def test_envelopes_cost_a_rule_and_an_action_and_other_messages_a_message() -> None:
    ledger, prices = Ledger(), Prices()
    ledger.up(NOW_MS, LIVE, 6_000)
    ledger.up(NOW_MS, REPLY, 100)
    assert ledger.usd(DAY, DAY, prices) == pytest.approx(2 * 0.30e-6 + 1.00e-6)
    assert summary(ledger.day(DAY), prices) == [
        {"way": "up", "kind": "live", "messages": 1, "bytes": 6_000 + len(LIVE), "units": 2, "usd": 6e-7},
        {"way": "up", "kind": "reply", "messages": 1, "bytes": 100 + len(REPLY), "units": 1, "usd": 1e-6},
    ]


def test_acknowledgements_come_down_without_a_puback_and_requests_with_one() -> None:
    ledger = Ledger()
    ledger.down(NOW_MS, "hg/v1/gw/dn/ack", 90)
    ledger.down(NOW_MS, "hg/v1/gw/dn/req/read", 200)
    ledger.down(NOW_MS, "$aws/things/gw/jobs/notify-next", 300)
    kinds = {(key.way, key.kind): use.messages for key, use in ledger.day(DAY).items()}
    assert kinds == {("down", "ack"): 1, ("down", "request"): 1, ("down", "jobs"): 1, ("up", "puback"): 2}


def test_days_are_utc_days() -> None:
    ledger = Ledger()
    ledger.up((DAY + 1) * DAY_MS - 1, LIVE, 10)
    ledger.up((DAY + 1) * DAY_MS, LIVE, 10)
    assert [ledger.total(day, day).messages for day in (DAY, DAY + 1)] == [1, 1]
    ledger.forget(DAY + 1)
    assert ledger.days() == [DAY + 1]
    assert [key.day for key in ledger.take_changed()] == [DAY + 1]


def test_the_book_is_the_same_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger()
    for size in (100, 6_000):
        ledger.up(NOW_MS, LIVE, size, again=size == 6_000)
        ledger.down(NOW_MS, "hg/v1/gw/dn/ack", size)
    store = Store(StateRoot(tmp_path), "gw", 1)
    with store.begin() as tx:
        tx.book(rows_of(ledger.take_changed()), 0, {"ledger_day": 7})
    store.close()
    store = Store(StateRoot(tmp_path), "gw", 2)
    again = Ledger(lines_from(store.state.ledger()))
    assert again.day(DAY) == ledger.day(DAY)
    assert again.day(DAY)[Key(DAY, "up", "live", again=True, basic_ingest=True)].units == 2
    assert (store.state.note("ledger_day"), store.state.note("other")) == (7, 0)
    assert store.progress == type(store.progress)()
    with store.begin() as tx:
        tx.book([], DAY + 1, {})
    assert store.state.ledger() == []
    store.close()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20_000), st.booleans()), max_size=50))
def test_the_total_is_the_sum_of_its_lines(messages: list[tuple[int, int, bool]]) -> None:
    ledger = Ledger()
    for day, size, again in messages:
        ledger.up((DAY + day) * DAY_MS, LIVE, size, again=again)
    assert ledger.total(DAY, DAY + 3) == Use(
        len(messages),
        sum(size + len(LIVE) for _, size, _ in messages),
        sum(-(-(size + len(LIVE)) // 5_120) for _, size, _ in messages),
    )
    assert ledger.usd(DAY, DAY + 3, Prices()) == pytest.approx(
        sum(units_of(LIVE, size) for _, size, _ in messages) * 0.30e-6
    )


async def test_the_bus_books_what_the_nucleus_took_and_knows_what_is_sent_again() -> None:
    clock, ledger, cloud = ManualClock(utc_ms=NOW_MS), Ledger(), MemoryCloud()
    heard: list[bytes] = []

    async def on_ack(topic: str, payload: bytes) -> None:
        heard.append(payload)

    async with MemoryBus(cloud=cloud) as inner:
        bus = MeteredBus(inner, clock, ledger)
        with bus.subscribe_cloud("hg/v1/gw/dn/ack", on_ack):
            inner.cloud_online = False
            with pytest.raises(Retry):
                await bus.publish_cloud(LIVE, b"one")
            inner.cloud_online = True
            for body in (b"one", b"two", b"one"):
                await bus.publish_cloud(LIVE, body)
            cloud.route("hg/v1/gw/dn/ack", b"{}")
            while not heard:
                await bus.publish("hg/v1/local/tick", b"")
    found = {(key.way, key.kind, key.again): use.messages for key, use in ledger.day(DAY).items()}
    assert found == {("up", "live", False): 2, ("up", "live", True): 1, ("down", "ack", False): 1}
