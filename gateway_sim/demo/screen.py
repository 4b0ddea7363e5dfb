"""What a person sees while the story runs: the steps, what flows, and a summary at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from gateway_sim.demo.report import Report, StepResult


class Screen:
    """Draws the story on a terminal; on anything else it prints a line per event. All to standard error."""

    def __init__(self, titles: Sequence[tuple[str, str]], heading: str, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._titles = titles
        self._heading = heading
        self._results: dict[str, StepResult] = {}
        self._running = ""
        self._note = ""
        self._live = Live(console=self.console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
            self._draw()
        else:
            self.console.print(self._heading)
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()
            self.console.print(self._table())

    def note(self, text: str) -> None:
        """One line of what is going on now."""
        self._note = text
        self._draw()

    def begin(self, name: str) -> None:
        """A step starts."""
        self._running = name
        self._draw()

    def end(self, result: StepResult) -> None:
        """A step has ended."""
        self._results[result.name] = result
        self._running = ""
        self._draw()
        if not self.console.is_terminal:
            mark = "ok    " if result.ok else "FAILED"
            self.console.print(
                f"{mark} {result.seconds:5.1f} s  {result.name}: {result.detail}", markup=False
            )

    def _draw(self) -> None:
        if self.console.is_terminal:
            body = Group(self._table(), Text(self._note, style="dim"))
            self._live.update(Panel(body, title=self._heading, border_style="cyan"))

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, title in self._titles:
            result = self._results.get(name)
            if result is not None:
                mark = Text("ok" if result.ok else "FAILED", style="bold green" if result.ok else "bold red")
                table.add_row(mark, title, f"{result.seconds:.1f} s", Text(result.detail, overflow="fold"))
            elif name == self._running:
                table.add_row(Spinner("dots"), Text(title, style="bold"), "", "")
            else:
                table.add_row("", Text(title, style="dim"), "", "")
        return table

    def summary(self, report: Report, places: Sequence[tuple[str, str]]) -> None:
        """The closing tables: samples, memory, and where everything is."""
        samples = report.samples
        table = Table(title="Samples", title_justify="left")
        table.add_column("bus")
        for column in ("served", "arrived", "lost", "doubled"):
            table.add_column(column, justify="right")
        for name, part in (*samples.buses.items(), ("all", samples)):
            numbers = (part.served, part.arrived, part.lost, part.doubled)
            table.add_row(name, *(f"{n:,}" for n in numbers), style="bold" if part is samples else "")
        if samples.unwritten:
            table.caption = (
                f"{samples.unwritten:,} more were read by a process killed before they were on disk"
            )
        memory = Table(title="Memory", title_justify="left")
        memory.add_column("component")
        memory.add_column("PSS MB", justify="right")
        for name, size_mb in report.pss_mb.items():
            memory.add_row(name, f"{size_mb:.1f}")
        memory.add_row("all", f"{sum(report.pss_mb.values()):.1f}", style="bold")
        where = Table.grid(padding=(0, 2))
        for what, path in places:
            where.add_row(what, Text(path, overflow="fold"))
        verdict = (
            Text("Everything held.", style="bold green") if report.ok else Text("NOT ok.", style="bold red")
        )
        self.console.print(table, memory, where, verdict)
