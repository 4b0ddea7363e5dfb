"""Retention in the hub: asked before writes, at work beside them; the uplink is told what is gone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from headgate.clock import UTC_PLAUSIBLE_MS, Clock
from headgate.config.stateroot import StateRoot
from headgate.envelope import header, reports
from headgate.model import ClockState
from headgate.roles.hub_pipeline import Arrived, Pipeline
from headgate.sleeper import Sleeper
from headgate.store.config import StoreConfig
from headgate.store.retention import Retention, Step
from headgate.store.store import RECORD_BATCHES, Store
from headgate.store.transaction import Seal
from headgate.store.writer import Writer
from headgate.uplink.sender import Uplink

CHECK_MS = 60_000
"""Between looks where nothing is sealed."""
WIRE_FACTOR = 2
"""A journal record is smaller than the batches in it; so many times as large it never is."""
ROW_BYTES = 512
"""Of a series in a journaled table, at most."""
UNSEALED_PART = 64
"""Of the cap, what may wait in the journal to be put into envelopes."""


class HubRetention:
    """What calls into the store runs in its thread."""

    def __init__(
        self,
        store: Store,
        root: StateRoot,
        pipeline: Pipeline,
        config: StoreConfig,
        clock: Clock,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._sleeper = Sleeper(clock)
        self._wire_bytes = 0
        self._sealed_to = -1
        self.retention = Retention(store, root, tell, config, seal_blocks=self._seal_blocks)
        pipeline.room = self._room

    def admits(self, arrived: Arrived) -> bool:
        """Whether a commit keeps the cap; in the store's thread. If not, bridges keep what they sent."""
        if self._sealed_to != self._store.progress.packed:
            self._sealed_to, self._wire_bytes = self._store.progress.packed, 0
        wire_bytes = sum(len(wire) for _, wire in arrived.batches)
        size_bytes = WIRE_FACTOR * wire_bytes + sum(ROW_BYTES * len(table) for table in arrived.tables)
        records = -(-len(arrived.batches) // RECORD_BATCHES) + len(arrived.tables)
        waits = self._wire_bytes and self._wire_bytes + wire_bytes > self.retention.cap_bytes // UNSEALED_PART
        growth_bytes = self._store.journal.growth_bytes(size_bytes, records)
        if self._pipeline.deferred or waits or not self._room(growth_bytes):
            self.retention.counters.refused += len(arrived.batches)
            return False
        self._wire_bytes += wire_bytes
        return True

    def step(self) -> Step:
        """See `Retention.step`; in the store's thread."""
        utc_ms = self._clock.utc_ms()
        return self.retention.step(utc_ms, self._clock.boot_ms(), trusted=utc_ms >= UTC_PLAUSIBLE_MS)

    def wake(self) -> None:
        """Something was written: look again."""
        self._sleeper.wake()

    async def run(self, writer: Writer, uplink: Uplink) -> None:
        """Keep the cap until cancelled. Commits go between the steps."""
        while True:
            step = await writer.call(self.step)
            uplink.planner.forget(step.shed)
            uplink.offer(step.told)
            if not step.more:
                await self._sleeper.until(self._clock.boot_ms() + CHECK_MS)

    def status(self) -> str:
        """For the status line."""
        found = self.retention.counters
        return (
            f"kept {self.retention.used_bytes} of {self.retention.cap_bytes} B; shed: "
            f"samples {found.samples}, downsampled {found.thinned}, envelopes {found.envelopes}, "
            f"files {found.files}, "
            f"batches refused {found.refused}"
        )

    def _room(self, need_bytes: int) -> bool:
        if self.retention.room(need_bytes, self._clock.boot_ms()):
            return True
        self._sleeper.wake()
        return False

    def _seal_blocks(self) -> None:
        self._pipeline.seal_blocks(self._clock.boot_ms())


def tell(type_: str, fields: Mapping[str, object]) -> tuple[int, Seal]:
    """A report as the store enqueues it."""
    return header.SCHEMA, partial(header.seal, reports.pack_report(type_, fields, ClockState.SYNCED))
