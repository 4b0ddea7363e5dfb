"""`headgate write`: set what a gateway's site document lets the cloud set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from headgate_cloud.cli.cloud import chosen, chosen_things
from headgate_cloud.cli.commands.read import run as ask_and_draw
from headgate_cloud.cli.errors import USAGE, Complaint


def run(given: argparse.Namespace) -> int:
    agreed(given, chosen_things(given, chosen(given)))
    return ask_and_draw(given)


def agreed(given: argparse.Namespace, things: Sequence[str], groups: Sequence[str] = ()) -> None:
    """Raises Complaint where more than one gateway would be written to and `--yes` is not there."""
    if (groups or len(things) > 1) and not given.yes:
        whom = f"group {groups[0]}" if groups else f"{len(things)} gateways"
        raise Complaint(f"this writes to {whom}; add --yes if that is meant", USAGE)
