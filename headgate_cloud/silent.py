"""The watch, on a schedule: gateways not heard for too long are a metric, and changes are told."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import boto3

from headgate_cloud.gateways import Gateway, Gateways
from headgate_cloud.ingest import log
from headgate_cloud.metrics import metered

NAMED: Final = 100  # gateways in one notice or log line


class Sns(Protocol):
    """The one call of boto3's `sns` client that is made."""

    def publish(self, **kwargs: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Silence:
    """`silent` is what is so now; `fell` and `returned` have not been told yet."""

    watched: int
    silent: tuple[Gateway, ...]
    fell: tuple[Gateway, ...]
    returned: tuple[Gateway, ...]


def silence(gateways: Iterable[Gateway], now_ms: int, after_s: int) -> Silence:
    """A muted gateway is not watched; one that was told of and then muted counts as returned, unsaid."""
    watched, silent, fell, returned = 0, [], [], []
    for gateway in gateways:
        quiet = now_ms - gateway.last_seen_ms > after_s * 1000 and not gateway.muted
        watched += not gateway.muted
        if quiet:
            silent.append(gateway)
            if not gateway.told:
                fell.append(gateway)
        elif gateway.told:
            returned.append(gateway)
    return Silence(watched, tuple(silent), tuple(fell), tuple(returned))


@dataclass(frozen=True, slots=True)
class Watch:
    """The parts a run needs; `say` gets one mapping per event worth a log line."""

    gateways: Gateways
    sns: Sns
    topic: str
    after_s: int
    now_ms: Callable[[], int]
    say: Callable[[Mapping[str, object]], None]

    def run(self) -> Silence:
        """Raises botocore's errors as they come; a notice goes out before its gateways count as told of, so
        that it may come twice and is never left out."""
        now_ms = self.now_ms()
        found = silence(self.gateways.all(), now_ms, self.after_s)
        entry = {"event": "watch", "watched": found.watched, "silent": _names(found.silent)}
        self.say(metered(entry, {"SilentGateways": ("Count", len(found.silent))}, now_ms))
        back = tuple(gateway for gateway in found.returned if not gateway.muted)
        if found.fell or back:
            self.sns.publish(TopicArn=self.topic, **_notice(found.fell, back, self.after_s, now_ms))
        for gateway in found.fell:
            self.gateways.tell(gateway.thing, told=True)
        for gateway in found.returned:
            self.gateways.tell(gateway.thing, told=False)
        return found


def _notice(fell: Sequence[Gateway], back: Sequence[Gateway], after_s: int, now_ms: int) -> dict[str, str]:
    lines = []
    if fell:
        lines.append(f"Silent for more than {after_s} s:")
        lines += [f"  {g.thing}, last heard {(now_ms - g.last_seen_ms) // 1000} s ago" for g in fell[:NAMED]]
        lines += [f"  and {len(fell) - NAMED} more"] if len(fell) > NAMED else []
    if back:
        lines.append("Heard again: " + ", ".join(_names(back)))
    subject = f"Headgate: {len(fell)} gateways fell silent, {len(back)} are back"
    return {"Subject": subject, "Message": "\n".join(lines)}


def _names(gateways: Sequence[Gateway]) -> list[str]:
    return [gateway.thing for gateway in gateways[:NAMED]]


@functools.cache
def _watch() -> Watch:
    """Made once per process, at the first event; boto3 finds its endpoints in the environment by itself."""
    return Watch(
        Gateways(boto3.client("dynamodb"), os.environ["GATEWAYS_TABLE"]),
        boto3.client("sns"),
        os.environ["NOTICES_TOPIC"],
        int(os.environ["SILENT_AFTER_S"]),
        lambda: time.time_ns() // 1_000_000,
        log,
    )


def handler(event: object, context: object) -> None:
    """AWS Lambda's entry, on a schedule."""
    _watch().run()
