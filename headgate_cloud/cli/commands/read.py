"""`headgate read`: what a gateway measures now, asked and shown."""

from __future__ import annotations

import argparse

from headgate_cloud.cli.direct import Answer
from headgate_cloud.cli.output import Output
from headgate_cloud.cli.replies import show
from headgate_cloud.cli.session import READ_TIMEOUT_S, ask_and_show, now_ms


def run(given: argparse.Namespace) -> int:
    return ask_and_show(given, draw, READ_TIMEOUT_S)


def draw(out: Output, answer: Answer) -> None:
    """A reply's result as tables, under the gateway's name."""
    assert answer.reply is not None
    show(out, answer.thing, answer.reply, now_ms(), f"{answer.latency_ms} ms")
