"""What a command writes: tables for people or one JSON object per line, progress on standard error."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from headgate_cloud.cli import times

if TYPE_CHECKING:
    from rich.console import Console

WIDE: Final = 160  # columns where output goes to no terminal: nothing is cut for a file or a pipe


class Bar(Protocol):
    """Progress so far, in bytes or whatever the total is in."""

    def __call__(self, done: int, total: int | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; numbers stand to the right."""

    name: str
    right: bool = False
    whole: bool = False  # never cut


class Output:
    """One per command. rich is loaded with the first thing it draws."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._console: Console | None = None

    def record(self, found: Mapping[str, Any]) -> None:
        """A line of JSON."""
        sys.stdout.write(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """A line for people; rich's markup counts."""
        self._out().print(text, highlight=False)

    def note(self, text: str) -> None:
        """Beside the result, on standard error."""
        sys.stderr.write(f"{text}\n")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Cells may hold rich's markup; what comes from a gateway goes through `plain` first."""
        from rich import box
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)
        for column in columns:
            made.add_column(
                column.name,
                justify="right" if column.right else "left",
                no_wrap=column.whole,
                overflow="fold",
            )
        for row in rows:
            made.add_row(*row)
        self._out().print(made)

    @contextlib.contextmanager
    def bar(self, text: str, total: int | None, *, in_bytes: bool = True) -> Iterator[Bar]:
        """A progress bar where standard error is a terminal and no JSON is wanted; else nothing."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda done, total=None: None
            return
        from rich import progress
        from rich.console import Console

        amounts: list[progress.ProgressColumn] = (
            [progress.DownloadColumn(binary_units=True), progress.TransferSpeedColumn()]
            if in_bytes
            else [progress.MofNCompleteColumn()]
        )
        with progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            *amounts,
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as drawn:
            task = drawn.add_task(text, total=total)

            def update(done: int, total: int | None = None) -> None:
                drawn.update(task, completed=done, total=total)  # a total of None leaves it as it is

            yield update

    def _out(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(width=None if sys.stdout.isatty() else WIDE, emoji=False)
        return self._console


def plain(text: object) -> str:
    """Somebody else's text, so that rich takes no markup from it and a terminal no controls."""
    from rich.markup import escape

    return escape("".join(c if c.isprintable() else "�" for c in str(text)))


def ago(t_ms: object, now_ms: int) -> str:
    """Age of a time in a reply; `-` where there is none."""
    return times.age(now_ms - t_ms) if type(t_ms) is int else "-"
