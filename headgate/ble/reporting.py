"""What of a device's values is reported: at most so often, and only what says something new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.config.reader import Section, describe
from headgate.model import Frame, Kind

if TYPE_CHECKING:
    from headgate.deadband import Deadband, Keeper

MAX_INTERVAL_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rule:
    """When a value is reported: not before `min_interval_ms` after the last, unless its quality changed."""

    min_interval_ms: int = 0
    deadband: Deadband | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a device may be silent until its values are stale, and until they are bad_comm."""

    stale_ms: int
    gone_ms: int


DEFAULT_PATIENCE = Patience(90_000, 300_000)


def read_patience(section: Section, interval_ms: int) -> Patience:
    """`stale_s` and `gone_s` of a device."""
    stale_s = section.number("stale_s", max(3 * interval_ms / 1000, 60), low=1, high=604_800)
    gone_s = section.number("gone_s", max(10 * interval_ms / 1000, 300, stale_s), low=1, high=604_800)
    if gone_s < stale_s:
        section.fault("gone_s", f"{gone_s:g} is less than stale_s", f"stale_s is {stale_s:g}")
    return Patience(round(stale_s * 1000), round(gone_s * 1000))


def read_rules(section: Section, kinds: Mapping[str, Kind]) -> tuple[tuple[str, Rule], ...]:
    """`report` of a device with tags of some kinds: by tag its rule; of two for one tag the later holds."""
    found: dict[str, Rule] = {}
    if not section.has("report"):
        return ()
    # Late: most sites have none, and the decimals that these are read with cost memory.
    from headgate.deadband import read_deadband

    for each in section.sections("report"):
        chosen = _chosen(each, tuple(kinds))
        min_interval_s = each.number("min_interval_s", 0, low=0, high=MAX_INTERVAL_S)
        coarse = next((kinds[tag] for tag in chosen if kinds[tag] in ("bool", "text")), "f64")
        deadband = read_deadband(each, coarse, f"a {coarse} among its tags")
        each.close()
        found |= dict.fromkeys(chosen, Rule(round(min_interval_s * 1000), deadband))
    return tuple(found.items())


def _chosen(section: Section, tags: Sequence[str]) -> Sequence[str]:
    if not section.has("tags"):
        return tags
    listed = section.value("tags")
    if not isinstance(listed, list) or not listed:
        section.fault("tags", f"expected a list of tags, found {describe(listed)}", "leave it out for all")
        return ()
    for i, tag in enumerate(listed):
        if tag not in tags:
            hint = "it has " + ", ".join(tags)
            section.problems.add(f"{section.at('tags')}[{i}]", f"{tag!r} is no tag of this device", hint)
    return [tag for tag in listed if tag in tags]


class _Gate:
    """One series' rule at work."""

    __slots__ = ("_keeper", "_min_ms", "_next_ms", "_quality")

    def __init__(self, rule: Rule, interval_ms: int) -> None:
        self._keeper: Keeper | None = None
        if rule.deadband is not None:
            from headgate.deadband import Keeper

            self._keeper = Keeper(rule.deadband, interval_ms)
        self._min_ms = rule.min_interval_ms
        self._quality, self._next_ms = -1, 0

    def says(self, boot_ms: int, value: float | int | str | None, quality: int) -> bool:
        if quality == self._quality and boot_ms < self._next_ms:
            return False
        if self._keeper is not None and not self._keeper.says(boot_ms, value, quality):
            return False
        self._quality, self._next_ms = quality, boot_ms + self._min_ms
        return True

    def forget(self) -> None:
        self._quality, self._next_ms = -1, 0
        if self._keeper is not None:
            self._keeper.forget()


class Reporting:
    """The rules of one device's series, by place in the driver's table. `unchanged`: values held back."""

    def __init__(self, rules: Mapping[int, Rule], interval_ms: int) -> None:
        self.unchanged = 0
        self._gates = {place: _Gate(rule, interval_ms) for place, rule in rules.items()}

    @classmethod
    def of(
        cls, rules: Sequence[tuple[str, Rule]], tags: Sequence[str], places: Sequence[int], interval_ms: int
    ) -> Reporting:
        """Of a device's rules by tag, whose tags have these places."""
        place = dict(zip(tags, places, strict=True))
        return cls({place[tag]: rule for tag, rule in rules}, interval_ms)

    def thin(self, frame: Frame) -> Frame | None:
        """What of a frame is to be reported; None: nothing."""
        gates = self._gates
        if not gates:
            return frame
        codes = frame.quality or (0,) * len(frame.series)
        kept = [
            i
            for i, place in enumerate(frame.series)
            if place not in gates or gates[place].says(frame.boot_ms, frame.values[i], codes[i])
        ]
        if len(kept) == len(codes):
            return frame
        self.unchanged += len(codes) - len(kept)
        if not kept:
            return None
        return Frame(
            frame.boot_ms,
            [frame.series[i] for i in kept],
            [frame.values[i] for i in kept],
            [codes[i] for i in kept] if frame.quality else (),
        )

    def forget(self) -> None:
        """The device's series were marked: what comes next is reported whatever it is."""
        for gate in self._gates.values():
            gate.forget()
