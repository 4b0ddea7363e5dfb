"""`headgate fetch`: have a file uploaded, watch it, download it, check it."""

from __future__ import annotations

import argparse
import time
from pathlib import Path, PurePosixPath

from headgate_cloud.cli import times
from headgate_cloud.cli.asking import file_named
from headgate_cloud.cli.cloud import Cloud, chosen, chosen_things
from headgate_cloud.cli.download import Download
from headgate_cloud.cli.errors import DONE, USAGE, Complaint
from headgate_cloud.cli.output import Output
from headgate_cloud.cli.tables import COMPLETE, CloudTables, FileRow
from headgate_cloud.cli.uploads import Uploads

TIMEOUT_S = 3600.0


def run(given: argparse.Namespace) -> int:
    named = file_named(given.file)
    cloud = chosen(given)
    things = chosen_things(given, cloud)
    if len(things) != 1:
        raise Complaint("fetch takes one gateway; headgate jobs create fetch asks many to upload", USAGE)
    if given.output is not None and not given.output.is_dir():
        _check_free(given.output, force=given.force)  # before anything is sent
    out = Output(as_json=given.json)
    begun = time.monotonic()
    row = _uploaded(cloud, things[0], named, given.timeout or TIMEOUT_S, out)
    path = target(given.output, row.path)
    _check_free(path, force=given.force)
    with out.bar(f"downloading {row.path}", row.size_bytes) as bar:
        Download(cloud.client("s3"), cloud.bucket(), bar).to(row, path)
    seconds = time.monotonic() - begun
    if given.json:
        out.record({**row.as_json(), "local_path": str(path), "seconds": round(seconds, 3)})
    else:
        out.note(f"{path}: {times.size(row.size_bytes)} in {seconds:.1f} s, checksum right ({row.sha256})")
    return DONE


def target(output: Path | None, sent_as: str) -> Path:
    """Where to write; of the gateway's path only the last name counts."""
    name = PurePosixPath(sent_as).name
    if output is not None and not output.is_dir():
        return output
    if name in ("", ".", ".."):
        raise Complaint(f"{sent_as!r} has no name to write to; give one with -o", USAGE)
    return (output or Path()) / name


def _uploaded(cloud: Cloud, thing: str, named: dict[str, str], timeout_s: float, out: Output) -> FileRow:
    """What the cloud already holds is not sent again."""
    tables = CloudTables(cloud)
    if "file_id" in named:
        row = tables.file(thing, named["file_id"])
        if row is not None and row.state == COMPLETE:
            return row
    uploads = Uploads(cloud, tables)
    with cloud.link() as link:
        file_id = uploads.start(link, thing, named)
    with out.bar(f"{thing} uploads", None) as bar:
        return uploads.complete(thing, file_id, timeout_s, bar)


def _check_free(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise Complaint(f"{path} exists; --force writes over it", USAGE)
    if not path.parent.is_dir():
        raise Complaint(f"there is no folder {path.parent}", USAGE)
