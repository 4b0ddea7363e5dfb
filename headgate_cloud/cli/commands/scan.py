"""`headgate scan`: what is in the air around a gateway, or on one of its Modbus lines."""

from __future__ import annotations

import argparse
from typing import Final

from headgate_cloud.cli.commands.read import draw
from headgate_cloud.cli.session import ask_and_show

SECONDS: Final = {"ble": 10.0, "modbus": 60.0}
"""As the gateway has it where nothing is said."""
ANSWER_PART: Final = 0.75
"""Of the time to the deadline a bridge works; the rest is for its answer."""
MARGIN_S: Final = 10.0


def run(given: argparse.Namespace) -> int:
    seconds = given.seconds if given.seconds is not None else SECONDS[given.source]
    return ask_and_show(given, draw, seconds / ANSWER_PART + MARGIN_S)
