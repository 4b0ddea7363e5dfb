"""Publishes what the planner says and brings it the cloud's acknowledgements."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.envelope import header
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.model import Ack
from headgate.sleeper import Sleeper
from headgate.store.state import Queued
from headgate.uplink.acks import parse_ack
from headgate.uplink.pacing import UplinkTuning
from headgate.uplink.planner import Planner

log = logging.getLogger(__name__)

IDLE_MS = 3_600_000

ReadRows = Callable[[int, int], Awaitable[list[Queued]]]
"""Reads at most so many (second) waiting envelopes behind a row (first) of the outbox, oldest first."""


class Uplink:
    """The only sender of one gateway's envelopes. Runs until cancelled. `on_ack`: the cloud was heard."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        thing: str,
        read: ReadRows,
        *,
        tuning: UplinkTuning | None = None,
        on_ack: Callable[[], None] = lambda: None,
    ) -> None:
        self.planner = Planner(tuning)
        self._bus = bus
        self._clock = clock
        self._thing = thing
        self._read = read
        self._on_ack_heard = on_ack
        self._changed = False
        self._sleeper = Sleeper(clock)
        self._acks: dict[tuple[str, int], Ack] = {}
        self._complaints = LimitedLog(log)

    def offer(self, sealed: Sequence[Queued]) -> None:
        """Tell of envelopes that were just committed."""
        if sealed:
            self.planner.offer(sealed)
            self._wake()

    def take_acks(self) -> list[Ack]:
        """The acknowledgements since the last call, the furthest of each epoch, for the store to act on."""
        acks = list(self._acks.values())
        self._acks.clear()
        return acks

    async def run(self) -> None:
        """Send until cancelled; whatever the nucleus and the cloud do."""
        topic = f"hg/v1/{self._thing}/dn/ack"
        with self._bus.subscribe_cloud(topic, self._on_ack):
            async with asyncio.TaskGroup() as publishes:
                while True:
                    self._changed = False
                    await self._read_backlog()
                    self._publish_due(publishes)
                    if not self._changed and self.planner.wants_rows_after() is None:
                        now_ms = self._clock.boot_ms()
                        await self._sleeper.until(self.planner.wake_ms(now_ms) or now_ms + IDLE_MS)

    async def _read_backlog(self) -> None:
        after_row = self.planner.wants_rows_after()
        if after_row is not None:
            limit = self.planner.tuning.read_rows
            found = await self._read(after_row, limit)
            self.planner.rows(after_row, found, last=len(found) < limit)

    def _publish_due(self, publishes: asyncio.TaskGroup) -> None:
        now_ms, utc_ms = self._clock.boot_ms(), self._clock.utc_ms()
        while (item := self.planner.next(now_ms, utc_ms)) is not None:
            key = item.envelope.id
            publishes.create_task(self._publish(item), name=f"publish {key.stream} {key.seq}")

    async def _publish(self, item: Queued) -> None:
        topic = header.topic(self._thing, item.envelope.id.stream, item.envelope.schema)
        try:
            await self._bus.publish_cloud(topic, item.envelope.body)
        except Retry as error:
            self.planner.failed(item.row, self._clock.boot_ms())
            if self.planner.offline:
                self._complaints.warning("offline", "uplink: %s; backing off", error)
        except Reject as error:
            self._complaints.warning("refused", "uplink: %s; tried again later", error)
            self.planner.refused(item.row)
        else:
            self.planner.done(item.row)
        self._wake()

    def _wake(self) -> None:
        self._changed = True
        self._sleeper.wake()

    async def _on_ack(self, topic: str, payload: bytes) -> None:
        try:
            ack = parse_ack(payload)
        except Reject as error:
            self._complaints.warning("ack", "%s: %s", topic, error)
            return
        self._on_ack_heard()
        key = (ack.stream, ack.epoch)
        known = self._acks.get(key)
        if known is None or (ack.up_to, len(ack.received)) >= (known.up_to, len(known.received)):
            self._acks[key] = ack
        if self.planner.acknowledge(ack, self._clock.boot_ms()):
            self._wake()
