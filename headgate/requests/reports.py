"""What the gateway tells the cloud of itself, one report an envelope: files, jobs' replies, lost samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.config.reader import describe
from headgate.driver import Refused, Reply
from headgate.envelope import header
from headgate.envelope.header import Part
from headgate.model import ClockState
from headgate.requests.model import load_strictly, parse_reply, reply_json, spelled

STREAM = "reports"
_FIELDS: Mapping[str, Mapping[str, type]] = {
    "file": {"file_id": str, "source": str, "path": str, "size": int, "mtime_ms": int},
    "reply": {"carrier": str, "reply": Mapping},
    "dropped": {"series": str, "from": int, "to": int, "count": int, "why": str},
}


def parse_report(payload: bytes) -> dict[str, Any]:
    """Read what a role wants reported (`hg/v1/local/report`). Raises Refused."""
    report = load_strictly(payload, "report")
    if not isinstance(report, dict):
        raise Refused("bad_request", f"report: expected a mapping, found {describe(report)}")
    kind = report.get("type")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise Refused("bad_request", f"report: type must be one of {', '.join(_FIELDS)}")
    wrong = [key for key, wanted in fields.items() if not _is(wanted, report.get(key))]
    wrong += [key for key in report if key not in fields and key != "type"]
    if wrong:
        raise Refused("bad_request", f"report of type {kind}: missing, unknown or of another type: {wrong}")
    if kind == "reply":
        parse_reply(spelled(report["reply"]))
    return report


def part(report: Mapping[str, Any], clock: ClockState, thing: str) -> Part:
    """The report's envelope, not sealed yet. Raises Refused where it does not fit one."""
    text = f'"report":{spelled(report).decode()}}}'
    size_bytes, room_bytes = len(text.encode()), header.room_bytes(thing)
    if size_bytes > room_bytes:
        raise Refused("too_many", f"report: it has {size_bytes} B, an envelope holds {room_bytes} B")
    return Part("report", clock, text, 0)


def of_job(reply: Reply) -> dict[str, Any]:
    """The report that carries a job's reply."""
    return {"type": "reply", "carrier": "job", "reply": reply_json(reply)}


def job_room_bytes(thing: str) -> int:
    """How large a job's reply may be to travel in one report."""
    frame = len(b'"report":{"type":"reply","carrier":"job","reply":}}')
    return header.room_bytes(thing) - frame


def _is(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
