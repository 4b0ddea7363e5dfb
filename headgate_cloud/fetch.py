"""The fetch handler: every minute, as many wanted files as there are slots, the first in rank first.

A gateway is asked by a direct request, which costs a message. Whether it heard shows in the table Files.
One that does not answer gives its slot back and is asked again, ever more rarely; one that is silent is
not asked at all. So no gateway holds up another.
"""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

import boto3

from headgate_cloud.fetchtable import STARTED, WAITING, Fetch, FetchTable
from headgate_cloud.filetables import FileRow, FileTables
from headgate_cloud.gateways import Gateways
from headgate_cloud.ingest import IotData, log
from headgate_cloud.jobdocs import direct_request
from headgate_cloud.metrics import metered

START_MS: Final = 120_000  # for the first sign of an upload; a gateway hashes the file before it asks
UPLOAD_MS: Final = 6 * 3_600_000  # then its slot is another's; the upload itself goes on
MAX_TRIES: Final = 8
PAUSE_MS: Final = (60_000, 6 * 3_600_000)  # after the first failure, doubled with each, and the longest
MAX_LOOKED: Final = 1_000  # of those waiting, in one run


@dataclass(frozen=True, slots=True)
class Limits:
    """How many at once, and how long a gateway may be quiet and still be asked."""

    overall: int
    per_gateway: int
    silent_after_ms: int


@dataclass(frozen=True, slots=True)
class Fetching:
    """The parts a run needs; `say` gets one mapping per event worth a log line."""

    fetches: FetchTable
    files: FileTables
    gateways: Gateways
    iot: IotData
    limits: Limits
    now_ms: Callable[[], int]
    say: Callable[[Mapping[str, object]], None]

    def run(self) -> None:
        """Look at what runs, then fill the slots that are free."""
        now_ms = self.now_ms()
        heard = functools.cache(lambda thing: now_ms - self.gateways.last_seen_ms(thing))
        counts: Counter[str] = Counter()
        running: Counter[str] = Counter()
        for fetch in list(self.fetches.queue(STARTED)):
            outcome = self._look(fetch, heard(fetch.thing), now_ms)
            counts[outcome] += 1
            running[fetch.thing] += outcome == STARTED
        for fetch in islice(self.fetches.queue(WAITING), MAX_LOOKED):
            counts[WAITING] += 1
            if running.total() >= self.limits.overall:
                break
            quiet = heard(fetch.thing) > self.limits.silent_after_ms
            if fetch.next_ms > now_ms or quiet or running[fetch.thing] >= self.limits.per_gateway:
                continue
            outcome = self._start(fetch, now_ms)
            counts[outcome] += 1
            running[fetch.thing] += outcome == STARTED
        self._say(counts, running.total(), now_ms)

    def _look(self, fetch: Fetch, quiet_ms: int, now_ms: int) -> str:
        """What has become of one that runs."""
        file = self.files.get(fetch.thing, fetch.file_id)
        ended = self._ended(fetch, file, now_ms)
        if ended:
            return ended
        assert file is not None
        age_ms = now_ms - fetch.started_ms
        if quiet_ms > self.limits.silent_after_ms:
            self.fetches.again(fetch, 0, "the gateway fell silent", tries=fetch.tries - 1)
            return "again"
        limit_ms = UPLOAD_MS if file.state == "uploading" else START_MS
        if age_ms < limit_ms:
            return STARTED
        why = "the upload took too long" if file.state == "uploading" else "no upload began"
        if fetch.tries >= MAX_TRIES:
            self.fetches.end(fetch.thing, fetch.file_id, "failed", f"{why}, {fetch.tries} times", now_ms)
            return "failed"
        self.fetches.again(fetch, now_ms + pause_ms(fetch.tries), why, tries=fetch.tries)
        return "again"

    def _start(self, fetch: Fetch, now_ms: int) -> str:
        ended = self._ended(fetch, self.files.get(fetch.thing, fetch.file_id), now_ms)
        if ended:
            return ended
        if not self.fetches.start(fetch, now_ms):
            return "taken"
        request = direct_request(
            f"f-{fetch.file_id}-{fetch.tries + 1}-{now_ms}",
            "fetch",
            {"file_id": fetch.file_id, "wait": False},
            deadline_ms=now_ms + START_MS,
        )
        try:
            self.iot.publish(topic=f"hg/v1/{fetch.thing}/dn/req/read", qos=0, payload=request)
        except Exception as error:  # noqa: BLE001 the boundary: this one is tried again, the others go on
            fault = f"{type(error).__name__}: {error}"
            self.say({"event": "failed to ask", "thing": fetch.thing, "error": fault})
        return STARTED

    def _ended(self, fetch: Fetch, file: FileRow | None, now_ms: int) -> str:
        if file is not None and file.state != "complete":
            return ""
        state, why = ("done", "") if file is not None else ("failed", "no such file was announced")
        self.fetches.end(fetch.thing, fetch.file_id, state, why, now_ms)
        return state

    def _say(self, counts: Counter[str], running: int, now_ms: int) -> None:
        values: dict[str, tuple[str, int | float]] = {
            "FetchesRunning": ("Count", running),
            "FetchesWaiting": ("Count", counts[WAITING]),
            "FetchesDone": ("Count", counts["done"]),
            "FetchesFailed": ("Count", counts["failed"]),
        }
        self.say(metered({"event": "fetches", "again": counts["again"]}, values, now_ms))


def pause_ms(tries: int) -> int:
    """After so many tries in vain."""
    return min(PAUSE_MS[0] << max(0, tries - 1), PAUSE_MS[1])


@functools.cache
def _fetching() -> Fetching:
    """Made once per process, at the first event; boto3 finds its endpoints in the environment by itself."""
    dynamodb = boto3.client("dynamodb")
    return Fetching(
        FetchTable(dynamodb, os.environ["FETCHES_TABLE"]),
        FileTables(dynamodb, os.environ["FILES_TABLE"], pages=""),
        Gateways(dynamodb, os.environ["GATEWAYS_TABLE"]),
        boto3.client("iot-data"),
        Limits(
            int(os.environ["MAX_FETCHES"]),
            int(os.environ["MAX_FETCHES_PER_GATEWAY"]),
            int(os.environ["SILENT_AFTER_S"]) * 1000,
        ),
        lambda: time.time_ns() // 1_000_000,
        log,
    )


def handler(event: object, context: object) -> None:
    """AWS Lambda's entry, on a schedule."""
    _fetching().run()
