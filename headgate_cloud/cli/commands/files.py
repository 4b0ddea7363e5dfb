"""`headgate files`: what gateways have announced, or with --live what one has now."""

from __future__ import annotations

import argparse

from headgate_cloud.cli import times
from headgate_cloud.cli.cloud import chosen, chosen_things
from headgate_cloud.cli.commands import read
from headgate_cloud.cli.errors import DONE
from headgate_cloud.cli.output import Output, ago, plain
from headgate_cloud.cli.replies import FILE_COLUMNS
from headgate_cloud.cli.session import now_ms
from headgate_cloud.cli.tables import CloudTables, FileRow


def run(given: argparse.Namespace) -> int:
    if given.live:
        return read.run(given)
    cloud = chosen(given)
    tables = CloudTables(cloud)
    out = Output(as_json=given.json)
    for thing in chosen_things(given, cloud):
        found = sorted(tables.files(thing), key=lambda row: (row.source, row.path, row.mtime_ms))
        if given.json:
            for row in found:
                out.record(row.as_json())
            continue
        out.say(
            f"[bold]{plain(thing)}[/]" if found else f"[bold]{plain(thing)}[/]  [dim]no files announced[/]"
        )
        if found:
            out.table(FILE_COLUMNS, [_cells(row) for row in found])
    return DONE


def _cells(row: FileRow) -> list[str]:
    colour = {"complete": "green", "uploading": "yellow"}.get(row.state, "dim")
    return [
        plain(row.file_id),
        plain(f"{row.source}/{row.path}"),
        times.size(row.size_bytes),
        ago(row.mtime_ms, now_ms()),
        f"[{colour}]{plain(row.state)}[/]",
    ]
