"""Exit codes (sysexits.h), and the words of a command line that parse and mean nothing."""

from __future__ import annotations

import argparse
from typing import NoReturn

OK = 0
USAGE, NO_INPUT, UNAVAILABLE, SOFTWARE, CANNOT_CREATE, BUSY, NO_PERMISSION = 64, 66, 69, 70, 73, 75, 77
"""EX_USAGE, EX_NOINPUT, EX_UNAVAILABLE, EX_SOFTWARE, EX_CANTCREAT, EX_TEMPFAIL, EX_NOPERM."""
INTERRUPTED = 130


class Usage(Exception):
    """The words on the command line parse and mean nothing."""


class Parser(argparse.ArgumentParser):
    """Ends with EX_USAGE instead of 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.format_usage()}{self.prog}: {message}\n")
