"""One batch of ingest on its way: messages grouped by key, and what became of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from headgate_cloud.decoder import Previous
from headgate_cloud.intake import Arrival
from headgate_cloud.tables import Held, Kept


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that could be read as far as its key."""

    message: str
    arrival: Arrival


@dataclass(slots=True)
class Group:
    """Everything in the batch under one key; `chosen` is what may be stored for it."""

    entries: list[Entry]
    chosen: Arrival

    def wants(self, held: Held | None) -> bool:
        """Whether there is anything to store: nothing is held, or what is flawed and a sound one came, or
        what waits for its schema, which is here now.
        """
        if held is None or (held.flawed and self.chosen.flaw is None):
            return True
        return held.waits and held.digest == self.chosen.digest and not self.chosen.waits

    def outcomes(self, in_force: str, *, stored: bool) -> Iterator[tuple[Entry, Kept]]:
        """Of each message, given the digest in force; `stored`: by this batch."""
        for entry in self.entries:
            if stored and entry.arrival is self.chosen:
                yield entry, Kept.NEW
            else:
                same = entry.arrival.digest == in_force
                yield entry, Kept.DUPLICATE if same else Kept.CONFLICT


def grouped(entries: Iterable[Entry]) -> list[Group]:
    """In the order of their first message; of several under a key the first sound one is chosen."""
    groups: dict[tuple[str, int], Group] = {}
    for entry in entries:
        arrival = entry.arrival
        key = (arrival.stream_key, arrival.header.seq)
        group = groups.setdefault(key, Group([], arrival))
        group.entries.append(entry)
        if group.chosen.flaw is not None and arrival.flaw is None:
            group.chosen = arrival
    return list(groups.values())


@dataclass(slots=True)
class Touched:
    """One stream in one batch: the messages that depend on it, and what to note in Streams."""

    arrival: Arrival
    up_to: int
    messages: list[str] = field(default_factory=list)
    prev: Previous | None = None
    duplicates: int = 0
    newest: int = 0
    conflict: int | None = None
    schemas: set[str] = field(default_factory=set)

    def note(self, entry: Entry, kept: Kept) -> None:
        self.messages.append(entry.message)
        self.duplicates += kept is Kept.DUPLICATE
        self.newest = max(self.newest, entry.arrival.header.seq)
        if kept is Kept.CONFLICT:
            self.conflict = entry.arrival.header.seq
        self.schemas |= {*entry.arrival.schemas}
        if kept is not Kept.CONFLICT and entry.arrival.header.prev is not None:
            self.prev = entry.arrival.header.prev


def touched(outcomes: Iterable[tuple[Entry, Kept]], up_to: Mapping[str, int]) -> list[Touched]:
    """The streams of what was stored or held already, in order of their first message."""
    streams: dict[str, Touched] = {}
    for entry, kept in outcomes:
        key = entry.arrival.stream_key
        streams.setdefault(key, Touched(entry.arrival, up_to[key])).note(entry, kept)
    return list(streams.values())
