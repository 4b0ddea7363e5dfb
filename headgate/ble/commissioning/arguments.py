"""The words of the command line, and what they mean."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from headgate.ble.adapters import ADAPTER_PATTERN, DEFAULT_ADAPTER
from headgate.commands.exits import Parser

SECONDS = 10.0
"""Of a scan: most sensors send at least every few seconds."""
EXPLORE_S = 20.0
TIMEOUT_S = 10.0


def parser() -> Parser:
    """All commands."""
    top = Parser(
        prog="python -m headgate.ble",
        description="What BLE devices are in the air and what they offer. Nothing is written or paired with.",
        epilog="More, with what it prints: docs/commissioning.md",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="scan|explore")
    scan = commands.add_parser("scan", help="listen, decode what is known, suggest a site document")
    _common(scan, SECONDS, "how long to listen")
    explore = commands.add_parser("explore", help="connect to a device, list and read what it offers")
    explore.add_argument("address", type=_address, metavar="ADDRESS", help="as scan shows it")
    _common(explore, EXPLORE_S, "how long to wait until the device is heard")
    explore.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="S",
        help=f"of a connection and of each read (default {TIMEOUT_S:g} s)",
    )
    return top


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was typed. SystemExit: help, or EX_USAGE."""
    return parser().parse_args(sys.argv[1:] if arguments is None else arguments)


def _common(command: argparse.ArgumentParser, seconds: float, help_: str) -> None:
    command.add_argument(
        "--adapter", type=_adapter, default=DEFAULT_ADAPTER, metavar="hciN", help=f"default {DEFAULT_ADAPTER}"
    )
    command.add_argument(
        "--seconds",
        type=_seconds,
        default=seconds,
        metavar="S",
        help=f"{help_} (default {seconds:g} s)",
    )
    command.add_argument("--json", action="store_true", help="JSON on standard output")


def _adapter(text: str) -> str:
    if not re.fullmatch(ADAPTER_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no adapter: they are called hci0, hci1, ...")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address; AA:BB:CC:DD:EE:FF is one")
    return text.upper()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0.1 to 3600")
    return value
