"""The hub's choice of codec and mode: samples and windows into parts of envelopes, and their schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from headgate.columns import Columns
from headgate.envelope import compact, header, plain, samples, schemas, windows
from headgate.envelope.header import Part
from headgate.envelope.schemas import SchemaBook
from headgate.model import Ack, ClockState, Envelope, Series, Window
from headgate.uplink.config import UplinkConfig

Waiting = Callable[[], Sequence[Envelope]]
"""Reads the schemas' reports that are in the outbox."""


class Packing:
    """Packs as the site document says. What it hands out becomes durable with the schemas it made.

    `pages` are the schemas that the cloud was told before.
    """

    def __init__(self, thing: str, config: UplinkConfig, pages: Mapping[bytes, Sequence[Series]]) -> None:
        self._thing = thing
        self.config = config
        self._book = SchemaBook(pages)
        self._fresh: list[bytes] = []

    def samples(self, groups: Sequence[Columns], clock: ClockState, boot_ms: int) -> list[Part]:
        """Every sample once; in mode plain as a message each, of kind plain."""
        if self.config.mode == "plain":
            return [Part("plain", clock, text, 1) for text in plain.readings(self._thing, groups)]
        if self.config.codec == "json":
            return samples.pack_samples(groups, clock, header.room_bytes(self._thing))
        self._know(groups, boot_ms)
        room_bytes = header.room_bytes(self._thing, header.COMPACT)
        return compact.pack_samples(groups, clock, room_bytes, self._book)

    def windows(self, closed: Sequence[Window], boot_ms: int) -> list[Part]:
        """Every row once; in mode plain none, what stood in windows stays here."""
        if self.config.mode == "plain":
            return []
        rounded = self.config.means == "rounded"
        chosen = frozenset(self.config.statistics)
        if self.config.codec == "json":
            room_bytes = header.room_bytes(self._thing)
            return windows.pack_windows(closed, room_bytes, statistics=chosen, rounded=rounded)
        self._add(tuple(dict.fromkeys(series for window in closed for series in window.rows)), boot_ms)
        room_bytes = header.room_bytes(self._thing, header.COMPACT)
        return compact.pack_windows(closed, room_bytes, self._book, statistics=chosen, rounded=rounded)

    def fresh(self) -> list[tuple[bytes, Sequence[Series]]]:
        """The schemas that are to be kept, and told, in the transaction of the envelopes that need them."""
        return [(key, self._book.rows(key)) for key in self._fresh]

    def were_saved(self) -> None:
        """That transaction is durable."""
        self._fresh.clear()

    def reports(self, acks: Iterable[Ack], boot_ms: int, waiting: Waiting) -> list[Part]:
        """The schemas to tell: the fresh ones, and those that the cloud asks for and that do not wait to be
        sent, or for its word, already.
        """
        wanted = {key for ack in acks for key in ack.want}
        if wanted:
            wanted -= {key for envelope in waiting() if (key := schemas.told_in(envelope.body))}
        keys = dict.fromkeys([*self._fresh, *self._book.again(sorted(wanted), boot_ms)])
        return [self._book.report(key, ClockState.SYNCED) for key in keys]

    def _know(self, groups: Iterable[Columns], boot_ms: int) -> None:
        """Pages are made of all series together, as few as they fit."""
        if not all(self._book.knows(columns.series) for columns in groups):
            self._add(tuple(series for columns in groups for series in columns.series), boot_ms)

    def _add(self, table: tuple[Series, ...], boot_ms: int) -> None:
        self._fresh += self._book.add(table, header.room_bytes(self._thing), boot_ms)
