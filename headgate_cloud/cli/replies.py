"""Replies as tables, one way for each operation; what carried them does not matter here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from headgate_cloud.cli import times, words
from headgate_cloud.cli.output import Column, Output, ago, plain
from headgate_cloud.cli.scans import show_found, summary
from headgate_cloud.decoder import Column as Series
from headgate_cloud.decoder import columns
from headgate_cloud.strict import Undecodable

Reply = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]

STATUS_COLOURS: Final = {"ok": "green", "refused": "red", "failed": "red", "expired": "yellow"}


def show(out: Output, thing: str, reply: Reply, now_ms: int, beside: str = "") -> None:
    """A heading with the thing, and the result, whatever it holds."""
    headed = f"[bold]{plain(thing)}[/]"
    if reply["status"] != "ok":
        colour = STATUS_COLOURS.get(reply["status"], "red")
        detail = f": {plain(reply['detail'])}" if reply["detail"] else ""
        out.say(f"{headed}  [{colour}]{plain(reply['status'])}[/] ({plain(reply['code'])}){detail}")
        writes = (reply["result"] or {}).get("writes")
        if writes:
            _writes(out, writes, now_ms)  # some may have been written before one failed
        return
    result = reply["result"] or {}
    scanned = plain(summary(result)) if "found" in result else ""
    said = "  ".join(filter(None, [beside, plain(reply["detail"]), scanned]))
    out.say(f"{headed}  [dim]{said}[/]" if said else headed)
    drawn = [name for name in _DRAWN if name in result]
    for name in drawn:
        _DRAWN[name](out, result[name], now_ms)
        if name != drawn[-1]:
            out.say("")
    if "columns" in result:
        show_history(out, decoded(result), more=bool(result.get("more")))
    if "upload" in result or reply["code"] == "started":
        out.say(f"  file {plain(result.get('file_id') or reply['file_id'])}")


def decoded(result: Mapping[str, Any]) -> tuple[Series, ...]:
    """The columns of a `query`'s result; raises Undecodable."""
    return columns(result)


def show_history(out: Output, found: Sequence[Series], *, more: bool) -> None:
    """A line per series: how many, from when to when, the extremes, the course."""
    if not found:
        out.say("  [dim]no samples[/]")
        return
    heads = ("Samples", "First", "Last", "Min", "Mean", "Max")
    rows = [[plain(series.series), *_summary(series)] for series in found]
    out.table(
        [Column("Series"), *(Column(head, right=True, whole=True) for head in heads), Column("Course")], rows
    )
    if more:
        out.say("  [yellow]there is more: ask on from the last time, or with a larger --limit[/]")


def samples(found: Sequence[Series]) -> list[tuple[int, str, object, str, str]]:
    """(UTC ms, series, value, unit, quality) by time."""
    rows = [
        (sample.t_ms, series.series, sample.value, series.unit, words.quality(sample.quality))
        for series in found
        for sample in series.samples()
    ]
    return sorted(rows, key=lambda row: (row[0], row[1]))


def _summary(series: Series) -> list[str]:
    values = [
        float(sample.value)
        if isinstance(sample.value, int | float) and not isinstance(sample.value, bool)
        else None
        for sample in series.samples()
    ]
    known = [value for value in values if value is not None]
    span = (
        [times.clock(t)[11:] for t in (series.times_ms[0], series.times_ms[-1])]
        if series.times_ms
        else ["-"] * 2
    )
    if not known:
        return [str(len(values)), *span, "-", "-", "-", ""]
    decimals = series.decimals or 0
    mean = round(sum(known) / len(known), decimals + 2)
    numbers = [words.value(number, series.unit) for number in (min(known), mean, max(known))]
    return [str(len(values)), *span, *numbers, words.spark(values)]


def _values(out: Output, found: Rows, now_ms: int) -> None:
    rows = []
    for one in found:
        if "error" in one:
            rows.append([plain(one.get("series")), f"[red]{plain(one['error'])}[/]", "", ""])
            continue
        word = words.quality(one.get("quality"))
        value = plain(words.value(one.get("value"), str(one.get("unit", ""))))
        rows.append([plain(one.get("series")), value, words.coloured(plain(word)), ago(one.get("t"), now_ms)])
    out.table(
        [Column("Series"), Column("Value", right=True), Column("Quality"), Column("Age", right=True)], rows
    )


def _writes(out: Output, found: Rows, now_ms: int) -> None:
    rows = []
    for one in found:
        unit, outcome = str(one.get("unit", "")), str(one.get("outcome"))
        colour = {"verified": "green", "written": "green", "not_written": "yellow"}.get(outcome, "red")
        notes = [f"asked {words.value(one['asked'], unit)}"] if "asked" in one else []
        notes += [f"reads {words.value(one['found'], unit)}"] if "found" in one else []
        notes += [str(one["error"])] if "error" in one else []
        old = words.value(one["old"], unit) if "old" in one else "-"
        written = words.value(one.get("value"), unit)
        said = f"[{colour}]{plain(outcome)}[/]"
        rows.append([plain(one.get("series")), plain(old), plain(written), said, plain("; ".join(notes))])
    values = (Column("Was", right=True), Column("Written", right=True))
    out.table([Column("Series"), *values, Column("Outcome", whole=True), Column("")], rows)


def _registers(out: Output, found: Rows, now_ms: int) -> None:
    rows = []
    for one in found:
        where = f"{one.get('device')}:{one.get('table')}:{one.get('address')}"
        shown = (
            f"[red]{plain(one['error'])}[/]"
            if "error" in one
            else plain(words.hex_words(one.get("values") or []))
        )
        rows.append([plain(where), shown, ago(one.get("t"), now_ms)])
    out.table([Column("Registers"), Column("Values"), Column("Age", right=True)], rows)


def _characteristics(out: Output, found: Rows, now_ms: int) -> None:
    rows = []
    for one in found:
        shown = f"[red]{plain(one['error'])}[/]" if "error" in one else plain(one.get("hex"))
        name = f"{one.get('device')}:{one.get('characteristic')}"
        rows.append([plain(name), shown, ago(one.get("t"), now_ms)])
    out.table([Column("Characteristic"), Column("Bytes"), Column("Age", right=True)], rows)


def _devices(out: Output, found: Rows, now_ms: int) -> None:
    rows = []
    for one in found:
        state = str(one.get("state"))
        colour = {"ok": "green", "unknown": "yellow"}.get(state, "red")
        rows.append(
            [
                plain(one.get("device")),
                plain(one.get("source")),
                f"[{colour}]{plain(state)}[/]",
                ago(one.get("last_ms"), now_ms),
            ]
        )
    out.table([Column("Device"), Column("Source"), Column("State"), Column("Last heard", right=True)], rows)


def _series(out: Output, found: Rows, now_ms: int) -> None:
    rows = [
        [
            plain(one.get(name) if one.get(name) is not None else "-")
            for name in ("series", "unit", "kind", "decimals", "revision")
        ]
        for one in found
    ]
    numbers = (Column("Decimals", right=True), Column("Revision", right=True))
    out.table([Column("Series"), Column("Unit"), Column("Kind"), *numbers], rows)


def _files(out: Output, found: Rows, now_ms: int) -> None:
    rows = [
        [
            plain(one.get("file_id")),
            plain(f"{one.get('source')}/{one.get('path')}"),
            times.size(int(one.get("size") or 0)),
            ago(one.get("mtime_ms"), now_ms),
            plain(one.get("state")),
        ]
        for one in found
    ]
    out.table(FILE_COLUMNS, rows)


def _usage(out: Output, found: Rows, now_ms: int) -> None:
    rows = []
    for one in found:
        kind = f"{one.get('kind')}{' again' if one.get('again') else ''}"
        usd, size_bytes = one.get("usd"), one.get("bytes")
        rows.append(
            [
                plain(one.get("day")),
                plain(one.get("way")),
                plain(kind),
                plain(one.get("messages")),
                times.size(size_bytes) if type(size_bytes) is int else "-",
                plain(one.get("units")),
                f"{usd:.6f}" if isinstance(usd, int | float) else "-",
            ]
        )
    numbers = [Column(name, right=True) for name in ("Messages", "Size", "Units", "USD")]
    out.table([Column("Day", whole=True), Column("Way"), Column("Kind"), *numbers], rows)


FILE_COLUMNS: Final = (
    Column("File", whole=True),
    Column("Source/path"),
    Column("Size", right=True, whole=True),
    Column("Changed", right=True, whole=True),
    Column("State"),
)

_DRAWN: Final = {
    "values": _values,
    "registers": _registers,
    "characteristics": _characteristics,
    "writes": _writes,
    "devices": _devices,
    "series": _series,
    "files": _files,
    "usage": _usage,
    "found": show_found,
}

__all__ = ["FILE_COLUMNS", "Undecodable", "decoded", "samples", "show", "show_history"]
