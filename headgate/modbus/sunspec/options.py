"""The `sunspec:` section of a device: which of its models are polled, which points, how often."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.config.reader import Section
from headgate.deadband import Deadband, deadband_at, read_heartbeat_ms
from headgate.modbus.sunspec.definitions import FRAME, index, load
from headgate.modbus.sunspec.walk import ADDRESSES, BASES

SunSpecTable = Literal["holding", "input"]
SUNSPEC_TABLES: tuple[SunSpecTable, ...] = ("holding", "input")
Enums = Literal["text", "number"]
ENUMS: tuple[Enums, ...] = ("text", "number")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Models that are polled, by family or id, with a rate of their own or the section's (None)."""

    word: str
    interval_ms: int | None = None

    def takes(self, number: int) -> bool:
        """Whether it means the model of this id."""
        entry = index().get(number)
        return entry is not None and self.word in (entry.family, str(number))

    def numbers(self) -> list[int]:
        """The ids of the models that it may mean."""
        return [number for number in index() if self.takes(number)]


@dataclass(frozen=True, slots=True)
class SunSpec:
    """What of a SunSpec device is polled. `named`: the models were named, so the device must have them.

    `points`: the names that are polled, as `W` or `inverter.W`; None: all. `deadbands`: by such names.
    """

    interval_ms: int
    stale_ms: int
    table: SunSpecTable
    bases: tuple[int, ...]
    models: tuple[Chosen, ...]
    named: bool
    points: frozenset[str] | None
    enums: Enums
    deadbands: tuple[tuple[str, Deadband], ...] = ()

    def chosen(self, number: int) -> Chosen | None:
        """Why a model is polled; None: it is not."""
        return next((each for each in self.models if each.takes(number)), None)

    def wants(self, family: str, point: str, kind: str) -> bool:
        """Whether a point of this name and type is polled. Scale factors are where they are named."""
        if self.points is None:
            return kind not in ("pad", "sunssf", "count") and point not in FRAME
        return kind != "pad" and (point in self.points or f"{family}.{point}" in self.points)

    def deadband(self, family: str, point: str) -> Deadband | None:
        """When a point of this name is reported."""
        found = dict(self.deadbands)
        return found.get(f"{family}.{point}", found.get(point))


def read_sunspec(section: Section, max_interval_s: float, max_stale_s: float) -> SunSpec:
    """Read a device's `sunspec` section; faults go to its problems."""
    interval_s = section.number("interval_s", low=0.01, high=max_interval_s)
    stale_s = section.number("stale_s", max(3 * interval_s, 60.0), low=0.1, high=max_stale_s)
    if stale_s < interval_s:
        section.fault("stale_s", f"{stale_s:g} is less than interval_s", f"at least {interval_s:g}")
    words = _words(section)
    rates = _rates(section, words, max_interval_s)
    models = tuple(Chosen(word, rates.get(word)) for word in words)
    names = _names(models) if section.has("points") or section.has("deadbands") else []
    points = _points(section, names)
    found = SunSpec(
        interval_ms=max(1, round(interval_s * 1000)),
        stale_ms=round(stale_s * 1000),
        table=section.choice("table", SUNSPEC_TABLES, "holding"),
        bases=(section.integer("base", low=0, high=ADDRESSES - 4),) if section.has("base") else BASES,
        models=models,
        named=section.has("models"),
        points=points,
        enums=section.choice("enums", ENUMS, "text"),
        deadbands=_deadbands(section, names),
    )
    section.close()
    return found


def known_words() -> list[str]:
    """The words that `models` takes: families, and ids."""
    return [*dict.fromkeys(entry.family for entry in index().values()), *map(str, index())]


def _words(section: Section) -> list[str]:
    """What `models` names; without it, the families that measure."""
    if not section.has("models"):
        return list(dict.fromkeys(entry.family for entry in index().values() if entry.measured))
    words = _texts(section, "models")
    for i, word in enumerate(words):
        _refuse_unknown(section, f"models[{i}]", word, known_words(), "there is no model")
    return list(dict.fromkeys(word for word in words if word in known_words()))


def _rates(section: Section, words: Sequence[str], max_interval_s: float) -> dict[str, int]:
    """`intervals`, in ms, by the words of `models`."""
    intervals = section.section("intervals")
    rates = {}
    for key in [key for key, _ in intervals.items()]:
        word = str(key)
        if word in words:
            rates[word] = max(1, round(intervals.number(key, low=0.01, high=max_interval_s) * 1000))
        else:
            _refuse_unknown(section, f"intervals.{word}", word, words, "is not among the models")
    return rates


def _names(models: Iterable[Chosen]) -> list[str]:
    """The points that may be named, with their family and without."""
    names: set[str] = set()
    for number in {number for chosen in models for number in chosen.numbers()}:
        definition = load(number)
        plain = definition.names()
        names |= plain | {f"{definition.family}.{name}" for name in plain}
    return sorted(names)


def _points(section: Section, names: Sequence[str]) -> frozenset[str] | None:
    if not section.has("points"):
        return None
    points = _texts(section, "points")
    for i, name in enumerate(points):
        _refuse_unknown(section, f"points[{i}]", name, names, "no model that is polled has a point")
    return frozenset(points)


def _deadbands(section: Section, names: Sequence[str]) -> tuple[tuple[str, Deadband], ...]:
    if not section.has("deadbands"):
        if section.has("heartbeat_s"):
            section.fault("heartbeat_s", "goes with deadbands alone", "without them, every value is reported")
        return ()
    heartbeat_ms = read_heartbeat_ms(section)
    deadbands = section.section("deadbands")
    found = {}
    for name in [str(key) for key, _ in deadbands.items()]:
        _refuse_unknown(section, f"deadbands.{name}", name, names, "no model that is polled has a point")
        if (deadband := deadband_at(deadbands, name, heartbeat_ms)) is not None:
            found[name] = deadband
    return tuple(sorted(found.items()))


def _texts(section: Section, key: str) -> list[str]:
    given = section.value(key)
    if not isinstance(given, list) or not given:
        section.fault(key, "expected a list of at least one", "leave it out for all")
        return []
    # Classic nuclei turn integers into floats.
    return [str(int(item)) if isinstance(item, float) and item.is_integer() else str(item) for item in given]


def _refuse_unknown(section: Section, place: str, word: str, known: Sequence[str], what: str) -> None:
    if word in known:
        return
    close = difflib.get_close_matches(word, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else "known are " + ", ".join(known[:40])
    section.fault(place, f"{what} {word!r}", hint)
