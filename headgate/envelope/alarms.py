"""Packs events of alarms, each an envelope of its own that a rule can select; and the samples around them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from headgate.columns import Columns
from headgate.envelope.header import Part
from headgate.envelope.numbers import plain
from headgate.envelope.samples import pack_samples
from headgate.model import AlarmEvent, ClockState


def event_text(event: AlarmEvent) -> str:
    """The event's fields as JSON."""
    series = event.series
    return (
        f'{{"type":"alarm","alarm":"{event.alarm}","series":"{series.name}","state":"{event.state}",'
        f'"severity":"{event.severity}","condition":"{event.condition}","limit":{plain(event.limit)},'
        f'"t":{event.t_ms},"value":{plain(event.value)},"u":{json.dumps(series.unit)}}}'
    )


def pack_event(event: AlarmEvent, clock: ClockState) -> Part:
    """The envelope's body, not sealed yet."""
    return Part("report", clock, f'"report":{event_text(event)}}}', 0)


CONTEXT_BYTES = 360
"""More than any mark of `pack_context`: names of 64 and 129 characters, and integers of 16 digits."""


def pack_context(
    groups: Iterable[Columns],
    clock: ClockState,
    room_bytes: int,
    max_parts: int,
    *,
    alarm: str,
    series: str,
    t_ms: int,
) -> list[Part]:
    """Raw samples around the event that raised `alarm` over `series` at `t_ms`: samples that name it.

    At most `max_parts`; where there would be more, the last series are left out and the mark says `cut`.
    """
    parts = pack_samples(groups, clock, room_bytes - CONTEXT_BYTES)
    kept = parts[:max_parts]
    cut = ',"cut":true' if len(kept) < len(parts) else ""
    return [
        replace(
            part,
            text=f'"context":{{"alarm":"{alarm}","series":"{series}","t":{t_ms},'
            f'"part":{number},"parts":{len(kept)}{cut}}},{part.text}',
        )
        for number, part in enumerate(kept, start=1)
    ]
