"""`headgate query`: history that the gateway keeps, as a summary, as rows or as CSV."""

from __future__ import annotations

import argparse
import csv
import datetime
import sys
from collections.abc import Callable

from headgate_cloud.cli import times, words
from headgate_cloud.cli.direct import Answer
from headgate_cloud.cli.output import Column, Output, plain
from headgate_cloud.cli.replies import decoded, samples, show
from headgate_cloud.cli.session import QUERY_TIMEOUT_S, ask_and_show, now_ms


def run(given: argparse.Namespace) -> int:
    drawn = _csv() if given.csv else _rows if given.rows else _summary
    return ask_and_show(given, drawn, QUERY_TIMEOUT_S)


def _summary(out: Output, answer: Answer) -> None:
    assert answer.reply is not None
    show(out, answer.thing, answer.reply, now_ms(), f"{answer.latency_ms} ms")


def _rows(out: Output, answer: Answer) -> None:
    if not answer.good:
        return _summary(out, answer)
    assert answer.reply is not None
    out.say(f"[bold]{plain(answer.thing)}[/]")
    columns = [Column("Time", whole=True), Column("Series"), Column("Value", right=True), Column("Quality")]
    out.table(
        columns,
        [
            [times.clock(t), plain(series), plain(words.value(value, unit)), words.coloured(quality)]
            for t, series, value, unit, quality in samples(decoded(answer.reply["result"] or {}))
        ],
    )
    return None


def _csv() -> Callable[[Output, Answer], None]:
    headed = False

    def drawn(out: Output, answer: Answer) -> None:
        nonlocal headed
        if not answer.good:
            assert answer.reply is not None
            out.note(f"headgate: {answer.thing}: {answer.reply['status']} ({answer.reply['code']})")
            return
        assert answer.reply is not None
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if not headed:
            writer.writerow(("thing", "time", "series", "value", "unit", "quality"))
            headed = True
        for t, series, value, unit, quality in samples(decoded(answer.reply["result"] or {})):
            at = datetime.datetime.fromtimestamp(t / 1000, datetime.UTC).isoformat(timespec="milliseconds")
            writer.writerow((answer.thing, at, series, "" if value is None else value, unit, quality))

    return drawn
