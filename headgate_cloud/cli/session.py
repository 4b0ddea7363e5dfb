"""What most commands are: one question to some gateways, and something done with each answer."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from headgate_cloud.cli import asking
from headgate_cloud.cli.cloud import Cloud, chosen, chosen_things
from headgate_cloud.cli.direct import Answer, ask
from headgate_cloud.cli.errors import DONE, NO_ANSWER, REFUSED, UNREACHABLE, Complaint
from headgate_cloud.cli.link import Link
from headgate_cloud.cli.output import Output
from headgate_cloud.strict import Undecodable, mapping

READ_TIMEOUT_S: Final = 10.0
QUERY_TIMEOUT_S: Final = 30.0
LARGE_TIMEOUT_S: Final = 120.0  # for a reply that comes as a file

Shower = Callable[[Output, Answer], None]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ask_and_show(given: argparse.Namespace, show: Shower, timeout_s: float) -> int:
    """Answers are shown as they come; returns the exit code."""
    question: asking.Question = getattr(asking, given.ask)(given, now_ms())
    cloud = chosen(given)
    things = chosen_things(given, cloud)
    out = Output(as_json=given.json)
    worst = DONE
    with cloud.link() as link:
        for answer in _answers(cloud, link, things, question, given.timeout or timeout_s):
            worst = max(worst, _code(answer))
            if answer.reply is None:
                out.note(f"headgate: {answer.thing} did not answer within {answer.latency_ms / 1000:.1f} s")
            if given.json:
                out.record({"thing": answer.thing, "latency_ms": answer.latency_ms, "reply": answer.reply})
            elif answer.reply is not None:
                try:
                    show(out, answer)
                except Undecodable as error:
                    raise Complaint(f"{answer.thing}: its result cannot be read: {error}", REFUSED) from None
    return worst


def _answers(
    cloud: Cloud, link: Link, things: list[str], question: asking.Question, timeout_s: float
) -> Iterator[Answer]:
    """Those whose result came as a file last: to fetch one is another conversation on the same connection."""
    large = []
    for answer in ask(link, things, question, timeout_s):
        reply = answer.reply
        if reply is not None and question.op != "fetch" and reply["result"] is None and reply["file_id"]:
            large.append((answer, reply))
        else:
            yield answer
    for answer, reply in large:
        result = fetched(cloud, link, answer.thing, reply["file_id"])
        yield replace(answer, reply={**reply, "result": result})


def fetched(cloud: Cloud, link: Link, thing: str, file_id: str) -> dict[str, Any]:
    """A result that was written as a file of source `replies`. Raises Complaint."""
    from headgate_cloud.cli.download import Download
    from headgate_cloud.cli.tables import CloudTables
    from headgate_cloud.cli.uploads import Uploads

    uploads = Uploads(cloud, CloudTables(cloud))
    uploads.start(link, thing, {"file_id": file_id})
    row = uploads.complete(thing, file_id, LARGE_TIMEOUT_S, lambda done, total=None: None)
    with tempfile.TemporaryDirectory(prefix="headgate-") as folder:
        path = Path(folder) / "reply.json"
        Download(cloud.client("s3"), cloud.bucket(), lambda done: None).to(row, path)
        return result_in(path.read_bytes())


def result_in(data: bytes) -> dict[str, Any]:
    """Of a whole reply, or the result alone; raises Complaint."""
    try:
        found = mapping(json.loads(data), "$")
        return mapping(found["result"], "$.result") if "status" in found and "result" in found else found
    except ValueError as error:
        raise Complaint(f"the file of the reply cannot be read: {error}", UNREACHABLE) from None


def _code(answer: Answer) -> int:
    if answer.reply is None:
        return NO_ANSWER
    return DONE if answer.good else REFUSED
