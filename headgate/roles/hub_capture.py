"""Files of the courier that belong to an alarm: announced, and named in a report in the stream `alarms`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headgate.bridge.calls import CALL_TOPIC, encode_request
from headgate.bus.api import Bus
from headgate.clock import Clock, random_id
from headgate.driver import Reply, Request
from headgate.envelope.header import Part
from headgate.envelope.reports import pack_report
from headgate.errors import Reject, Retry
from headgate.model import ClockState
from headgate.requests.model import parse_reply

CAPTURE = "capture"
"""Kind of a pending row, and the operation of the courier."""
TIMEOUT_S = 20.0
MAX_WHY_CHARACTERS = 300

Ask = Callable[[Mapping[str, Any]], Awaitable[Reply]]
"""Asks the courier to `capture` with these arguments. Raises Retry where it does not answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The `newest` files of a source; until `until_ms` (UTC) those that are still written are waited for."""

    source: str
    newest: int
    until_ms: int

    def fields(self) -> dict[str, Any]:
        """As a pending row holds them."""
        return asdict(self)


def courier(bus: Bus, clock: Clock) -> Ask:
    """The courier on the local bus."""

    async def ask(args: Mapping[str, Any]) -> Reply:
        deadline_ms = clock.utc_ms() + round(900 * TIMEOUT_S)
        request = Request(f"capture-{random_id():016x}", 1, CAPTURE, args, deadline_ms, "direct")
        topic = CALL_TOPIC.format(name="files")
        answer = await bus.request(topic, encode_request(request), timeout_s=TIMEOUT_S)
        return parse_reply(answer)

    return ask


async def capture(text: str, ask: Ask, clock: Clock) -> list[Part] | None:
    """Have files announced; returns the report that names them, None where it is to be tried again later."""
    asked = json.loads(text)
    late = clock.utc_ms() >= asked["until_ms"]
    args = {"source": asked["source"], "newest": asked["newest"], "wait": not late}
    files: list[str] = []
    why = ""
    try:
        reply = await ask(args)
        if reply.status == "ok" and reply.result is not None:
            found = reply.result.get("files")
            files = [str(file_id) for file_id in found] if isinstance(found, list) else []
        elif reply.status == "refused" or late:
            why = reply.detail
        else:
            return None
    except Retry as error:
        if not late:
            return None
        why = str(error)
    except Reject as error:
        why = str(error)
    fields: dict[str, object] = {key: asked[key] for key in ("alarm", "series", "t", "source")}
    fields["files"] = files
    if why:
        fields["why"] = why[:MAX_WHY_CHARACTERS]
    return [pack_report("alarm_files", fields, ClockState(asked["clock"]))]
