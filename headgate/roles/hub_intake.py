"""The hub's side of the bridge protocol (docs/wire.md): takes runs in order, acknowledges what is durable."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping

from headgate import batch as batches
from headgate.bus.api import Bus
from headgate.errors import Reject, Retry
from headgate.inbox import Inbox
from headgate.limited_log import LimitedLog
from headgate.model import Batch, Series, dictionary_hash
from headgate.roles.hub_pipeline import Arrived
from headgate.store.state import table_from_rows

log = logging.getLogger(__name__)

GROUP_BYTES = 256 * 1024
"""So much ends the wait for a group commit."""
MAX_PENDING_BYTES = 8 * 1024 * 1024
"""What waits for the disk at most; batches beyond it are refused and come again."""
DICTIONARY_TIMEOUT_S = 5.0
MAX_DICTIONARY_PAGES = 1_000
MAX_FETCHES = 64

Run = tuple[str, int]
"""(bridge, run_id)."""


class Intake:
    """Batches from all bridges until the next commit.

    `urgent` is called when that should not wait: when `group_bytes` are there.
    """

    def __init__(
        self,
        bus: Bus,
        runs: Mapping[Run, int],
        tables: Mapping[bytes, tuple[Series, ...]],
        urgent: Callable[[], None],
        *,
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        self._group_bytes = group_bytes
        self.malformed = 0
        self.refused = 0
        self.duplicates = 0
        self._urgent = urgent
        self._bus = bus
        self._durable = dict(runs)
        self._accepted = dict(runs)
        self._tables = dict(tables)
        self._fresh_tables: list[tuple[Series, ...]] = []
        self._pending: list[tuple[Batch, bytes]] = []
        self._pending_bytes = 0
        self._answer_to: set[Run] = set()
        self._rewind: set[Run] = set()
        self._wanted: Inbox[tuple[Run, bytes]] = Inbox(MAX_FETCHES, MAX_FETCHES)
        self._fetching: set[str] = set()
        self._complaints = LimitedLog(log)

    async def on_batch(self, topic: str, wire: bytes) -> None:
        """Handler of `hg/v1/local/batch/+`; never raises for what a bridge sends."""
        bridge = topic.rpartition("/")[2]
        try:
            batch = batches.decode(wire)
            if batch.bridge != bridge:
                raise Reject(f"it says that it is of bridge {batch.bridge!r}")
        except Reject as error:
            self.malformed += 1
            self._complaints.warning(bridge, "batch of bridge %s refused: %s", bridge, error)
            return
        self._take(batch, wire)

    def take(self) -> Arrived:
        """What is to be made durable next."""
        arrived = Arrived(self._fresh_tables, self._pending)
        self._fresh_tables, self._pending, self._pending_bytes = [], [], 0
        return arrived

    def committed(self, arrived: Arrived) -> None:
        """It is durable: it may be acknowledged."""
        for batch, _ in arrived.batches:
            run = (batch.bridge, batch.run_id)
            self._durable[run] = max(self._durable.get(run, 0), batch.seq)
            self._answer_to.add(run)

    def give_back(self, arrived: Arrived) -> None:
        """There is no room for it: bridges keep it, and send it again."""
        self._fresh_tables = [*arrived.tables, *self._fresh_tables]
        self.refused += len(arrived.batches)
        for run in {(batch.bridge, batch.run_id) for batch, _ in (*arrived.batches, *self._pending)}:
            self._accepted[run] = self._durable.get(run, 0)
            self._rewind.add(run)
        self._pending, self._pending_bytes = [], 0  # what came behind it would be a gap
        self._complaints.warning("full", "no room below the byte cap: batches are refused, bridges keep them")

    async def answer(self) -> None:
        """Tell each bridge that sent something how far it got, and where it has to go back."""
        runs, rewind = self._answer_to | self._rewind, self._rewind
        self._answer_to, self._rewind = set(), set()
        for run in sorted(runs):
            bridge, run_id = run
            ack: dict[str, object] = {"run_id": f"{run_id:016x}", "up_to": self._durable.get(run, 0)}
            if run in rewind:
                ack["rewind"] = True
            try:
                await self._bus.publish(f"hg/v1/local/ack/{bridge}", json.dumps(ack).encode())
            except (Retry, Reject) as error:  # the bridge sends again and is answered again
                self._complaints.warning(f"ack {bridge}", "acknowledgement to bridge %s: %s", bridge, error)

    async def fetch_dictionaries(self) -> None:
        """Ask bridges for the series tables that their batches name; runs until cancelled."""
        async with asyncio.TaskGroup() as fetches:
            async for run, key in self._wanted:
                fetches.create_task(self._fetch(run, key), name=f"fetch dictionary of {run[0]}")

    def _take(self, batch: Batch, wire: bytes) -> None:
        run = (batch.bridge, batch.run_id)
        accepted = self._accepted.get(run, 0)
        if batch.seq <= accepted:
            self.duplicates += 1
            self._answer_to.add(run)
            return
        if batch.seq > max(accepted + 1, batch.oldest_seq) or self._pending_bytes >= MAX_PENDING_BYTES:
            self.refused += 1
            self._rewind.add(run)
            return
        if batch.dictionary not in self._tables:
            self._want(run, batch.dictionary)
            return
        self._accepted[run] = batch.seq
        self._pending.append((batch, wire))
        self._pending_bytes += len(wire)
        if self._pending_bytes >= self._group_bytes:
            self._urgent()

    def _want(self, run: Run, key: bytes) -> None:
        bridge = run[0]
        if bridge not in self._fetching and len(self._fetching) < MAX_FETCHES:
            self._fetching.add(bridge)
            self._wanted.put((run, key), 1)

    async def _fetch(self, run: Run, key: bytes) -> None:
        """Get the table or not: either way the bridge goes back and sends again."""
        bridge = run[0]
        try:
            table = await self._ask(bridge, key)
        except (Retry, Reject) as error:
            self.refused += 1
            self._complaints.warning(
                f"dictionary {bridge}", "dictionary %s of bridge %s: %s", key.hex(), bridge, error
            )
        else:
            if key not in self._tables:
                self._tables[key] = table
                self._fresh_tables.append(table)
            self._urgent()
        finally:
            self._fetching.discard(bridge)
            self._rewind.add(run)

    async def _ask(self, bridge: str, key: bytes) -> tuple[Series, ...]:
        rows: list[object] = []
        pages, page = 1, 0
        while page < pages:
            question = json.dumps({"dictionary": key.hex(), "page": page}).encode()
            topic = f"hg/v1/local/dictionary/{bridge}"
            reply = await self._bus.request(topic, question, timeout_s=DICTIONARY_TIMEOUT_S)
            try:
                found = json.loads(reply)
                pages = int(found["pages"])
                rows += found["series"]
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise Reject(f"page {page} is not as docs/wire.md says: {error!r}") from error
            if pages > MAX_DICTIONARY_PAGES:
                raise Reject(f"{pages} pages, at most {MAX_DICTIONARY_PAGES} are read")
            page += 1
        table = table_from_rows(rows)
        if dictionary_hash(table) != key:
            raise Reject(f"{len(table)} series came whose content hash is another one")
        return table
