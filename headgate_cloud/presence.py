"""The presence handler: AWS IoT's lifecycle events to the table Gateways."""

from __future__ import annotations

import base64
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import boto3

from headgate_cloud.health import HealthTable
from headgate_cloud.ingest import Record

MAX_SESSION: Final = 128


@dataclass(frozen=True, slots=True)
class Event:
    """One client's connection came or went. Its name is the topic's: nobody but AWS IoT may publish there."""

    client: str
    connected: bool
    session: str
    t_ms: int


def read(message: str) -> Event:
    """One queued message: what the rule selects, as JSON. Raises ValueError."""
    try:
        found = json.loads(message)
        said = json.loads(base64.b64decode(found["body"], validate=True))
        client, event = str(found["client"]), str(found["event"])
        t_ms, session = int(said["timestamp"]), str(said["sessionIdentifier"])[:MAX_SESSION]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"no lifecycle event: {type(error).__name__} {error}") from error
    if event not in ("connected", "disconnected"):
        raise ValueError(f"no lifecycle event: {event[:64]!r}")
    return Event(client, event == "connected", session, t_ms)


@dataclass(frozen=True, slots=True)
class Presence:
    """`say` gets one mapping per event worth a log line."""

    table: HealthTable
    say: Callable[[Mapping[str, object]], None]

    def run(self, records: Sequence[Record]) -> list[str]:
        """Take a batch; returns the ids of the messages that must come again."""
        failed = []
        for record in records:
            try:
                self._take(read(record["body"]))
            except ValueError as error:
                self.say({"event": "malformed presence", "why": str(error)})
            except Exception as error:  # noqa: BLE001 the boundary: one bad item must not take its batch along
                failed.append(record["messageId"])
                self.say({"event": "failed to note presence", "error": f"{type(error).__name__}: {error}"})
        return failed

    def _take(self, event: Event) -> None:
        if "#" in event.client:  # a nucleus' further connections say nothing that its first does not
            return
        note = self.table.connected if event.connected else self.table.disconnected
        note(event.client, event.session, event.t_ms)


def log(entry: Mapping[str, object]) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(entry, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@functools.cache
def _presence() -> Presence:
    return Presence(HealthTable(boto3.client("dynamodb"), os.environ["GATEWAYS_TABLE"]), log)


def handler(event: Mapping[str, Sequence[Record]], context: object) -> dict[str, list[dict[str, str]]]:
    """AWS Lambda's entry: an SQS event in, the items to deliver again out (partial batch response)."""
    failed = _presence().run(event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
