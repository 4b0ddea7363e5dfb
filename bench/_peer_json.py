"""The same samples and windows in the JSON that ThingsBoard and AWS IoT SiteWise document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from headgate.columns import Columns
from headgate.model import Window

STATISTICS = ("mean", "min", "max", "count")
SITEWISE_ENTRIES = 10
"""Entries of a BatchPutAssetPropertyValue request (service quota)."""
SITEWISE_VALUES = 10
"""Values of an entry (service quota)."""
THINGSBOARD_BYTES = 65_536
"""Payload of an MQTT message that its transport takes by default (`NETTY_MAX_PAYLOAD_SIZE`)."""

Point = tuple[str, int, float]
"""Name, UTC ms, value."""


def sitewise(data: Columns | Sequence[Window]) -> list[bytes]:
    """Requests BatchPutAssetPropertyValue: a property alias each, ten entries of ten values."""
    entries: list[dict[str, object]] = []
    for name, points in _series(data):
        for at in range(0, len(points), SITEWISE_VALUES):
            values = [
                {
                    "value": {"doubleValue": value},
                    "timestamp": {"timeInSeconds": t // 1000, "offsetInNanos": t % 1000 * 1_000_000},
                    "quality": "GOOD",
                }
                for _, t, value in points[at : at + SITEWISE_VALUES]
            ]
            entries.append(
                {
                    "entryId": str(len(entries) % SITEWISE_ENTRIES),
                    "propertyAlias": name,
                    "propertyValues": values,
                }
            )
    groups = (entries[at : at + SITEWISE_ENTRIES] for at in range(0, len(entries), SITEWISE_ENTRIES))
    return [_json({"entries": group}) for group in groups]


def thingsboard(data: Columns | Sequence[Window]) -> list[bytes]:
    """The gateway's telemetry: by device a list of {ts, values: {key: value}}, up to the payload's limit."""
    rows: dict[int, dict[str, float]] = {}
    device = ""
    for name, points in _series(data):
        device, _, tag = name.partition("/")
        for _, t, value in points:
            rows.setdefault(t, {})[tag] = value
    messages: list[bytes] = []
    waiting: list[bytes] = []
    frame = len(_json({device: []}))
    for t, values in rows.items():
        row = _json({"ts": t, "values": values})
        if frame + sum(map(len, waiting)) + len(waiting) + len(row) > THINGSBOARD_BYTES:
            messages.append(_framed(device, waiting))
            waiting = []
        waiting.append(row)
    return [*messages, _framed(device, waiting)]


def _framed(device: str, rows: Sequence[bytes]) -> bytes:
    return b'{"' + device.encode() + b'":[' + b",".join(rows) + b"]}"


def _series(data: Columns | Sequence[Window]) -> Iterator[tuple[str, list[Point]]]:
    if isinstance(data, Columns):
        for series, values in zip(data.series, data.values, strict=True):
            pairs = zip(data.times_ms, values, strict=True)
            yield series.name, [(series.name, t, v) for t, v in pairs if isinstance(v, float)]
        return
    for series in data[0].rows:
        for statistic in STATISTICS:
            name = f"{series.name}.{statistic}"
            yield name, [(name, w.start_ms, getattr(w.rows[series], statistic)) for w in data]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
