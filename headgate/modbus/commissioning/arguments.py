"""The words of the command line, and what they mean: transports, units, timing."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headgate.commands.exits import Parser, Usage
from headgate.config.reader import Problems, Section
from headgate.modbus.commissioning.asker import Timing
from headgate.modbus.commissioning.ranges import TableSpan, read_range, read_units
from headgate.modbus.commissioning.tagspec import GRAMMAR
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Transport, read_transport

NETWORK_KINDS = ("tcp", "udp", "rtu_over_tcp", "tls")
TRANSPORT_KEYS = ("serial", *NETWORK_KINDS)
SCAN_TIMEOUT_S = 0.3
"""Of a probe: a device answers within some ten ms, and a scan mostly waits for those that are not there."""
TIMEOUT_S = 1.0


def parser() -> Parser:
    """All commands."""
    top = Parser(
        prog="python -m headgate.modbus",
        description="Find, identify, read and dump Modbus devices. Nothing is ever written to a device.",
        epilog="More, with what it prints: docs/commissioning.md",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="scan|read|identify|dump")
    _scan(commands.add_parser("scan", help="find units on a serial bus or behind a host"))
    _read(commands.add_parser("read", help="read a profile's tags, or single registers"))
    identify = commands.add_parser("identify", help="ask a unit what it is (FC 43/14, FC 17, SunSpec marker)")
    _common(identify)
    _unit(identify)
    _dump(commands.add_parser("dump", help="dump a unit's registers to a redacted fixture file"))
    return top


def _common(command: argparse.ArgumentParser, *, scan: bool = False) -> None:
    where = command.add_argument_group("where (one of them)").add_mutually_exclusive_group(required=True)
    where.add_argument("--serial", metavar="PATH", help="serial port, such as /dev/serial/by-id/usb-...")
    where.add_argument("--tcp", metavar="HOST[:PORT]", help="Modbus TCP")
    where.add_argument("--udp", metavar="HOST[:PORT]", help="Modbus TCP frames in datagrams")
    where.add_argument("--rtu-over-tcp", metavar="HOST[:PORT]", help="RTU frames through a serial server")
    where.add_argument("--tls", metavar="HOST[:PORT]", help="Modbus Security; with --ca, --cert and --key")
    line = command.add_argument_group("serial lines")
    several = ", or several: 9600,19200" if scan else ""
    line.add_argument("--baud", default="19200", metavar="N", help=f"baud rate (default 19200){several}")
    several = ", or several: N,E" if scan else ""
    line.add_argument("--parity", default=None, metavar="N|E|O", help=f"default N, for ASCII E{several}")
    line.add_argument("--stopbits", type=int, default=1, metavar="N", help="1 or 2 (default 1)")
    line.add_argument("--ascii", action="store_true", help="Modbus ASCII instead of RTU")
    line.add_argument("--bytesize", type=int, default=7, metavar="N", help="data bits of ASCII (default 7)")
    tls = command.add_argument_group("TLS (absolute paths of PEM files)")
    for key in ("ca", "cert", "key", "server-name"):
        tls.add_argument(f"--{key}", metavar="NAME" if key == "server-name" else "FILE")
    timing = command.add_argument_group("timing")
    default_s = SCAN_TIMEOUT_S if scan else TIMEOUT_S
    timing.add_argument(
        "--timeout",
        type=_seconds,
        default=default_s,
        metavar="S",
        help=f"of a reply (default {default_s:g} s)",
    )
    timing.add_argument(
        "--connect-timeout", type=_seconds, default=3.0, metavar="S", help="of a connection (default 3 s)"
    )
    timing.add_argument(
        "--retries", type=int, default=0 if scan else 1, choices=range(11), metavar="N", help="0 to 10"
    )
    timing.add_argument("--pause", type=_pause, default=0.0, metavar="S", help="between requests, up to 10 s")
    command.add_argument("--json", action="store_true", help="JSON on standard output")


def _unit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--unit", type=int, default=1, metavar="N", help="unit id (default 1)")


def _scan(command: argparse.ArgumentParser) -> None:
    _common(command, scan=True)
    command.add_argument("--units", metavar="LIST", help="default 1-247, on a network 1-247,255")
    command.add_argument(
        "--probe", action="append", type=_range, metavar="TABLE:ADDRESS", help="what is read (holding:0)"
    )
    command.add_argument("--profiles", metavar="A,B", help="which profiles to try (default all; none: '')")


def _read(command: argparse.ArgumentParser) -> None:
    _common(command)
    _unit(command)
    command.add_argument("tags", nargs="*", metavar="TAG", help=GRAMMAR)
    command.add_argument("--tag", action="append", default=[], metavar="TAG", help="another way to give one")
    command.add_argument("--profile", metavar="NAME", help="read this profile's tags")
    command.add_argument("--all-orders", action="store_true", help="values in every byte and word order")
    command.add_argument("--watch", type=_seconds, metavar="S", help="again and again, every S seconds")
    command.add_argument("--times", type=int, metavar="N", help="with --watch: stop after N readings")


def _dump(command: argparse.ArgumentParser) -> None:
    _common(command)
    _unit(command)
    command.add_argument(
        "--range",
        action="append",
        type=_range,
        metavar="TABLE:FIRST-LAST",
        help="what to dump; may be repeated",
    )
    command.add_argument("--profile", metavar="NAME", help="dump where this profile's tags lie")
    command.add_argument(
        "--redact", action="append", default=[], type=_range, metavar="TABLE:FIRST-LAST", help="zeros instead"
    )
    command.add_argument("--keep-texts", action="store_true", help="do not cross out texts that are found")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help=".yaml or .json (default: stdout)")
    command.add_argument("--force", action="store_true", help="replace FILE")


def transports(options: argparse.Namespace) -> list[Transport]:
    """The transports that are meant: several where several baud rates or parities are. Usage: none can be."""
    kind = next(key for key in TRANSPORT_KEYS if getattr(options, key))
    if kind != "serial":
        return [_network(kind, str(getattr(options, kind)), options)]
    found: list[Transport] = []
    for baud in options.baud.split(","):
        for parity in (options.parity or ("E" if options.ascii else "N")).upper().split(","):
            row: dict[str, Any] = {
                "kind": "ascii" if options.ascii else "rtu",
                "path": options.serial,
                "baudrate": baud,
                "parity": parity,
                "stopbits": options.stopbits,
            }
            if options.ascii:
                row["bytesize"] = options.bytesize
            found.append(_transport(row))
    return found


def one_transport(options: argparse.Namespace) -> Transport:
    """The transport of a command that works on one."""
    found = transports(options)
    if len(found) > 1:
        raise Usage("give one baud rate and one parity here; scan tries several")
    return found[0]


def timing(options: argparse.Namespace) -> Timing:
    """Time-outs and retries."""
    return Timing(options.connect_timeout, options.timeout, options.retries, options.pause)


def units(options: argparse.Namespace) -> list[int]:
    """The units to scan."""
    serial = bool(options.serial or options.rtu_over_tcp)
    try:
        return read_units(options.units or ("1-247" if serial else "1-247,255"), serial=serial)
    except ValueError as error:
        raise Usage(str(error)) from error


def unit(options: argparse.Namespace, transport: Transport) -> int:
    """The one unit that is meant."""
    low = 1 if isinstance(transport, Rtu | Ascii | RtuOverTcp) else 0
    number: int = options.unit
    if not low <= number <= 255:
        raise Usage(f"--unit {number} is out of range: unit ids are {low} to 255 here")
    return number


def _network(kind: str, target: str, options: argparse.Namespace) -> Transport:
    match = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?", target)
    if not match:
        raise Usage(f"--{kind.replace('_', '-')} {target}: give HOST or HOST:PORT, IPv6 as [ADDRESS]:PORT")
    row: dict[str, Any] = {"kind": kind, "host": match["v6"] or match["host"]}
    if match["port"]:
        row["port"] = match["port"]
    if kind == "tls":
        files = {
            "ca": options.ca,
            "cert": options.cert,
            "key": options.key,
            "server_name": options.server_name,
        }
        row |= {key: value for key, value in files.items() if value}
    return _transport(row)


def _transport(row: dict[str, Any]) -> Transport:
    problems = Problems("transport")
    found = read_transport(Section(row, "", problems))
    if problems.found:
        raise Usage("; ".join(f"--{problem}" for problem in problems.found).replace("baudrate", "baud"))
    return found


def _range(text: str) -> TableSpan:
    try:
        return read_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    return _number(text, 0.01, 3600)


def _pause(text: str) -> float:
    return _number(text, 0, 10)


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from {low:g} to {high:g}")
    return value


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was typed. SystemExit: help, or EX_USAGE."""
    return parser().parse_args(sys.argv[1:] if arguments is None else arguments)
