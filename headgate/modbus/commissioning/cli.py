"""Runs one command: parses, asks, prints, and turns what went wrong into a line and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from headgate.clock import Clock, SystemClock
from headgate.commands.exits import INTERRUPTED, OK, UNAVAILABLE, Usage
from headgate.commands.screen import Screen
from headgate.errors import HeadgateError, Retry
from headgate.modbus import profiles
from headgate.modbus.client import ExceptionReply
from headgate.modbus.commissioning import arguments, report
from headgate.modbus.commissioning.asker import Asker
from headgate.modbus.commissioning.dump import DEFAULT_RANGES, dump, ranges_of, redaction_for
from headgate.modbus.commissioning.failures import CannotCreate, explained
from headgate.modbus.commissioning.fixture import as_json, as_yaml
from headgate.modbus.commissioning.identity import identify
from headgate.modbus.commissioning.orders import in_all_orders
from headgate.modbus.commissioning.ranges import merged
from headgate.modbus.commissioning.reading import Limits, Reading, of_device, read_tags
from headgate.modbus.commissioning.scan import Outcome, Plan, described, one_device_for_all, scan
from headgate.modbus.commissioning.settings import settings
from headgate.modbus.commissioning.suggest import suggested_site
from headgate.modbus.commissioning.tagspec import read_specs
from headgate.modbus.commissioning.trial import device_of
from headgate.modbus.transports import Transport
from headgate.modbus.work import Ask

_SILENCE_HINT = (
    "check power, wiring (A and B), baud rate and parity, then try a longer --timeout or --probe input:0"
)
_MOST_NOISE = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = arguments.parse(argv)
    # pymodbus would report each odd frame on stderr; what matters of it is in our own words.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)
    screen = Screen(sys.stdout, sys.stderr, "headgate.modbus", as_json=options.json)
    transport: Transport | None = None
    try:
        targets = arguments.transports(options)
        transport = targets[0]
        return _COMMANDS[options.command](options, screen, SystemClock())
    except KeyboardInterrupt:
        screen.complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `... | head` is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (Usage, CannotCreate, HeadgateError) as error:
        text, code = explained(error, transport)
        screen.complain(text)
        return code
    finally:
        screen.clear()


def _scan(options: argparse.Namespace, screen: Screen, clock: Clock) -> int:
    wanted = None if options.profiles is None else [name for name in options.profiles.split(",") if name]
    for name in wanted or ():
        device_of(name)
    timing = arguments.timing(options)
    units = arguments.units(options)
    plan = Plan(
        arguments.transports(options),
        units,
        [Ask(each.table, each.span.address, 1) for each in options.probe or ()] or [Ask("holding", 0, 1)],
        profiles.names() if wanted is None else wanted,
        timing,
        replace(timing, timeout_s=max(timing.timeout_s, arguments.TIMEOUT_S), retries=max(1, timing.retries)),
    )
    outcome, interrupted = Outcome(), False
    try:
        asyncio.run(scan(plan, clock, outcome, screen.progress))
    except KeyboardInterrupt:
        interrupted = True
    _print_scan(outcome, units, screen)
    if interrupted:
        screen.complain("interrupted: this is what was found so far")
        return INTERRUPTED
    lost = dict(explained(error, transport) for transport, error in outcome.lost)
    for text in lost:
        screen.complain(text)
    if outcome.found:
        return OK
    if outcome.asked:
        screen.complain(f"{outcome.asked} units were asked and none answered: {_SILENCE_HINT}")
    return next(iter(lost.values()), UNAVAILABLE)


def _print_scan(outcome: Outcome, units: Sequence[int], screen: Screen) -> None:
    found = outcome.found
    for transport, unit, why in outcome.noise[:_MOST_NOISE]:
        screen.complain(f"unit {unit}, {described(transport)}: something was heard, but no good reply: {why}")
    if len(outcome.noise) > _MOST_NOISE:
        screen.complain(f"and so it was with {len(outcome.noise) - _MOST_NOISE} more (--json has them)")
    site = suggested_site(found)
    noise = [{"transport": settings(at), "unit": unit, "heard": why} for at, unit, why in outcome.noise]
    rows = [each.as_json() for each in found]
    screen.json(
        {"found": rows, "asked": outcome.asked, "any_unit": outcome.any_unit, "noise": noise, "site": site}
    )
    if not found:
        return
    screen.text(f"{found[0].transport}\n")
    screen.table(report.FOUND_HEAD, report.found_rows(found), right=(1,))
    if outcome.any_unit:
        screen.text(f"\nAll {outcome.asked} units answered alike: this is one device that takes any unit id.")
    elif one_device_for_all(found, units):
        screen.text("\nAll of them answered alike: this may be one device that takes any unit id.")
    screen.text(
        "\nPlausible is not proven: compare with the device's display. A site document to start from:\n"
    )
    screen.text(site.rstrip())


def _read(options: argparse.Namespace, screen: Screen, clock: Clock) -> int:
    transport = arguments.one_transport(options)
    unit = arguments.unit(options, transport)
    specs = read_specs([*options.tags, *options.tag])
    limits = Limits()
    if options.profile is not None:
        device = device_of(options.profile)
        specs, limits = [*of_device(device), *specs], Limits.of(device)
    if not specs:
        raise Usage("say what to read: --profile NAME, or tags such as holding:0:float32 (--help)")
    if options.times is not None and options.watch is None:
        raise Usage("--times goes with --watch")

    async def run() -> bool:
        good = False
        async with Asker(transport, arguments.timing(options), clock) as asker:
            times, due_ms = options.times, clock.boot_ms()
            while True:
                try:
                    readings = await read_tags(asker, unit, specs, limits)
                except Retry as error:
                    if not good:  # what never worked will not by waiting
                        raise
                    screen.complain(str(error))
                else:
                    good = good or any(not reading.error for reading in readings)
                    screen.over()
                    _print_readings(readings, clock.utc_ms(), screen, all_orders=options.all_orders)
                times = None if times is None else times - 1
                if options.watch is None or times == 0:
                    return good
                due_ms += round(options.watch * 1000)
                await clock.sleep_until(due_ms)

    return OK if asyncio.run(run()) else UNAVAILABLE


def _print_readings(readings: Sequence[Reading], t_ms: int, screen: Screen, *, all_orders: bool) -> None:
    screen.table(report.READ_HEAD, report.reading_rows(readings), right=(1,))
    for reading in readings:
        row = {"t_ms": t_ms, **report.reading_json(reading)}
        orders = []
        if all_orders and not reading.error and reading.spec.where.table in ("holding", "input"):
            orders = in_all_orders(reading.registers, reading.spec.tag.form if reading.spec.tag else None)
        if orders:
            row["orders"] = {each.order: each.values for each in orders}
            head = (*report.ORDER_HEAD, *orders[0].values)
            screen.text()
            screen.table(head, report.order_rows(str(reading.spec.where), orders), right=range(2, len(head)))
        screen.json(row)


def _identify(options: argparse.Namespace, screen: Screen, clock: Clock) -> int:
    transport = arguments.one_transport(options)
    unit = arguments.unit(options, transport)

    async def run() -> int:
        async with Asker(transport, arguments.timing(options), clock) as asker:
            await _alive(asker, unit)
            identity = await identify(asker, unit)
        screen.json({"unit": unit, **identity.as_json()})
        screen.table(("Object", "Value"), report.identity_rows(identity))
        for note in identity.notes:
            screen.text(f"not answered: {note}")
        return OK

    return asyncio.run(run())


async def _alive(asker: Asker, unit: int) -> None:
    """Raises NoReply and its like where the unit is not there at all."""
    with contextlib.suppress(ExceptionReply):
        await asker.read(unit, Ask("holding", 0, 1))


def _dump(options: argparse.Namespace, screen: Screen, clock: Clock) -> int:
    transport = arguments.one_transport(options)
    unit = arguments.unit(options, transport)
    output = options.output
    if output is not None and output.suffix not in (".yaml", ".yml", ".json"):
        raise Usage(f"{output}: a fixture's name ends in .yaml or .json")
    if output is not None and output.exists() and not options.force:
        raise CannotCreate(f"{output} is there already: give another name, or --force")
    device = None if options.profile is None else device_of(options.profile)
    ranges = merged([*(options.range or ()), *(ranges_of(device) if device else ())]) or DEFAULT_RANGES
    redaction = redaction_for(device, options.redact, strings=not options.keep_texts)

    async def run() -> str:
        def advance(done: int, total: int) -> None:
            screen.progress(done, total, f"registers of unit {unit}")

        async with Asker(transport, arguments.timing(options), clock) as asker:
            fixture = await dump(asker, unit, ranges, redaction, advance)
        document = fixture.document()
        json_wanted = options.json if output is None else output.suffix == ".json"
        stretches = [values for found in fixture.tables.values() for values in found.stretches.values()]
        pieces = "1 stretch" if len(stretches) == 1 else f"{len(stretches)} stretches"
        summary = f"{sum(map(len, stretches))} values in {pieces}, {asker.requests} requests"
        for at, why in fixture.redacted:
            screen.complain(f"redacted {at} ({why})")
        screen.complain(summary)
        return as_json(document) if json_wanted else as_yaml(document)

    text = asyncio.run(run())
    if output is None:
        screen.raw(text)
        return OK
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotCreate(f"{output} cannot be written: {error.strerror}") from error
    return OK


_COMMANDS = {"scan": _scan, "read": _read, "identify": _identify, "dump": _dump}
