"""The `uplink:` section of a site document as frozen types: how the cloud is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from headgate.config.reader import Problems, Section, describe
from headgate.uplink import budget, prices
from headgate.uplink.budget import Budget
from headgate.uplink.lanes import Lane
from headgate.uplink.meter import DEFAULT_BULK_SHARE, Metered
from headgate.uplink.prices import Prices
from headgate.uplink.turns import SHARES

MAX_PUBLISHES_PER_S = 90.0
MAX_BYTES_PER_S = 460_000.0
"""Below what AWS IoT allows a connection (100/s, 512 KiB/s): acknowledgements and requests need room."""
MIN_BYTES_PER_DAY = 100_000
MAX_WINDOWS = 8
MIN_RESEND_AFTER_S, MAX_RESEND_AFTER_S = 5, 600
"""Of which an ingest takes no more than half to fill its batches (BatchWindowS, at most 60 s)."""
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")

Mode = Literal["acknowledged", "handed_over", "plain"]
MODES: tuple[Mode, ...] = get_args(Mode)
Codec = Literal["json", "compact"]
CODECS: tuple[Codec, ...] = get_args(Codec)
Means = Literal["rounded", "exact"]
STATISTICS = ("mean", "min", "max", "std", "first", "last")
MEANS: tuple[Means, ...] = get_args(Means)


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """What a site wants of its uplink; every default is what a site without the section gets.

    None: the built-in limit. `metered`: the link is paid by the byte. `codec` of samples and windows from
    the next envelope on; alarms and reports are always JSON. `means`: whether a window's means and
    deviations are rounded to what its samples can tell (docs/wire.md). `statistics`: which of these a
    window's rows have, beside the count and what `windows` asks for. `resend_after_s`: how long the cloud's
    word is waited for before an envelope is sent again.
    """

    publishes_per_s: float | None = None
    bytes_per_s: float | None = None
    shares: Mapping[Lane, float] = field(default_factory=lambda: dict(SHARES))
    metered: Metered | None = None
    mode: Mode = "acknowledged"
    prices: Prices = field(default_factory=Prices)
    budget: Budget = field(default_factory=Budget)
    codec: Codec = "json"
    means: Means = "rounded"
    statistics: tuple[str, ...] = STATISTICS
    resend_after_s: float | None = None


def parse(section: Section) -> UplinkConfig:
    """Read the `uplink:` section; faults go to the section's problems (for `parse_sections`)."""
    publishes_per_s = bytes_per_s = None
    if section.has("publishes_per_s"):
        publishes_per_s = section.number("publishes_per_s", low=0.1, high=MAX_PUBLISHES_PER_S)
    if section.has("bytes_per_s"):
        bytes_per_s = section.number("bytes_per_s", low=100, high=MAX_BYTES_PER_S)
    found = UplinkConfig(
        publishes_per_s,
        bytes_per_s,
        _shares(section.section("shares")),
        _metered(section.section("metered")) if section.has("metered") else None,
        section.choice("mode", MODES, "acknowledged"),
        prices.parse(section.section("prices")),
        budget.parse(section.section("budget")),
        section.choice("codec", CODECS, "json"),
        section.choice("means", MEANS, "rounded"),
        _statistics(section),
        _resend_after_s(section),
    )
    section.close()
    return found


def _resend_after_s(section: Section) -> float | None:
    if not section.has("resend_after_s"):
        return None
    return section.number("resend_after_s", low=MIN_RESEND_AFTER_S, high=MAX_RESEND_AFTER_S)


def _statistics(section: Section) -> tuple[str, ...]:
    if not section.has("statistics"):
        return STATISTICS
    found = section.value("statistics")
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        section.fault(
            "statistics", f"expected a list, found {describe(found)}", f"of {', '.join(STATISTICS)}"
        )
        return STATISTICS
    for name in found:
        if name not in STATISTICS:
            section.fault("statistics", f"{name!r} is none", f"one of {', '.join(STATISTICS)}")
    if "mean" not in found:
        section.fault("statistics", "lacks mean", "the others are told from it: add mean")
    return tuple(name for name in STATISTICS if name in found)


def parse_mapping(values: Mapping[str, Any], source: str = "uplink") -> UplinkConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config


def _shares(section: Section) -> Mapping[Lane, float]:
    """At least a hundredth, so that nothing waits for ever."""
    found = {
        lane: section.number(lane.name.lower(), default, low=0.01, high=1) for lane, default in SHARES.items()
    }
    section.close()
    return found


def _metered(section: Section) -> Metered:
    bytes_per_day = None
    if section.has("bytes_per_day"):
        bytes_per_day = section.integer("bytes_per_day", low=MIN_BYTES_PER_DAY, high=1 << 50)
    bulk_share = section.number("bulk_share", DEFAULT_BULK_SHARE, low=0.01, high=1)
    windows, always = _windows(section), _always(section)
    section.close()
    return Metered(bytes_per_day, windows, always, bulk_share)


def _windows(section: Section) -> tuple[tuple[int, int], ...]:
    found = []
    for text in _texts(section, "windows", MAX_WINDOWS):
        match = _WINDOW.fullmatch(text)
        if match is None:
            section.fault("windows", f"{text!r} is no window", "UTC, for example 01:00-05:00 or 22:00-05:00")
            continue
        hours = [int(part) for part in match.groups()]
        found.append((60 * hours[0] + hours[1], 60 * hours[2] + hours[3]))
    return tuple(found)


def _always(section: Section) -> frozenset[Lane]:
    names = [lane.name.lower() for lane in Lane]
    found = {Lane.ALARMS}
    for text in _texts(section, "always", len(names)):
        if text in names:
            found.add(Lane[text.upper()])
        else:
            section.fault("always", f"unknown {text!r}", "known are " + ", ".join(names))
    return frozenset(found)


def _texts(section: Section, key: str, limit: int) -> list[str]:
    value = section.value(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or len(value) > limit:
        section.fault(key, f"expected a list of at most {limit} texts")
        return []
    return value
