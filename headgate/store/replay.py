"""Batches out of the journal's records, each with the position at which the journal holds it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from headgate import batch as batches
from headgate.errors import Reject
from headgate.model import Batch, Series
from headgate.store.compact import Expander
from headgate.store.segments import Record, RecordKind
from headgate.store.state import table_from_rows

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Journaled:
    """A batch and where the journal holds it, known once the transaction that appended it is left.

    `end` is where the next record may start; batches of one record have positions of their own in it.
    `waiting`: its UTC is not known yet; it comes again, under a position of its own, once it is.
    """

    batch: Batch
    position: int = 0
    end: int = 0
    waiting: bool = False


def replayed(
    records: Iterable[Record], start: int, learn: Callable[[tuple[Series, ...]], None]
) -> Iterator[Journaled]:
    """The batches from position `start` on, out of records from the start of its segment on.

    `learn` is given each table of series, before the batches that are of it.
    """
    expander = Expander()
    for record in records:
        try:
            if record.kind == RecordKind.DICTIONARY:
                learn(table_from_rows(json.loads(record.payload)))
                continue
            if record.kind == RecordKind.GAP:
                expander.lose()
                continue
            if record.kind == RecordKind.BATCH:
                found = [batches.decode(record.payload)]
            elif record.kind in (RecordKind.BATCHES, RecordKind.WAITING):
                found = expander.decode(record.payload)
            else:
                raise Reject(f"a record of unknown kind {record.kind}")
        except (Reject, ValueError) as error:
            log.error("journal: record at %d passed over: %s", record.position, error)
            continue
        for i, batch in enumerate(found):
            if record.position + i >= start:
                waiting = record.kind == RecordKind.WAITING
                yield Journaled(batch, record.position + i, record.end, waiting)
