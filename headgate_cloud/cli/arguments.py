"""The words of the command line. Commands are named, not imported: `--help` needs nothing but this."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from headgate_cloud.cli.times import duration_s

DESCRIPTION: Final = "Ask gateways: readings, history, files, jobs; write what may be written."
EPILOG: Final = """\
examples:
  headgate --sim read meter-a/voltage_l1            newest simulated cloud, its only gateway
  headgate --thing gw-7 query meter-a/voltage_l1 --from -10m
  headgate --thing gw-7 write boiler/setpoint=21.5
  headgate --thing gw-7 scan ble
  headgate gateways                              who is there, how they are, what they cost
  headgate --thing gw-7 files
  headgate --thing gw-7 fetch logs/2026-01-31.log -o today.log
  headgate jobs create read meter-a/voltage_l1 --group site-berlin --wait

exit codes: 0 done; 1 refused or failed; 2 wrong words; 3 no answer in time; 4 cloud not reachable;
5 a file arrived damaged"""

Parser = argparse.ArgumentParser


def build() -> Parser:
    """Commands set `run` to `module:function` and, where they ask a gateway, `ask` to a name in asking."""
    parser = Parser(
        prog="headgate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _shared(parser, top=True)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help_: str, run: str, words: Callable[[Parser], None]) -> None:
        made = commands.add_parser(name, help=help_, description=help_)
        _shared(made)
        words(made)
        made.set_defaults(run=run)

    command("read", "read series, registers or characteristics now", "read:run", _read)
    command("write", "write values, where the gateway's site document allows it", "write:run", _write)
    command("query", "history that the gateway keeps", "query:run", _query)
    command("archive", "samples or windows that the cloud stored", "archive:run", _archive)
    command("list", "what a gateway has: devices, series, files, or what it used", "listing:run", _listing)
    _scans(commands.add_parser("scan", help="what is in the air, or on a Modbus line"))
    command("files", "the files gateways have announced", "files:run", _files)
    command("fetch", "have a file uploaded, and download it", "fetch:run", _fetch)
    _fetches(commands.add_parser("fetches", help="the queue of files that the cloud fetches when it suits"))
    command("mute", "gateways that may be silent: they raise no alarm", "mute:run", _mute)
    _gateways(commands.add_parser("gateways", help="every gateway: last seen, backlog, cost, versions"))
    _jobs(commands.add_parser("jobs", help="durable requests, to one gateway or a fleet"))
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    return build().parse_args(joined(argv))


def joined(argv: Sequence[str]) -> list[str]:
    """Two things that argparse cannot tell: whether the word after `--sim` is a run's directory (it is, if it
    is a directory), and that the `-5m` after `--from` is no option."""
    found: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        after = words[0] if words else ""
        if word == "--sim":
            word = f"--sim={words.pop(0)}" if after and Path(after).is_dir() else "--sim="
        elif word in ("--from", "--to") and after[:1] == "-" and after[1:2].isdigit():
            word = f"{word}={words.pop(0)}"
        found.append(word)
    return found


def _shared(parser: Parser, *, top: bool = False) -> None:
    """Options that may stand before the command or after it; the one nearer to the end wins."""

    def option(*names: str, default: object = None, **rest: object) -> None:
        chosen = default if top else argparse.SUPPRESS
        group.add_argument(*names, default=chosen, **rest)  # type: ignore[arg-type]  # argparse's own types

    group = parser.add_argument_group("where and how")
    option(
        "--sim",
        metavar="RUN_DIR",
        help="a simulated cloud: --sim alone takes the newest under .run/, --sim DIR that run",
    )
    option("--profile", metavar="NAME", help="AWS profile (default: as the AWS CLI chooses)")
    option("--region", metavar="NAME", help="AWS region (default: the profile's)")
    option("--stack", metavar="NAME", help="CloudFormation stack that holds the tables (default: headgate)")
    group.add_argument(
        "--thing",
        metavar="NAME",
        action="append",
        default=[] if top else argparse.SUPPRESS,
        dest="thing" if top else "thing_after",
        help="gateway to ask; again, or a,b, for several (default: $HEADGATE_THING)",
    )
    option("--timeout", metavar="TIME", type=_duration, help="how long to wait, such as 10s or 1h")
    option("--json", action="store_true", default=False, help="one JSON object per line on standard output")


def _duration(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _read(parser: Parser) -> None:
    parser.set_defaults(ask="read")
    parser.add_argument("series", nargs="*", metavar="DEVICE/TAG")
    parser.add_argument(
        "--register",
        action="append",
        default=[],
        metavar="DEVICE:TABLE:ADDRESS[:COUNT]",
        help="raw registers; TABLE is holding, input, coil or discrete",
    )
    parser.add_argument(
        "--characteristic", action="append", default=[], metavar="DEVICE:UUID", help="a BLE characteristic"
    )


def _write(parser: Parser) -> None:
    parser.set_defaults(ask="write")
    parser.add_argument(
        "values",
        nargs="+",
        metavar="DEVICE/TAG=VALUE",
        help="a number, true or false, or a text (in quotes where it looks like a number: 'm/t=\"7\"')",
    )
    parser.add_argument("--yes", action="store_true", help="needed where more than one gateway is written to")


def _query_words(parser: Parser) -> None:
    parser.set_defaults(ask="query")
    parser.add_argument("series", nargs="+", metavar="DEVICE/TAG")
    parser.add_argument("--from", dest="start", default="-5m", metavar="TIME", help="default -5m")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="exclusive; default now")
    parser.add_argument("--limit", type=int, metavar="N", help="no more than N samples")
    parser.add_argument("--newest-first", action="store_true", help="the last N, newest first")


def _query(parser: Parser) -> None:
    _query_words(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--rows", action="store_true", help="every sample, not a summary")
    shape.add_argument("--csv", action="store_true", help="every sample as CSV on standard output")


def _archive(parser: Parser) -> None:
    parser.add_argument("gateway", metavar="THING")
    parser.add_argument("--from", dest="start", default="-1h", metavar="TIME", help="default -1h")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="exclusive; default now")
    parser.add_argument(
        "--series", action="append", metavar="PATTERN", help="such as 'meter-*/voltage_?'; again for more"
    )
    parser.add_argument("--windows", action="store_true", help="windows, not samples")
    parser.add_argument(
        "--late",
        type=_duration,
        default=7 * 86_400.0,
        metavar="TIME",
        help="how long after --to it may have come, such as after an outage (default 7d)",
    )
    parser.add_argument("--csv", action="store_true", help="every row as CSV on standard output")


def _listing(parser: Parser) -> None:
    parser.set_defaults(ask="listing")
    parser.add_argument("what", choices=("devices", "series", "files", "usage"))


def _scans(parser: Parser) -> None:
    kinds = parser.add_subparsers(metavar="WHERE", required=True)
    for source, help_, words in (
        ("ble", "every device that the gateway hears, decoded where it is known", _scan_ble),
        ("modbus", "the units that answer on the line of a configured device", _scan_modbus),
    ):
        made = kinds.add_parser(source, help=help_, description=help_)
        _shared(made)
        words(made)
        made.set_defaults(run="scan:run")


def _scan_ble(parser: Parser) -> None:
    parser.set_defaults(ask="scan", source="ble")
    parser.add_argument(
        "--seconds", type=_between(1, 60), metavar="N", help="how long to listen (default 10)"
    )
    parser.add_argument("--adapter", metavar="hciN", help="default: the first that is in use")


def _scan_modbus(parser: Parser) -> None:
    parser.set_defaults(ask="scan", source="modbus")
    parser.add_argument("device", metavar="DEVICE", help="a configured device: its line is scanned")
    parser.add_argument("--first", type=_unit, metavar="N", help="unit id (default 1)")
    parser.add_argument("--last", type=_unit, metavar="N", help="unit id, up to 247 (default 32)")
    parser.add_argument(
        "--seconds", type=_between(1, 600), metavar="N", help="end then, whatever is left (default 60)"
    )
    parser.add_argument(
        "--reply-timeout",
        dest="timeout_s",
        type=_between(0.05, 2),
        metavar="S",
        help="how long each unit is waited for (default 0.3)",
    )


def _between(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {low:g} to {high:g}")
        return value

    return read


def _unit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 247:
        raise argparse.ArgumentTypeError(f"{text!r} is no unit id; 1 to 247 are")
    return int(text)


def _files(parser: Parser) -> None:
    parser.add_argument("--live", action="store_true", help="ask the gateway itself, not the Files table")
    parser.set_defaults(ask="listing", what="files")
    commands = parser.add_subparsers(metavar="fetch", required=False)
    fetch = commands.add_parser("fetch", help="put announced files into the queue of fetches")
    _shared(fetch)
    fetch.add_argument("gateway", metavar="THING")
    fetch.add_argument("file", nargs="+", metavar="FILE", help="a file's id, or SOURCE/PATH")
    fetch.add_argument(
        "--priority", type=int, choices=range(10), default=5, metavar="0..9", help="9 goes first; default 5"
    )
    fetch.set_defaults(run="fetches:want")


def _fetches(parser: Parser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listed = commands.add_parser(
        "list", help="what waits and runs; with --thing that gateway's, ended ones too"
    )
    _shared(listed)
    listed.set_defaults(run="fetches:list_")
    cancel = commands.add_parser("cancel", help="take a file out of the queue")
    _shared(cancel)
    cancel.add_argument("gateway", metavar="THING")
    cancel.add_argument("file", metavar="FILE", help="a file's id, or SOURCE/PATH")
    cancel.set_defaults(run="fetches:cancel")


def _mute(parser: Parser) -> None:
    parser.add_argument("gateway", nargs="+", metavar="THING")
    parser.add_argument("--off", action="store_true", help="watch them again")


def _fetch_words(parser: Parser) -> None:
    parser.set_defaults(ask="fetch")
    parser.add_argument("file", metavar="FILE", help="a file's id, or SOURCE/PATH")


def _fetch(parser: Parser) -> None:
    _fetch_words(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="file or folder to write to")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _gateways(parser: Parser) -> None:
    _shared(parser)
    parser.set_defaults(run="gateways:run")
    one = parser.add_subparsers(metavar="COMMAND").add_parser("show", help="all that is known of one")
    _shared(one)
    one.add_argument("name", metavar="THING")
    one.set_defaults(run="gateways:show")


def _jobs(parser: Parser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    create = commands.add_parser("create", help="ask by job: durable, for one or many")
    ops = create.add_subparsers(metavar="WHAT", required=True)
    for name, words in (
        ("read", _read),
        ("write", _write),
        ("query", _query_words),
        ("list", _listing),
        ("fetch", _fetch_words),
    ):
        _job_words(ops.add_parser(name), words)
    scans = ops.add_parser("scan").add_subparsers(metavar="WHERE", required=True)
    _job_words(scans.add_parser("ble"), _scan_ble)
    _job_words(scans.add_parser("modbus"), _scan_modbus)
    listed = commands.add_parser("list", help="the newest jobs")
    _shared(listed)
    listed.add_argument("--status", choices=("IN_PROGRESS", "COMPLETED", "CANCELED"))
    listed.add_argument("--limit", type=int, default=20, metavar="N", help="default 20")
    listed.set_defaults(run="jobs:list_")
    for name, help_ in (("show", "one job, its gateways and their replies"), ("cancel", "take a job back")):
        one = commands.add_parser(name, help=help_)
        _shared(one)
        one.add_argument("id", metavar="ID")
        one.set_defaults(run=f"jobs:{name}")
        if name == "cancel":
            one.add_argument("--force", action="store_true", help="also where it is in progress")


def _job_words(op: Parser, words: Callable[[Parser], None]) -> None:
    _shared(op)
    words(op)
    op.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="thing group; again for more"
    )
    op.add_argument("--id", metavar="ID", help="the job's id (default: one is made)")
    op.add_argument("--deadline", type=_duration, default=86_400.0, metavar="TIME", help="default 1d")
    op.add_argument("--wait", action="store_true", help="until every gateway is done, or --timeout (10m)")
    op.set_defaults(run="jobs:create")
