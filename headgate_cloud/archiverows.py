"""The pure side of the archive: an envelope as a line of JSON that SQL can query, and its bytes back from it.

A line is an envelope whole: header, what it decodes to (columns, windows or the report), and its exact bytes.
"""

from __future__ import annotations

import base64
import datetime
import gzip
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from headgate_cloud.forms import Column, Envelope, Value, WindowRow
from headgate_cloud.intake import Arrival

PREFIX: Final = "envelopes/v1/"
LEVEL: Final = 6  # zlib's own default; 9 takes twice the time for a percent
_EXACT: Final = 2**53  # integers up to here are doubles


class Damaged(Exception):
    """A line of the archive does not give back what the index says; the text says which and how."""


def day_of(received_ms: int) -> str:
    """The UTC day, as partitions name it."""
    return datetime.datetime.fromtimestamp(received_ms / 1000, datetime.UTC).strftime("%Y-%m-%d")


def object_key(thing: str, day: str, arrivals: Sequence[Arrival]) -> str:
    """Named by its content: the same envelopes, tried again, are the same object.

    An envelope of codec compact has other lines before and after its schema is known, so that is of the name.
    """
    named = "\n".join(f"{a.stream_key}/{a.header.seq}/{a.digest}/{a.received_ms}{_form(a)}" for a in arrivals)
    return f"{PREFIX}day={day}/thing={thing}/{hashlib.sha256(named.encode()).hexdigest()[:32]}.jsonl.gz"


def _form(arrival: Arrival) -> str:
    return "/expanded" if arrival.schemas and not arrival.waits else ""


def packed(arrivals: Sequence[Arrival]) -> bytes:
    """The object: a line an envelope, compressed; of the same arrivals the same bytes."""
    lines = [json.dumps(row(a), separators=(",", ":"), ensure_ascii=False) + "\n" for a in arrivals]
    return gzip.compress("".join(lines).encode(), LEVEL, mtime=0)


def row(arrival: Arrival) -> dict[str, object]:
    """The fields of the Glue tables in template.yaml; what does not apply is left out, and is NULL there."""
    head = arrival.header
    found: dict[str, object] = {
        "thing": arrival.thing,
        "stream": head.stream,
        "epoch": head.epoch,
        "seq": head.seq,
        "kind": head.kind,
        "clock": head.clock,
        "codec": arrival.codec,
        "received_ms": arrival.received_ms,
        "digest": arrival.digest,
    }
    if arrival.flaw is not None:
        found["flaw"] = arrival.flaw
    if arrival.envelope is not None:
        found |= _decoded(arrival.envelope)
    try:
        found["body"] = arrival.body.decode("utf-8")
    except UnicodeDecodeError:
        found["body64"] = base64.b64encode(arrival.body).decode("ascii")
    return found


def body_of(data: bytes, line: int, digest: str) -> bytes:
    """The exact bytes of the envelope in a line (from 0) of an object; raises Damaged."""
    try:
        body = bytes_of(json.loads(gzip.decompress(data).split(b"\n")[line]))
    except (OSError, EOFError, ValueError, IndexError, KeyError, TypeError) as error:
        raise Damaged(f"line {line} cannot be read: {type(error).__name__} {error}") from error
    if hashlib.sha256(body).hexdigest() != digest:
        raise Damaged(f"line {line} is not what was indexed: its SHA-256 is another")
    return body


def bytes_of(line: Mapping[str, Any]) -> bytes:
    """The envelope's bytes, unchecked. Raises ValueError, KeyError, TypeError and AttributeError."""
    found: bytes = base64.b64decode(line["body64"]) if "body64" in line else line["body"].encode("utf-8")
    return found


def _decoded(envelope: Envelope) -> Mapping[str, object]:
    if envelope.columns:
        return {"columns": [_column(column) for column in envelope.columns]}
    if envelope.windows:
        return {"windows": [dict(_window(row)) for row in envelope.windows]}
    if envelope.report is not None:
        text = json.dumps(envelope.report, separators=(",", ":"), ensure_ascii=False)
        return {"report_type": str(envelope.report["type"]), "report": text}
    return {}


def _column(column: Column) -> dict[str, object]:
    """`t`, `value` and `quality` have one length; `text` too, where any value is no double."""
    values = column.values()
    # Nearly all are finite doubles, and those are what they are.
    plain = column.kind == "f64" and all(v is None or (type(v) is float and math.isfinite(v)) for v in values)
    texts = [] if plain else [_text(value) for value in values]
    found: dict[str, object] = {
        "series": column.series,
        "unit": column.unit,
        "kind": column.kind,
        "t": column.times_ms,
        "value": values if plain else [_number(value) for value in values],
        "quality": column.quality,
    }
    if any(text is not None for text in texts):
        found["text"] = texts
    return found


def _number(value: Value | None) -> float | int | None:
    """As the nearest double; None for texts, and for what JSON has no number for."""
    if value is None or isinstance(value, str):
        return None
    if isinstance(value, bool | int):
        return int(value) if abs(value) <= _EXACT else float(value)
    number = float(value)
    return number if math.isfinite(number) else None


def _text(value: Value | None) -> str | None:
    """The exact spelling of what the double beside it cannot say."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value) if abs(value) > _EXACT else None
    if isinstance(value, float):
        return None if math.isfinite(value) else str(value)
    return str(value)  # a Decimal: exact in decimal, and seldom in binary


def _window(found: WindowRow) -> Iterator[tuple[str, object]]:
    named = {"start_ms": "start", "time_mean": "tmean", "quality": "good", "increase": "inc"}
    for name in (*("series", "unit", "start_ms", "length_ms", "step_ms", "correction", "n"), *_STATISTICS):
        value = getattr(found, name)
        if value is not None:
            yield named.get(name, name), value
    if found.percentiles:
        yield "percentiles", {f"{percent:g}": value for percent, value in found.percentiles}


_STATISTICS: Final = (
    *("min", "max", "mean", "std", "first", "last"),
    *("sum", "time_mean", "quality", "increase", "rate", "resets"),
)
