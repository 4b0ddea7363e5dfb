"""`headgate gateways`: who is there, how they are and what they cost; `show` tells all of one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headgate_cloud.cli import times
from headgate_cloud.cli.cloud import chosen
from headgate_cloud.cli.errors import DONE, REFUSED, Complaint
from headgate_cloud.cli.gateways import GatewayRow, GatewayTable
from headgate_cloud.cli.output import Column, Output, ago, plain
from headgate_cloud.cli.session import now_ms

COLUMNS: Final = (
    Column("Gateway", whole=True),
    Column("State", whole=True),
    Column("Last seen", right=True),
    Column("Backlog", right=True),
    Column("This month", right=True),
    Column("Version"),
    Column("Nucleus"),
    Column("Configuration"),
    Column("Worst bridge"),
)
COLOURS: Final = {"online": "green", "silent": "red", "offline": "yellow"}
ORDER: Final = ("silent", "offline", "online")


def run(given: argparse.Namespace) -> int:
    """All of them, or those that --thing names; the troubled first."""
    table, out, now = GatewayTable(chosen(given)), Output(as_json=given.json), now_ms()
    named = {name for text in given.thing for name in text.split(",") if name}
    rows = sorted(
        (row for row in table.all() if not named or row.thing in named),
        key=lambda row: (ORDER.index(row.state(now)), row.thing),
    )
    if given.json:
        for row in rows:
            out.record(row.as_json(now))
        return DONE
    if not rows:
        out.say("[dim]no gateway has been heard[/]")
        return DONE
    out.table(COLUMNS, [_cells(row, now) for row in rows])
    states = [row.state(now) for row in rows]
    out.say("  ".join(f"{states.count(state)} {state}" for state in reversed(ORDER) if state in states))
    return DONE


def show(given: argparse.Namespace) -> int:
    """Everything that is known of one. Raises Complaint where there is none of that name."""
    row = GatewayTable(chosen(given)).one(given.name)
    if row is None:
        raise Complaint(f"{given.name} has not been heard", REFUSED)
    out, now = Output(as_json=given.json), now_ms()
    if given.json:
        out.record(row.as_json(now))
        return DONE
    state = row.state(now)
    out.say(
        f"[bold]{plain(row.thing)}[/]  [{COLOURS[state]}]{state}[/], last seen {ago(row.seen_ms, now)} ago"
    )
    if row.health:
        out.say(f"[dim]heartbeat {ago(row.health_ms, now)} ago[/]")
        lines = [[plain(name), plain(value)] for name, value in _flat(row.health)]
        out.table((Column("Health", whole=True), Column("")), lines)
    return DONE


def _cells(row: GatewayRow, now: int) -> list[str]:
    state, digest = row.state(now), row.get("config")
    envelopes, size_bytes = row.get("backlog", "envelopes"), row.get("backlog", "bytes")
    backlog = f"{envelopes} / {times.size(size_bytes)}" if type(envelopes) is type(size_bytes) is int else "-"
    usd, step = row.get("cost", "month_usd"), row.get("cost", "step")
    cost = f"{usd:.4f} USD" if isinstance(usd, int | float) else "-"
    cost += f" (step {step})" if step else ""
    return [
        plain(row.thing),
        f"[{COLOURS[state]}]{state}[/]",
        ago(row.seen_ms or None, now),
        plain(backlog),
        plain(cost),
        plain(row.get("versions", "headgate") or "-"),
        plain(row.get("versions", "nucleus") or "-"),
        plain(digest[:12] if isinstance(digest, str) else "-"),
        plain(row.worst_bridge() or "-"),
    ]


def _flat(found: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", "-" if value is None else value
