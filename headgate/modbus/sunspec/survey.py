"""What a device has of what is wanted of it: its map, the models that are polled, and their groups; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headgate.modbus.config import MIN_STALE_S, STALE_INTERVALS, Group
from headgate.modbus.sunspec.definitions import Definition, load
from headgate.modbus.sunspec.options import SunSpec
from headgate.modbus.sunspec.tags import counts, place, tags_of
from headgate.modbus.sunspec.walk import Map, ModelAt, NotSunSpec, Steps, discover, longest_read
from headgate.modbus.tags import Tag


@dataclass(frozen=True, slots=True)
class Survey:
    """A device's map, how many registers it gives at once, and what its polled models count, by address."""

    map: Map
    limit: int
    counts: tuple[tuple[int, tuple[tuple[str, int], ...]], ...]


def survey(options: SunSpec, max_registers: int) -> Steps[Survey]:
    """Find and look through a device. Raises NotSunSpec (also: none of the models) and NoModel."""
    found = yield from discover(options.bases)
    models = [model for model in found.models if options.chosen(model.id)]
    if not models:
        has = ", ".join(str(model.id) for model in found.models)
        wanted = ", ".join(each.word for each in options.models) if options.named else "that measure"
        raise NotSunSpec(
            f"{found.identity} has the SunSpec models {has}, and none of those wanted ({wanted})"
        )
    limit = yield from longest_read(models, max_registers)
    counted = []
    for model in models:
        found_counts = yield from counts(load(model.id), model)
        if found_counts:
            counted.append((model.address, tuple(sorted(found_counts.items()))))
    return Survey(found, limit, tuple(counted))


def groups_of(options: SunSpec, found: Survey) -> tuple[Group, ...]:
    """The poll groups of what was found: one for each rate."""
    counted = dict(found.counts)
    by_rate: dict[int, list[Tag]] = {}
    for prefix, definition, model in polled(options, found.map):
        placed = place(definition, model, dict(counted.get(model.address, ())))
        tags = tags_of(definition, prefix, placed, model, options)
        # A value is read at once.
        fit = [tag for tag in tags if tag.count <= found.limit]
        by_rate.setdefault(_interval_ms(options, model), []).extend(fit)
    return tuple(
        Group(f"sunspec at {ms / 1000:g} s", ms, tuple(tags), _stale_ms(options, ms))
        for ms, tags in by_rate.items()
        if tags
    )


def polled(options: SunSpec, found: Map) -> Iterator[tuple[str, Definition, ModelAt]]:
    """The models that are polled, and what stands before the names of their points.

    That is their family: `inverter`, and `inverter2` for the second one of a device.
    """
    seen: dict[str, int] = {}
    for model in found.models:
        if options.chosen(model.id) is None:
            continue
        definition = load(model.id)
        number = seen[definition.family] = seen.get(definition.family, 0) + 1
        yield definition.family if number == 1 else f"{definition.family}{number}", definition, model


def missing(options: SunSpec, found: Map) -> list[str]:
    """The models that are named in the site document and not there."""
    if not options.named:
        return []
    return [each.word for each in options.models if not any(each.takes(model.id) for model in found.models)]


def _interval_ms(options: SunSpec, model: ModelAt) -> int:
    chosen = options.chosen(model.id)
    return options.interval_ms if chosen is None or chosen.interval_ms is None else chosen.interval_ms


def _stale_ms(options: SunSpec, interval_ms: int) -> int:
    if interval_ms == options.interval_ms:
        return options.stale_ms
    return max(options.stale_ms, STALE_INTERVALS * interval_ms, round(MIN_STALE_S * 1000))
