"""Runs one command: parses, listens or asks, prints, and turns what went wrong into a line and a code."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from headgate.ble.commissioning import arguments, report
from headgate.ble.commissioning.explore import explore
from headgate.ble.commissioning.failures import explained
from headgate.ble.commissioning.listening import listen
from headgate.ble.commissioning.suggest import suggested_site
from headgate.ble.survey import Survey
from headgate.clock import Clock, SystemClock
from headgate.commands.exits import INTERRUPTED, OK, UNAVAILABLE
from headgate.commands.screen import Screen
from headgate.errors import HeadgateError

_SILENCE_HINT = "check the antenna, go nearer, or listen longer (--seconds 60)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = arguments.parse(argv)
    logging.getLogger("bleak").setLevel(logging.CRITICAL + 1)
    screen = Screen(sys.stdout, sys.stderr, "headgate.ble", as_json=options.json)
    try:
        return _COMMANDS[options.command](options, screen, SystemClock())
    except KeyboardInterrupt:
        screen.complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `... | head` is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except HeadgateError as error:
        text, code = explained(error)
        screen.complain(text)
        return code
    finally:
        screen.clear()


def _scan(options: argparse.Namespace, screen: Screen, clock: Clock) -> int:
    survey = Survey()
    lost: HeadgateError | None = None
    interrupted = False
    try:
        asyncio.run(listen(options.adapter, options.seconds, clock, survey, screen.progress))
    except KeyboardInterrupt:
        interrupted = True
    except HeadgateError as error:
        if not survey.adverts:
            raise
        lost = error
    _print_scan(survey, options.adapter, clock, screen)
    if interrupted:
        screen.complain("interrupted: this is what was heard so far")
        return INTERRUPTED
    if lost is not None:
        text, code = explained(lost)
        screen.complain(f"this is what was heard until: {text}")
        return code
    if not survey.adverts:
        screen.complain(f"nothing was heard within {options.seconds:g} s: {_SILENCE_HINT}")
        return UNAVAILABLE
    return OK


def _print_scan(survey: Survey, adapter: str, clock: Clock, screen: Screen) -> None:
    found = survey.found()
    site = suggested_site(found, adapter)
    offset_ms = clock.utc_ms() - clock.boot_ms()
    screen.json(
        {
            "adapter": adapter,
            "found": [each.as_json(offset_ms) for each in found],
            "adverts": survey.adverts,
            "missed": survey.missed,
            "site": site,
        }
    )
    if not found:
        return
    screen.table(report.HEARD_HEAD, report.heard_rows(found), right=(3, 4))
    if survey.missed:
        screen.text(f"\n{survey.missed} adverts of more devices than fit here were left out.")
    if any(each.fits() for each in found):
        screen.text(
            "\nCheck which device is which before you take over the names. A site document to start from:\n"
        )
        screen.text(site.rstrip())


def _explore(options: argparse.Namespace, screen: Screen, clock: Clock) -> int:
    services, offered = asyncio.run(
        explore(options.adapter, options.address, options.seconds, options.timeout, clock)
    )
    screen.json({"address": options.address, "characteristics": [each.as_json() for each in offered]})
    if not services:
        screen.complain(f"{options.address} offers no services")
        return UNAVAILABLE
    screen.table(report.OFFERED_HEAD, report.offered_rows(offered))
    failed = [each for each in offered if each.error]
    return UNAVAILABLE if failed and not any(each.data is not None for each in offered) else OK


_COMMANDS = {"scan": _scan, "explore": _explore}
