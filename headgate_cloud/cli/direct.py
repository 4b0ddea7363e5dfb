"""Direct requests: asked over MQTT, sent again while nothing comes, matched to replies by thing and id."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headgate_cloud.cli.asking import Question
from headgate_cloud.cli.errors import USAGE, Complaint
from headgate_cloud.cli.link import MAX_SUBSCRIPTIONS, Link
from headgate_cloud.jobdocs import TooLarge, direct_request
from headgate_cloud.strict import Undecodable, mapping, parse

REQUEST: Final = "hg/v1/{}/dn/req/{}"
# Writes have a topic of their own: an account's policies tell who may read from who may write.
TOPIC_OF_OP: Final = {"write": "write"}
REPLY: Final = "hg/v1/{}/up/reply"
# A gateway answers a repeated id once: sending again costs a message and mends one that was lost.
AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One gateway's reply, or `reply` None when none came; `latency_ms` is from the first publish."""

    thing: str
    reply: Mapping[str, Any] | None
    latency_ms: int

    @property
    def good(self) -> bool:
        return self.reply is not None and self.reply["status"] == "ok"


def ask(
    link: Link,
    things: Sequence[str],
    question: Question,
    timeout_s: float,
    *,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Answer]:
    """Answers as they come, then those that did not. Raises Complaint."""
    if len(things) > MAX_SUBSCRIPTIONS:
        raise Complaint(
            f"{len(things)} gateways are more than one connection may listen to ({MAX_SUBSCRIPTIONS}); "
            "headgate jobs create asks any number",
            USAGE,
        )
    request_id = f"r-{secrets.token_hex(8)}"
    deadline_ms = now_ms() + round(timeout_s * 1000)
    try:
        body = direct_request(request_id, question.op, question.args, deadline_ms=deadline_ms)
    except TooLarge as error:
        raise Complaint(f"{error} (headgate jobs create)", USAGE) from None
    link.subscribe([REPLY.format(thing) for thing in things])
    waiting = {REPLY.format(thing): thing for thing in things}
    topic = TOPIC_OF_OP.get(question.op, "read")
    begun = monotonic()
    sent, end = begun, begun + timeout_s
    for thing in things:
        link.publish(REQUEST.format(thing, topic), body)
    while waiting and monotonic() < end:
        arrived = link.receive(min(end, sent + AGAIN_S) - monotonic())
        if arrived is not None:
            reply = matching(arrived.payload, request_id)
            if reply is not None and arrived.topic in waiting:
                latency_ms = round((arrived.at_s - begun) * 1000)
                yield Answer(waiting.pop(arrived.topic), reply, latency_ms)
        elif monotonic() < end:
            sent = monotonic()
            for thing in waiting.values():
                link.publish(REQUEST.format(thing, topic), body)
    for thing in waiting.values():
        yield Answer(thing, None, round((monotonic() - begun) * 1000))


def matching(payload: bytes, request_id: str) -> dict[str, Any] | None:
    """The reply to this request, or None for somebody else's, or for what is no reply."""
    try:
        return checked(parse(payload), request_id)
    except Undecodable:
        return None


def checked(document: object, request_id: str) -> dict[str, Any] | None:
    """Every field there and of its type; raises Undecodable."""
    reply: dict[str, Any] = dict(mapping(document, "$"))
    if reply.get("id") != request_id:
        return None
    for name, kind in (("status", str), ("code", str), ("detail", str)):
        if not isinstance(reply.setdefault(name, ""), kind):
            raise Undecodable(f"$.{name}", "a string is wanted")
    if not isinstance(reply.setdefault("result", None), dict | None):
        raise Undecodable("$.result", "an object or null is wanted")
    reply.setdefault("file_id", None)
    return reply
