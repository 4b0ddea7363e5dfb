"""`python -m headgate.store info|query|export|verify ROOT`: looks into a copy of a gateway's state root."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import difflib
import json
import logging
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from headgate.config.accepted import read_accepted
from headgate.config.site import load_document, parse_sections
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject
from headgate.model import Series
from headgate.store.arrays import Line
from headgate.store.config import StoreConfig, parse
from headgate.store.copy import Copy
from headgate.store.day_file import DAY_MS, day_path, open_day
from headgate.store.downsample import Bucket, downsampled
from headgate.store.export import CsvWriter, JsonWriter, Writer, iso, write
from headgate.store.progress_line import ProgressLine
from headgate.store.segments import numbers_in, path_of
from headgate.store.usage import Usage
from headgate.store.verify import size_bytes, verify
from headgate.store.windows_file import files_in

_STEP = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_END_MS = 1 << 52
OK, PROBLEMS, REFUSED = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, 1 where `verify` found something, 2 where nothing could be done."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    asked = _parser().parse_args(argv)
    root = StateRoot(asked.root)
    try:
        if asked.what == "info":
            return _info(Copy(root), as_json=asked.json)
        if asked.what == "verify":
            return _verify(root)
        return _samples(Copy(root), asked)
    except (Reject, Fatal, OSError) as error:
        print(f"headgate.store: {error}", file=sys.stderr)
        return REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m headgate.store", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    info = commands.add_parser("info", help="what is in it: days, samples, what is unsealed and unsent")
    info.add_argument("--json", action="store_true")
    query = commands.add_parser("query", help="samples of some series")
    export = commands.add_parser("export", help="all samples, or those of some series, to a file")
    check = commands.add_parser("verify", help="read everything; 1 when something is damaged")
    for command in (info, query, export, check):
        command.add_argument("root", type=Path, metavar="ROOT", help="a copy of the state root")
    query.add_argument("series", nargs="+", help="device/tag, or a pattern such as 'meter-*/volts'")
    query.add_argument("--last", action="store_true", help="the newest sample of each alone")
    export.add_argument("series", nargs="*", default=["*"], help="as for query; all unless given")
    export.add_argument("-o", "--output", type=Path, help="a file; standard output unless given")
    for command in (query, export):
        command.add_argument("--from", dest="from_ms", type=_time, default=0, help="UTC: ISO 8601 or ms")
        command.add_argument("--to", dest="to_ms", type=_time, default=_END_MS, help="as --from, exclusive")
        command.add_argument("--step", type=_step, help="buckets of that length, such as 1m or 500ms")
        command.add_argument("--newest-first", action="store_true")
        command.add_argument("--format", choices=["csv", "json"], default="csv")
    return parser


def _samples(copy: Copy, asked: argparse.Namespace) -> int:
    series = copy.series(asked.series)
    if not series:
        known = sorted({one.name for one in copy.series()})
        close = difflib.get_close_matches(asked.series[0], known, 1)
        hint = f"; did you mean {close[0]}?" if close else f"; it has {len(known)} series"
        raise Reject(f"no series {' '.join(asked.series)} in {copy.root.path}{hint}")
    output: Path | None = getattr(asked, "output", None)
    with _opened(output) as out:
        if getattr(asked, "last", False):
            found: Iterable[Line] | Iterable[tuple[Series, list[Bucket]]] = copy.newest(series)
        else:
            found = _found(copy, series, asked)
        writer: Writer
        if asked.format == "json":
            writer = JsonWriter(out)
        else:
            writer = CsvWriter(out, of_buckets=asked.step is not None)
        count = write(writer, found)
    if output is not None:
        print(f"{count} {'buckets' if asked.step else 'samples'} of {len(series)} series in {output}")
    return OK


def _found(
    copy: Copy, series: Sequence[Series], asked: argparse.Namespace
) -> Iterable[Line] | Iterable[tuple[Series, list[Bucket]]]:
    names = {one.name for one in series}
    _say_shed(copy, asked)
    if asked.step is not None and copy.shed_days(asked.from_ms, asked.to_ms):
        return copy.buckets(names, asked.from_ms, asked.to_ms, asked.step, newest_first=asked.newest_first)
    lines = copy.lines(names, asked.from_ms, asked.to_ms, newest_first=asked.newest_first)
    told = _told(lines, copy.count(names, asked.from_ms, asked.to_ms))
    return told if asked.step is None else downsampled(told, asked.step, newest_first=asked.newest_first)


def _say_shed(copy: Copy, asked: argparse.Namespace) -> None:
    days = copy.shed_days(asked.from_ms, asked.to_ms)
    if days:
        what = (
            "are put together from windows" if asked.step else "are missing here: --step 1m has their windows"
        )
        first, last = (iso(day * DAY_MS)[:10] for day in (days[0], days[-1]))
        print(
            f"raw samples of {len(days)} days from {first} to {last} were shed; they {what}", file=sys.stderr
        )


def _told(lines: Iterator[Line], total: int) -> Iterator[Line]:
    """The lines, with a word on how far it is."""
    with ProgressLine("reading", total) as progress:
        for line in lines:
            yield line
            progress.tick(len(line), line.series.name)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


def _info(copy: Copy, *, as_json: bool) -> int:
    days = []
    for day in copy.days:
        path = day_path(copy.root.blocks, day)
        with open_day(path) as reader:
            blocks, samples, first_ms, last_ms = reader.totals()
            days.append(
                {
                    "file": path.name, "version": reader.version, "bytes": path.stat().st_size,
                    "series": len(reader.series()), "blocks": blocks, "samples": samples,
                    "first": None if first_ms is None else iso(first_ms),
                    "last": None if last_ms is None else iso(last_ms),
                }
            )  # fmt: skip
    journal = [path_of(copy.root.journal, number) for number in numbers_in(copy.root.journal)]
    use = Usage(copy.root.path).measure(0)
    windows = [
        {"file": path.name, "bytes": path.stat().st_size}
        for paths in files_in(copy.root.windows).values()
        for path in paths
    ]
    found = {
        "root": str(copy.root.path),
        "days": days,
        "windows": windows,
        "cap_bytes": _limits(copy.root).cap_bytes(copy.root.path),
        "use_bytes": {"all": sum(use.values())} | {name: size for name, size in use.items() if size},
        "oldest_raw": days[0]["first"] if days else None,
        "oldest_windows": windows[0]["file"] if windows else None,
        "journal": {"segments": len(journal), "bytes": sum(path.stat().st_size for path in journal)},
        "unsealed_samples": copy.unsealed,
        "envelopes_waiting": copy.kept.envelopes,
        "envelope_bytes": copy.kept.envelope_bytes,
    }
    print(json.dumps(found, indent=2) if as_json else _as_text(found, days))
    return OK


def _limits(root: StateRoot) -> StoreConfig:
    """The section `store` in force; where none was accepted, what holds without one on this disk."""
    accepted = read_accepted(root)
    if accepted is None:
        return StoreConfig()
    source = str(root.config / accepted.digest)
    document = load_document(accepted.text, source)
    found: StoreConfig = parse_sections(document, source, {"store": parse}, whole=False)["store"]
    return found


def _as_text(found: dict[str, object], days: Collection[dict[str, object]]) -> str:
    head = f"{'day file':<14}{'bytes':>12}{'series':>8}{'blocks':>8}{'samples':>12}"
    text = [head + "  B/sample  first .. last"]
    for day in days:
        size, samples = day["bytes"], day["samples"]
        assert isinstance(size, int)
        assert isinstance(samples, int)
        each = f"{size / samples:10.2f}" if samples else " " * 10
        text.append(
            f"{day['file']:<14}{size:>12,}{day['series']:>8}{day['blocks']:>8}{samples:>12,}{each}  "
            f"{day['first']} .. {day['last']}"
        )
    rest = {name: value for name, value in found.items() if name not in ("days", "root", "windows")}
    windows = found["windows"]
    assert isinstance(windows, list)
    text += [f"{one['file']:<14}{one['bytes']:>12,}  windows, the raw samples were shed" for one in windows]
    text += [f"{name.replace('_', ' ')}: {value}" for name, value in rest.items()]
    return "\n".join(text)


def _verify(root: StateRoot) -> int:
    if not (root.blocks.is_dir() or root.journal.is_dir()):
        raise Reject(f"{root.path} is no state root: it has neither blocks/ nor journal/")
    with ProgressLine("verify", size_bytes(root)) as progress:
        problems = list(verify(root, progress.tick))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "everything can be read")
    return PROBLEMS if problems else OK


def _time(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        stamp = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither ISO 8601 nor milliseconds") from None
    utc = stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.UTC)
    return round(utc.timestamp() * 1_000)


def _step(text: str) -> int:
    match = _STEP.fullmatch(text)
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no length such as 500ms, 10s, 1m, 1h or 1d")
    return int(match[1]) * _UNITS_MS[match[2]]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
