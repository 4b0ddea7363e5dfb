"""What one gateway's messages amount to, by UTC day, direction and kind. Pure; durable through its owner.

Counted is what the nucleus took for the cloud and what came down, as AWS meters it. What the courier sends
for files goes another way and is not in here. What a link that is paid by the byte carries is another count
(`headgate/uplink/meter.py`): neither knows of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from headgate.uplink.prices import BASIC_INGEST, Prices, units_of

DAY_MS = 86_400_000
DAYS_KEPT = 93
PUBACK_BYTES = 2
"""A device's PUBACK of what came down with QoS 1 is a metered message of its own."""

Way = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Key:
    """One line of the book. `day`: UTC days since 1970. `again`: what was sent before."""

    day: int
    way: Way
    kind: str
    again: bool = False
    basic_ingest: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """`size_bytes` is payload and topic; `units` is what is metered."""

    messages: int = 0
    size_bytes: int = 0
    units: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(
            self.messages + other.messages, self.size_bytes + other.size_bytes, self.units + other.units
        )


class Ledger:
    """The book. `saved` is what was there at start; `take_changed` is what to make durable."""

    def __init__(self, saved: Mapping[Key, Use] | None = None) -> None:
        self._lines = dict(saved or {})
        self._changed: set[Key] = set()

    def up(self, utc_ms: int, topic: str, size_bytes: int, *, again: bool = False) -> None:
        """The nucleus took a message for the cloud."""
        key = Key(utc_ms // DAY_MS, "up", kind_of(topic), again, topic.startswith(BASIC_INGEST))
        self._add(key, Use(1, len(topic.encode()) + size_bytes, units_of(topic, size_bytes)))

    def down(self, utc_ms: int, topic: str, size_bytes: int) -> None:
        """A message came from the cloud; of anything but QoS 0 its PUBACK is a message too."""
        kind = kind_of(topic)
        key = Key(utc_ms // DAY_MS, "down", kind)
        self._add(key, Use(1, len(topic.encode()) + size_bytes, units_of(topic, size_bytes)))
        if kind != "ack":  # acknowledgements are published with QoS 0 (docs/wire.md)
            self._add(Key(key.day, "up", "puback"), Use(1, PUBACK_BYTES, 1))

    def day(self, day: int) -> dict[Key, Use]:
        """The lines of one UTC day."""
        return {key: use for key, use in self._lines.items() if key.day == day}

    def days(self) -> list[int]:
        """The days that have lines, ascending."""
        return sorted({key.day for key in self._lines})

    def total(self, first_day: int, last_day: int) -> Use:
        """Both directions, both days included."""
        return sum((use for key, use in self._lines.items() if first_day <= key.day <= last_day), Use())

    def usd(self, first_day: int, last_day: int, prices: Prices) -> float:
        """What the messages of these days cost by estimate; without the gateway's fixed price."""
        return sum(
            cost(key, use, prices) for key, use in self._lines.items() if first_day <= key.day <= last_day
        )

    def take_changed(self) -> dict[Key, Use]:
        """The lines that changed since the last call, as they are now; old days are forgotten."""
        changed = {key: self._lines[key] for key in self._changed}
        self._changed.clear()
        return changed

    def forget(self, before_day: int) -> None:
        """Drop the lines of older days."""
        self._lines = {key: use for key, use in self._lines.items() if key.day >= before_day}
        self._changed &= self._lines.keys()

    def _add(self, key: Key, use: Use) -> None:
        self._lines[key] = self._lines.get(key, Use()) + use
        self._changed.add(key)


def kind_of(topic: str) -> str:
    """What a topic's messages are booked as: the stream, or the last word that says what it is for."""
    levels = topic.split("/")
    if topic.startswith(BASIC_INGEST):
        levels = levels[3:]
    match levels:
        case ["hg", "v1", _, "up", kind, *_]:
            return kind
        case ["hg", "v1", _, "dn", "req", *_]:
            return "request"
        case ["hg", "v1", _, "dn", kind, *_]:
            return kind
        case ["$aws", "things", _, kind, *_]:
            return kind
    return "other"


def cost(key: Key, use: Use, prices: Prices) -> float:
    """What one line costs, in US dollars."""
    return prices.usd(use.units, basic_ingest=key.basic_ingest)


def summary(lines: Mapping[Key, Use], prices: Prices) -> list[dict[str, object]]:
    """The lines as JSON values, in a fixed order; `docs/wire.md` names the fields."""
    found: list[dict[str, object]] = []
    for key, use in sorted(lines.items(), key=lambda item: _order(item[0])):
        row: dict[str, object] = {"way": key.way, "kind": key.kind}
        if key.again:
            row["again"] = True
        row |= {"messages": use.messages, "bytes": use.size_bytes, "units": use.units}
        found.append(row | {"usd": round(cost(key, use, prices), 8)})
    return found


def lines_from(rows: Iterable[tuple[int, str, str, int, int, int, int, int]]) -> dict[Key, Use]:
    """Rows of state.db: day, way, kind, again, basic_ingest, messages, bytes, units."""
    found = {}
    for day, way, kind, again, basic_ingest, *use in rows:
        direction: Way = "down" if way == "down" else "up"
        found[Key(day, direction, kind, bool(again), bool(basic_ingest))] = Use(*use)
    return found


def rows_of(lines: Mapping[Key, Use]) -> list[tuple[int, str, str, int, int, int, int, int]]:
    """What `lines_from` reads."""
    return [
        (
            key.day,
            key.way,
            key.kind,
            int(key.again),
            int(key.basic_ingest),
            use.messages,
            use.size_bytes,
            use.units,
        )
        for key, use in lines.items()
    ]


def _order(key: Key) -> tuple[int, bool, str, bool, bool]:
    return key.day, key.way == "down", key.kind, key.again, key.basic_ingest
