"""Packs events of alarms: each an envelope of its own, plain JSON that a rule can select."""

from __future__ import annotations

import json

from headgate.envelope.header import Part
from headgate.envelope.numbers import plain
from headgate.model import AlarmEvent, ClockState


def pack_event(event: AlarmEvent, clock: ClockState) -> Part:
    """The envelope's body, not sealed yet."""
    series = event.series
    text = (
        f'"report":{{"type":"alarm","alarm":"{event.alarm}","series":"{series.name}","state":"{event.state}",'
        f'"severity":"{event.severity}","condition":"{event.condition}","limit":{plain(event.limit)},'
        f'"t":{event.t_ms},"value":{plain(event.value)},"u":{json.dumps(series.unit)}}}}}'
    )
    return Part("report", clock, text, 0)
