"""What all errands need: the tag that is meant, and to be sent and waited for while there is time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from headgate.clock import Clock
from headgate.driver import Refused
from headgate.errors import HeadgateError
from headgate.modbus.line import Line
from headgate.modbus.tags import Tag
from headgate.modbus.transports import Transport
from headgate.modbus.work import Errand, Unit


def find_tag(units: Mapping[str, Unit], name: object, op: str) -> tuple[Unit, Tag]:
    """The device and tag of a series' name. Raises Refused where there is none; `op` is who asks."""
    device, _, wanted = name.partition("/") if isinstance(name, str) else ("", "", "")
    unit = units.get(device)
    if unit is not None:
        for group in unit.device.groups:
            for tag in group.tags:
                if tag.name == wanted:
                    return unit, tag
        if unit.map_fault:
            raise Refused("unknown_series", f"{op}: there is no series {name!r}: {unit.map_fault}")
    raise Refused("unknown_series", f"{op}: there is no series {name!r}")


async def carry_out(
    errands: Sequence[Errand],
    lines: Mapping[Transport, Line],
    clock: Clock,
    end_ms: int | None,
    late: HeadgateError,
) -> None:
    """Have all of them done at once; what is not done at `end_ms` (boottime) fails with `late`.

    Raises as `Line.send`. A transaction in flight is never cut off, whoever stops waiting for it.
    """
    try:
        for errand in errands:
            lines[errand.unit.device.transport].send(errand)
        async with asyncio.TaskGroup() as group:
            timer = group.create_task(_give_up(errands, clock, end_ms, late))
            for errand in errands:
                await errand.done
            timer.cancel()
    finally:
        for errand in errands:
            errand.done.cancel()  # nobody waits for what is left of it


async def _give_up(errands: Sequence[Errand], clock: Clock, end_ms: int | None, late: HeadgateError) -> None:
    if end_ms is not None:
        await clock.sleep_until(end_ms)
        for errand in errands:
            errand.fail(late)
