"""Everything that is printed: results on standard output, progress and complaints on standard error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any, TextIO

BAR = 24
RULE = "─"
GAP = "   "


class Screen:
    """The technician's terminal, or a pipe: a progress line is drawn on a terminal alone.

    `program` is who complains.
    """

    def __init__(self, out: TextIO, err: TextIO, program: str, *, as_json: bool) -> None:
        self.as_json = as_json
        self._program = program
        self._out, self._err = out, err
        self._drawn = False
        self._lines = 0

    def text(self, text: str = "") -> None:
        """A line, or some, for people; nothing with `--json`."""
        if not self.as_json:
            self._put(text + "\n")

    def raw(self, text: str) -> None:
        """A document, as it is."""
        self._put(text)

    def json(self, value: Any) -> None:
        """An object in one line; nothing without `--json`."""
        if self.as_json:
            self._put(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")) + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """Columns as wide as they need; `right`: those whose cells stand at the right."""
        if not self.as_json:
            self._put("\n".join(table_lines(head, rows, right=right)) + "\n")

    def progress(self, done: int, total: int, what: str) -> None:
        """How far it is, in one line that the next one replaces."""
        if not self._err.isatty():
            return
        width = shutil.get_terminal_size().columns
        full = BAR * done // max(total, 1)
        line = f"[{'#' * full}{'.' * (BAR - full)}] {done}/{total}  {what}"
        self._err.write(f"\r\x1b[K{line[: width - 1]}")
        self._err.flush()
        self._drawn = True

    def complain(self, text: str) -> None:
        """A line on standard error."""
        self.clear()
        self._err.write(f"{self._program}: {text}\n")

    def clear(self) -> None:
        """Take the progress line away."""
        if self._drawn:
            self._err.write("\r\x1b[K")
            self._err.flush()
            self._drawn = False

    def over(self) -> None:
        """On a terminal: what comes next is printed over what came since the last time."""
        if self._lines and self._out.isatty() and not self.as_json:
            self._out.write(f"\x1b[{self._lines}F\x1b[J")
        self._lines = 0

    def _put(self, text: str) -> None:
        self.clear()
        self._out.write(text)
        self._out.flush()
        self._lines += text.count("\n")


def table_lines(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> list[str]:
    """A table, line by line."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return GAP.join(cells).rstrip()

    return [line(head), RULE * (sum(widths) + len(GAP) * (len(widths) - 1)), *map(line, rows)]
