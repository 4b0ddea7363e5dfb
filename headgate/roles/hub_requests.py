"""The hub's place for what the cloud asks: desk, carriers and reports, wired to store, bus and uplink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.config.stateroot import StateRoot
from headgate.requests.audit import Audit
from headgate.requests.claim import fetch_args
from headgate.requests.desk import Desk, DeskCounters, DeskTuning
from headgate.requests.direct import DirectCarrier
from headgate.requests.directory import Directory
from headgate.requests.filenews import FileNews
from headgate.requests.history import History
from headgate.requests.job_carrier import JobCarrier
from headgate.requests.ledger import Ledger
from headgate.requests.model import spelled
from headgate.requests.operations import HubOperations
from headgate.requests.permits import Permits
from headgate.requests.reports import parse_report
from headgate.requests.spool import ReplySpool
from headgate.roles.hub_pipeline import Arrived
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.store.writer import Writer

log = logging.getLogger(__name__)

REPORT_TOPIC = "hg/v1/local/report"

Offer = Callable[[Sequence[Queued]], None]


class HubRequests:
    """Everything about requests in one hub. `offer` tells the uplink of envelopes that were queued.

    `reader` runs queries, beside the `writer`. `usage` gives the ledger's lines.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        thing: str,
        root: StateRoot,
        store: Store,
        writer: Writer,
        reader: Writer,
        offer: Offer,
        *,
        tuning: DeskTuning | None = None,
        usage: Callable[[], Sequence[Mapping[str, object]]] = tuple,
    ) -> None:
        self.directory = Directory()
        self._permits = Permits()
        self._bus = bus
        self._clock = clock
        self._store = store
        self._writer = writer
        self._offer = offer
        self._ledger = Ledger(store, thing, Audit(root.audit), ReplySpool(root.replies))
        self._news = FileNews(bus, clock)
        operations = HubOperations(
            bus, clock, self.directory, History(store, reader), self._news, self._permits, usage
        )
        self._desk = Desk(
            self._ledger, writer, clock, operations.mapping(), offer, fetch_args, tuning or DeskTuning()
        )
        self._direct = DirectCarrier(bus, clock, thing, self._desk)
        self._jobs = JobCarrier(bus, clock, thing, self._desk)

    @property
    def counters(self) -> DeskCounters:
        """What became of the requests since start."""
        return self._desk.counters

    def configured(self, devices: Mapping[str, str], *, writes: bool) -> None:
        """The site document's devices, each with its source, and whether it lets the cloud write."""
        self.directory.configured(devices)
        self._permits.writes = writes

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Take requests and other roles' reports while entered."""
        with self._bus.serve(REPORT_TOPIC, self._report), self._direct.attached(), self._news.attached():
            yield

    async def recover(self) -> None:
        """Settle what a crash left behind; before anything else."""
        await self._desk.recover()

    async def run(self) -> None:
        """Answer the cloud until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._desk.run(), name="requests")
            group.create_task(self._direct.run(), name="direct requests")
            group.create_task(self._jobs.run(), name="jobs")

    def heard_cloud(self) -> None:
        """Something came from the cloud: it is there."""
        self._jobs.heard()

    def committed(self, arrived: Arrived) -> None:
        """Batches that were just made durable: their devices were heard."""
        for batch, _ in arrived.batches:
            table = self._store.table(batch.dictionary)
            if table is not None:
                self.directory.heard(batch, table)

    async def _report(self, payload: bytes) -> bytes:
        """Serve `hg/v1/local/report`. Raises Refused for what is no report."""
        report = parse_report(payload)
        queued = await self._writer.call(
            self._ledger.report, report, self._clock.utc_ms(), self._clock.state()
        )
        self._offer([queued])
        return spelled({"ok": True})
