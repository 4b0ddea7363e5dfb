"""The hub's role: takes batches, keeps them, closes windows, seals envelopes and sends them to the cloud."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.bus.api import Bus
from headgate.clock import Clock, random_id
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal
from headgate.requests.desk import DeskTuning
from headgate.roles import hub_capture, hub_status, process
from headgate.roles.hub_accounts import Accounts
from headgate.roles.hub_alarms import Aftermath
from headgate.roles.hub_bridges import Bridges
from headgate.roles.hub_config import (
    Site,
    SiteStore,
    commit_ms_of,
    state_root_of,
)
from headgate.roles.hub_following import Following
from headgate.roles.hub_health import Health
from headgate.roles.hub_intake import GROUP_BYTES, Intake
from headgate.roles.hub_life import live
from headgate.roles.hub_local import LocalTopics
from headgate.roles.hub_metered import keep_count, meter_of
from headgate.roles.hub_pipeline import Arrived, Pipeline, PipelineTuning
from headgate.roles.hub_requests import HubRequests
from headgate.roles.hub_retention import HubRetention
from headgate.roles.hub_time import reader_of
from headgate.sleeper import Sleeper
from headgate.store.config import StoreConfig
from headgate.store.state import OutboxPart, Queued
from headgate.store.store import Store
from headgate.store.writer import Writer
from headgate.uplink.config import UplinkConfig
from headgate.uplink.pacing import UplinkTuning
from headgate.uplink.sender import Uplink
from headgate.window.config import WindowsConfig

log = logging.getLogger(__name__)

IDLE_COMMIT_MS = 1_000
"""Between looks at what is to be sealed, where each batch is committed at once."""


@dataclass(frozen=True, slots=True)
class HubTuning:
    """How often things happen; the defaults are the design's.

    `seal_ms`: so long samples wait for others to share an envelope with, unless many do (`seal_samples`).

    `silence_ms`: a bridge that leaves announcements unanswered for so long is dead. Longer than it takes to
    start a component again, and than several announcements.
    """

    commit_ms: int = 1_000
    seal_ms: int = 4_000
    announce_ms: int = 10_000
    silence_ms: int = 90_000
    status_ms: int = 30_000
    fetch_retry_ms: int = 5_000
    fetch_retry_max_ms: int = 300_000
    pipeline: PipelineTuning = field(default_factory=PipelineTuning)
    uplink: UplinkTuning = field(default_factory=UplinkTuning)
    requests: DeskTuning = field(default_factory=DeskTuning)


async def run(
    bus: Bus,
    clock: Clock,
    stop: asyncio.Event,
    *,
    thing: str | None = None,
    tuning: HubTuning | None = None,
) -> None:
    """Run until `stop` is set; then everything taken is sealed and committed before it returns.

    `thing` is the gateway's name, from AWS_IOT_THING_NAME unless given. Raises Fatal (state root of a newer
    version or not to be written, no thing name). It waits while the disk fails or another hub has the root.
    """
    name = thing or os.environ.get("AWS_IOT_THING_NAME")
    if not name:
        raise Fatal("AWS_IOT_THING_NAME is not set: start this as a Greengrass component")
    first = await _first_config(bus, stop)
    if first is not None:
        root = StateRoot.at(str(state_root_of(first)))

        async def once() -> None:
            site = await SiteStore(root).current()
            await _Hub(bus, clock, name, root, site, first, tuning or HubTuning()).run(stop)

        await live(once, root.path, clock, stop)


class _Hub:
    """One run of the role over an open store."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        thing: str,
        root: StateRoot,
        site: Site | None,
        config: Mapping[str, Any],
        tuning: HubTuning,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._tuning = tuning
        self._epoch = random_id()
        wanted_ms = commit_ms_of(config)
        self._commit_ms = tuning.commit_ms if wanted_ms is None else wanted_ms
        self._root = root
        self._store = Store(root, thing, self._epoch)
        uplink = site.uplink if site else UplinkConfig()
        self._accounts = Accounts(bus, clock, self._store.state, uplink)
        bus = self._accounts.bus  # what goes to the cloud goes by it, or is in no account
        windows = self._accounts.windows(site.windows if site else WindowsConfig())
        alarms = site.alarms if site else ()
        self._pipeline = Pipeline(
            self._store, thing, windows, alarms, tuning.pipeline, reader_of(clock), uplink
        )
        self._writer = Writer()
        self._following = Following(
            self._bus,
            clock,
            root,
            site,
            self._writer,
            self._put,
            retry_ms=tuning.fetch_retry_ms,
            retry_max_ms=tuning.fetch_retry_max_ms,
        )
        self._reader = Writer(name="store reads")
        self._intake: Intake
        self._bridges: Bridges
        self._meter = meter_of(self._store)
        self._uplink = Uplink(
            bus,
            clock,
            thing,
            self._read_rows,
            tuning=tuning.uplink,
            meter=self._meter,
            on_ack=lambda: self._requests.heard_cloud(),
        )
        self._requests = HubRequests(
            bus,
            clock,
            thing,
            root,
            self._store,
            self._writer,
            self._reader,
            self._uplink.offer,
            tuning=tuning.requests,
            usage=self._accounts.usage,
        )
        self._aftermath = Aftermath(
            self._pipeline.watch,
            clock,
            self._writer,
            self._reader,
            self._uplink.offer,
            hub_capture.courier(bus, clock),
            tuning.pipeline.alarms,
        )
        self._local = LocalTopics(bus, clock, self._store.table)
        self._pipeline.told = self._local.told
        self._health = Health(
            clock,
            self._store,
            self._pipeline,
            self._writer,
            self._uplink.planner,
            self._accounts,
            self._requests.directory,
        )
        self._accounts.configure(uplink, self._uplink, self._pipeline)
        if site is not None:
            self._configured(site)
        limits = site.store if site else StoreConfig()
        self._retention = HubRetention(self._store, root, self._pipeline, limits, clock)
        self._health.shed = self._retention.retention.counters
        self._urgent = False
        self._committer = Sleeper(clock)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            replayed = await self._writer.call(self._pipeline.recover, self._clock.boot_ms())
            count, size_bytes = self._store.outbox
            log.info(
                "state root %s: %d batches replayed, %d envelopes (%d B) wait",
                self._root.path,
                replayed,
                count,
                size_bytes,
            )
            await self._requests.recover()
            self._intake = Intake(
                self._bus,
                self._store.runs(),
                self._store.tables(),
                self._commit_soon,
                group_bytes=GROUP_BYTES if self._commit_ms else 1,
            )
            self._bridges = self._watch_bridges()
            with (
                self._bus.subscribe("hg/v1/local/batch/+", self._on_batch),
                self._bridges.attached(),
                self._requests.attached(),
            ):
                await self._work(stop)
            await self._commit()
            await self._seal()
        finally:
            self._reader.close()
            self._writer.close()
            self._store.close()

    async def _work(self, stop: asyncio.Event) -> None:
        work = {
            "configuration": self._following.run,
            "dictionaries": self._intake.fetch_dictionaries,
            "uplink": self._uplink.run,
            "requests": self._requests.run,
            "bridges": self._bridges.run,
            "alarms": self._aftermath.run,
            "local topics": self._local.run,
            "retention": lambda: self._retention.run(self._writer, self._uplink),
            "status": self._report_regularly,
            "accounts": self._keep_accounts,
            "health": self._beat,
        }
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(task(), name=f"hub {name}") for name, task in work.items()]
            group.create_task(self._commit_regularly(stop), name="hub commit")
            await stop.wait()
            for task in tasks:
                task.cancel()
            self._commit_soon()  # the commit under way is never cut: what it took would be missing

    def _watch_bridges(self) -> Bridges:
        return Bridges(
            self._bus,
            self._clock,
            self._pipeline,
            self._writer,
            self._epoch,
            lambda: self._following.digest,
            announce_ms=self._tuning.announce_ms,
            silence_ms=self._tuning.silence_ms,
            marked=self._heard,
            ended=self._requests.directory.ended,
        )

    # Batches to envelopes.

    async def _on_batch(self, topic: str, wire: bytes) -> None:
        self._bridges.on_batch(topic, wire)
        await self._intake.on_batch(topic, wire)

    async def _commit_regularly(self, stop: asyncio.Event) -> None:
        sealed_ms = self._clock.boot_ms()
        while not stop.is_set():
            due_ms = self._clock.boot_ms() + (self._commit_ms or IDLE_COMMIT_MS)
            if not self._urgent and not stop.is_set():
                await self._committer.until(due_ms)
            self._urgent = False
            await self._commit()
            waited_ms = self._clock.boot_ms() - sealed_ms
            if self._pipeline.urgent or self._pipeline.full or waited_ms >= self._tuning.seal_ms:
                sealed_ms = self._clock.boot_ms()
                await self._seal()

    def _commit_soon(self) -> None:
        self._urgent = True
        self._committer.wake()

    async def _commit(self) -> None:
        arrived = self._intake.take()
        if not (arrived.batches or arrived.tables):
            pass
        elif not await self._writer.call(self._admitted, arrived):
            self._intake.give_back(arrived)
        else:
            self._intake.committed(arrived)
            self._heard(arrived)
        await self._intake.answer()

    def _admitted(self, arrived: Arrived) -> bool:
        """In the store's thread: make it durable where there is room; returns whether."""
        if not self._retention.admits(arrived):
            return False
        self._pipeline.commit(arrived, self._clock.boot_ms())
        return True

    def _heard(self, arrived: Arrived) -> None:
        """Batches are durable."""
        self._requests.committed(arrived)
        self._local.committed(arrived)
        self._health.committed(arrived)

    async def _seal(self) -> None:
        acks = self._uplink.take_acks()
        keep_count(self._store, self._meter)
        sealed = await self._writer.call(
            self._pipeline.seal, acks, self._clock.utc_ms(), self._clock.boot_ms(), self._accounts.booking()
        )
        self._uplink.offer(sealed)
        self._aftermath.sealed()
        self._local.sealed()
        self._retention.wake()

    async def _read_rows(self, after_row: int, limit: int, part: OutboxPart) -> list[Queued]:
        return await self._writer.call(self._store.queued, after_row, limit, part)

    # Configuration.

    async def _put(self, before: Site | None, site: Site) -> None:
        """Another site document is in force."""
        self._configured(site)
        self._accounts.configure(site.uplink, self._uplink, self._pipeline)
        gone = before.devices if before else {}
        await self._writer.call(self._pipeline.devices_changed, gone, site.devices)
        await self._writer.call(self._pipeline.set_windows, self._accounts.windows(site.windows))
        await self._writer.call(self._pipeline.set_alarms, site.alarms)
        await self._writer.call(self._retention.retention.configure, site.store)
        await self._writer.call(self._pipeline.set_uplink, site.uplink)
        self._bridges.announce_now()

    def _configured(self, site: Site) -> None:
        self._requests.configured(site.devices, writes=site.writes)
        self._local.configured(site.local)
        self._uplink.configure(site.uplink)
        self._health.config, self._health.digest = site.health, site.sha256

    async def _keep_accounts(self) -> None:
        def configured() -> WindowsConfig:
            site = self._following.site
            return site.windows if site else WindowsConfig()

        await self._accounts.run(self._pipeline, self._writer, configured)

    async def _beat(self) -> None:
        await self._health.run(self._bridges)

    # Words to others.

    async def _report_regularly(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.boot_ms() + self._tuning.status_ms)
            self._report()

    def _report(self) -> None:
        parts = (
            hub_status.of_data(self._pipeline.counters, self._intake),
            hub_status.of_uplink(self._store, self._uplink),
            self._retention.status(),
            hub_status.of_requests(self._requests.counters),
            self._local.status(),
            hub_status.of_costs(self._accounts),
        )
        log.info("status: %s", "; ".join(parts))
        if held := self._uplink.held_back:
            log.info("status: metered link, %d B used today, holds back %s", self._meter.used_bytes, held)


async def _first_config(bus: Bus, stop: asyncio.Event) -> Mapping[str, Any] | None:
    """The current configuration; None when `stop` is set before there is one."""

    async def first() -> Mapping[str, Any] | None:
        async for values in bus.configs():
            return values
        return None

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(first(), name="hub first configuration")
        stopping = group.create_task(stop.wait(), name="hub stop before configuration")
        await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if reading.done():
            return reading.result()
        reading.cancel()
    return None


if __name__ == "__main__":
    sys.exit(process.main("hub", run))
