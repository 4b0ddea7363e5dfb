"""`headgate files fetch`, `headgate fetches`: the queue of files that the cloud fetches when it suits."""

from __future__ import annotations

import argparse
from typing import Final

from headgate_cloud.cli import times
from headgate_cloud.cli.asking import file_named, things
from headgate_cloud.cli.cloud import Cloud, chosen, chosen_things
from headgate_cloud.cli.errors import DONE, REFUSED, Complaint
from headgate_cloud.cli.output import Column, Output, ago, plain
from headgate_cloud.cli.session import now_ms
from headgate_cloud.cli.tables import CloudTables
from headgate_cloud.fetchtable import OPEN, Fetch, FetchTable

COLOURS: Final = {"done": "green", "started": "yellow", "failed": "red"}
COLUMNS: Final = (
    *(Column("Gateway"), Column("File", whole=True), Column("Priority", right=True), Column("State")),
    *(Column("Tries", right=True), Column("Asked", right=True), Column("By"), Column("Why")),
)


def want(given: argparse.Namespace) -> int:
    """Into the queue; the cloud asks the gateway within a minute where a slot is free."""
    cloud = chosen(given)
    table, out = _table(cloud), Output(as_json=given.json)
    (thing,) = things([given.gateway])
    for word in given.file:
        file_id = _file_id(cloud, thing, word)
        queued = table.renew(thing, file_id, given.priority, by="operator", now_ms=now_ms())
        if given.json:
            out.record({"thing": thing, "file_id": file_id, "queued": queued})
        else:
            out.say(f"{plain(thing)} {file_id}  {'queued' if queued else 'is being fetched already'}")
    return DONE


def list_(given: argparse.Namespace) -> int:
    """What waits and runs, of all gateways in the order of the queue; of those named, what has ended too."""
    cloud = chosen(given)
    table, out = _table(cloud), Output(as_json=given.json)
    named = chosen_things(given, cloud) if given.thing else []
    if named:
        found = [fetch for thing in named for fetch in table.all(thing)]
    else:
        found = [fetch for state in OPEN for fetch in table.queue(state)]
    if given.json:
        for fetch in found:
            out.record(_record(fetch))
    elif not found:
        out.say("[dim]nothing is wanted[/]")
    else:
        out.table(COLUMNS, [_cells(fetch) for fetch in found])
    return DONE


def cancel(given: argparse.Namespace) -> int:
    """An upload under way goes on at the gateway; the queue forgets it."""
    cloud = chosen(given)
    (thing,) = things([given.gateway])
    file_id = _file_id(cloud, thing, given.file)
    if not _table(cloud).end(thing, file_id, "cancelled", "by an operator", now_ms()):
        raise Complaint(f"{file_id} of {thing} neither waits nor runs", REFUSED)
    Output(as_json=given.json).note(f"headgate: {file_id} of {thing} is cancelled")
    return DONE


def _table(cloud: Cloud) -> FetchTable:
    return FetchTable(cloud.client("dynamodb"), cloud.table("Fetches"))


def _file_id(cloud: Cloud, thing: str, word: str) -> str:
    """Of SOURCE/PATH the newest that was announced; raises Complaint, or ValueError."""
    named = file_named(word)
    if "file_id" in named:
        return named["file_id"]
    rows = [
        row
        for row in CloudTables(cloud).files(thing)
        if (row.source, row.path) == (named["source"], named["path"])
    ]
    if not rows:
        raise Complaint(f"{thing} has announced no file {word}; see headgate files --thing {thing}", REFUSED)
    return max(rows, key=lambda row: row.mtime_ms).file_id


def _record(fetch: Fetch) -> dict[str, object]:
    names = (
        "thing",
        "file_id",
        "state",
        "priority",
        "tries",
        "asked_ms",
        "started_ms",
        "next_ms",
        "by",
        "why",
    )
    return {name: getattr(fetch, name) for name in names}


def _cells(fetch: Fetch) -> list[str]:
    now = now_ms()
    why = plain(fetch.why)
    if fetch.state == "waiting" and fetch.next_ms > now:
        why += f"; again in {times.age(fetch.next_ms - now)}"
    return [
        plain(fetch.thing),
        plain(fetch.file_id),
        str(fetch.priority),
        f"[{COLOURS.get(fetch.state, 'dim')}]{plain(fetch.state)}[/]",
        str(fetch.tries),
        ago(fetch.asked_ms, now),
        plain(fetch.by),
        why,
    ]
