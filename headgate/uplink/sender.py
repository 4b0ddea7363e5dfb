"""Publishes what the planner says and brings it the cloud's acknowledgements."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.model import Ack
from headgate.sleeper import Sleeper
from headgate.store.state import OutboxPart, Queued
from headgate.uplink.acks import merge, parse_acks
from headgate.uplink.config import Mode, UplinkConfig
from headgate.uplink.handed import HandedOver, topic_of
from headgate.uplink.lanes import OVERHEAD_BYTES, Lane, wire_bytes
from headgate.uplink.meter import Meter
from headgate.uplink.pacing import UplinkTuning
from headgate.uplink.planner import Planner

log = logging.getLogger(__name__)

IDLE_MS = 3_600_000

MAX_FORKS_TOLD = 64

ReadRows = Callable[[int, int, OutboxPart], Awaitable[list[Queued]]]
"""Reads at most so many (second) waiting envelopes behind a row (first) of a part of the outbox, oldest
first.
"""


class Uplink:
    """The only sender of one gateway's envelopes. Runs until cancelled. `on_ack`: the cloud was heard.

    `meter` counts what goes over the link; its count is kept by whoever made it.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        thing: str,
        read: ReadRows,
        *,
        tuning: UplinkTuning | None = None,
        meter: Meter | None = None,
        on_ack: Callable[[], None] = lambda: None,
    ) -> None:
        self.mode: Mode = "acknowledged"
        self.planner = Planner(tuning, meter)
        self._bus = bus
        self._clock = clock
        self._thing = thing
        self._read = read
        self._on_ack_heard = on_ack
        self._changed = False
        self._sleeper = Sleeper(clock)
        self._acks: dict[tuple[str, int], Ack] = {}
        self._held: Mapping[Lane, str] = {}
        self._forked: set[tuple[str, int]] = set()
        self._handed = HandedOver()
        self._complaints = LimitedLog(log)

    def configure(self, config: UplinkConfig) -> None:
        """Other limits, shares and a metered link (or none) from now on; what was counted stays."""
        self.planner.set_limits(config.publishes_per_s, config.bytes_per_s, config.shares)
        after_s = config.resend_after_s
        self.planner.set_resend_after_ms(None if after_s is None else round(after_s * 1000))
        self.planner.meter.metered = config.metered
        self._wake()

    @property
    def held_back(self) -> str:
        """What the metered link does not let go now, in words; empty: nothing."""
        held = self.planner.held(self._clock.boot_ms(), self._clock.utc_ms())
        return "; ".join(f"{lane.name.lower()}: {why}" for lane, why in held.items())

    def offer(self, sealed: Sequence[Queued]) -> None:
        """Tell of envelopes that were just committed."""
        if sealed:
            self.planner.offer(sealed)
            self._wake()

    def take_acks(self) -> list[Ack]:
        """All that was acknowledged since the last call, by epoch, for the store to act on."""
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
                    self._tell_held()
                    if not self._changed and self.planner.wants_rows() is None:
                        now_ms, utc_ms = self._clock.boot_ms(), self._clock.utc_ms()
                        await self._sleeper.until(self.planner.wake_ms(now_ms, utc_ms) or now_ms + IDLE_MS)

    async def _read_backlog(self) -> None:
        limit = self.planner.tuning.read_rows
        while (wanted := self.planner.wants_rows()) is not None:
            lane, part, after_row = wanted
            found = await self._read(after_row, limit, part)
            self.planner.rows(lane, after_row, found, last=len(found) < limit)

    def _tell_held(self) -> None:
        held = self.planner.held(self._clock.boot_ms(), self._clock.utc_ms())
        for lane in held.keys() - self._held.keys():
            log.warning("uplink: metered link holds back %s: %s", lane.name.lower(), held[lane])
        for lane in self._held.keys() - held.keys():
            log.info("uplink: metered link lets %s go again", lane.name.lower())
        self._held = held

    def _publish_due(self, publishes: asyncio.TaskGroup) -> None:
        now_ms, utc_ms = self._clock.boot_ms(), self._clock.utc_ms()
        while (item := self.planner.next(now_ms, utc_ms)) is not None:
            key = item.envelope.id
            publishes.create_task(self._publish(item), name=f"publish {key.stream} {key.seq}")

    async def _publish(self, item: Queued) -> None:
        topic = topic_of(self._thing, item.envelope, self.mode)
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
            self.planner.meter.count(wire_bytes(item.envelope), self._clock.utc_ms())
            if self.mode != "acknowledged":
                ack = self._handed.note(item.envelope.id)
                self._note(ack)
                self.planner.settle(item.row, ack, self._clock.boot_ms())
        self._wake()

    def _wake(self) -> None:
        self._changed = True
        self._sleeper.wake()

    async def _on_ack(self, topic: str, payload: bytes) -> None:
        try:
            acks = parse_acks(payload)
        except Reject as error:
            self._complaints.warning("ack", "%s: %s", topic, error)
            return
        self._on_ack_heard()
        self.planner.meter.count(len(topic) + len(payload) + OVERHEAD_BYTES, self._clock.utc_ms())
        for ack in acks:
            self._note(ack)
            self._tell_forked(ack)
            if self.planner.acknowledge(ack, self._clock.boot_ms()):
                self._wake()

    def _note(self, ack: Ack) -> None:
        key = (ack.stream, ack.epoch)
        known = self._acks.get(key)
        self._acks[key] = ack if known is None else merge(known, ack)

    def _tell_forked(self, ack: Ack) -> None:
        key = (ack.stream, ack.epoch)
        if ack.forked and key not in self._forked and len(self._forked) < MAX_FORKS_TOLD:
            self._forked.add(key)
            log.error(
                "the cloud reports a fork in stream %s, epoch %016x: %s; this hub started from an older copy "
                "of its state root (restored image, failing SD card): what was sealed since, unsent, is gone",
                *key,
                ack.forked,
            )
