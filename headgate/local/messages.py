"""Messages of the local topics (schemas/local.v1.json), in pieces that every nucleus carries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from headgate.envelope.alarms import event_text
from headgate.envelope.numbers import plain
from headgate.envelope.window_row import row_text
from headgate.model import AlarmEvent, ClockState, Quality, Series, Value, Window

LIVE, WINDOWS, ALARMS = "hg/v1/local/live/", "hg/v1/local/windows/", "hg/v1/local/alarms"
"""Topics; behind the first two stands the device."""
LIMIT_BYTES = 7_000
"""Of a message: nucleus lite takes no more (docs/wire.md, Batch)."""


class Sample(NamedTuple):
    """The newest sample of a series."""

    series: Series
    t_ms: int
    value: Value
    quality: int
    clock: ClockState = ClockState.SYNCED


Message = tuple[str, bytes]
"""(topic, payload)."""


def live(samples: Iterable[Sample]) -> list[Message]:
    """A message for each device, more where one has no room for all of its series."""
    devices: dict[str, list[Sample]] = {}
    for sample in samples:
        name = sample.series.name
        devices.setdefault(name[: name.index("/")], []).append(sample)
    messages: list[Message] = []
    for device, found in devices.items():
        clock = max(sample.clock for sample in found).name.lower()
        head = f'{{"v":1,"device":"{device}","clock":"{clock}","values":{{'
        messages += [(LIVE + device, text) for text in _filled(head, [_sample(each) for each in found])]
    return messages


def windows(closed: Sequence[Window], wanted: Callable[[str], bool]) -> list[Message]:
    """Those of wanted series, each window of each device in messages of its own."""
    messages: list[Message] = []
    for window in closed:
        devices: dict[str, list[str]] = {}
        for series, row in window.rows.items():
            device, _, tag = series.name.partition("/")
            if wanted(series.name):
                devices.setdefault(device, []).append(f'"{tag}":{row_text(series, row)}')
        step = "" if window.step_ms is None else f'"step_ms":{window.step_ms},'
        revision = f'"rev":{window.revision},' if window.revision else ""
        for device, rows in devices.items():
            head = (
                f'{{"v":1,"device":"{device}","start":{window.start_ms},"length_ms":{window.length_ms},'
                f'{step}{revision}"rows":{{'
            )
            messages += [(WINDOWS + device, text) for text in _filled(head, rows)]
    return messages


def alarm(event: AlarmEvent) -> Message:
    """An event as the cloud gets it."""
    return ALARMS, f'{{"v":1,{event_text(event)[1:]}'.encode()


_QUALITIES = [quality.name.lower() for quality in Quality]


def _sample(sample: Sample) -> str:
    series, t_ms, value, quality, _ = sample
    head, tail = _ends(series)
    # What is finite is written as JSON would: that is most of it, and this is quicker.
    text = repr(value) if type(value) is float and value - value == 0 else plain(value)
    return f'{head}{text},"t":{t_ms},"quality":"{_QUALITIES[quality]}"{tail}'


@lru_cache(maxsize=4_096)
def _ends(series: Series) -> tuple[str, str]:
    return f'"{series.name.partition("/")[2]}":{{"value":', f',"unit":{json.dumps(series.unit)}}}'


def _filled(head: str, texts: Iterable[str]) -> Iterator[bytes]:
    """Messages of as many texts as have room. All of it is ASCII."""
    waiting: list[str] = []
    size_bytes = len(head) + 2
    for text in texts:
        if waiting and size_bytes + len(text) + 1 > LIMIT_BYTES:
            yield f"{head}{','.join(waiting)}}}}}".encode()
            waiting, size_bytes = [], len(head) + 2
        waiting.append(text)
        size_bytes += len(text) + 1
    if waiting:
        yield f"{head}{','.join(waiting)}}}}}".encode()
