"""What a `scan` found, as tables: devices in the air, or units on a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate_cloud.cli import words
from headgate_cloud.cli.output import Column, Output, ago, plain

Row = Mapping[str, Any]
MAX_VALUES = 5
MAX_HEX = 32


def show_found(out: Output, found: Sequence[Row], now_ms: int) -> None:
    """Rows of either bus; those of a line have a unit."""
    if not found:
        out.say("  [yellow]nothing was found[/]")
    elif "unit" in found[0]:
        _units(out, found)
    else:
        _devices(out, found, now_ms)


def summary(result: Row) -> str:
    """What is said of a whole scan."""
    said = [f"{key} {result[key]}" for key in ("adapter", "device", "adverts", "missed") if key in result]
    if "asked" in result:
        said.append(f"units {result.get('first')} to {result.get('last')}, {result['asked']} asked")
    if "seconds" in result:
        said.append(f"{result['seconds']} s")
    return ", ".join(said)


def _units(out: Output, found: Sequence[Row]) -> None:
    rows = []
    for one in found:
        answer = f"[red]{plain(one['error'])}[/]" if "error" in one else plain(one.get("answer"))
        rows.append([plain(one.get("unit")), answer, plain(_known(one))])
    out.table([Column("Unit", right=True), Column("Answer"), Column("Configured as")], rows)


def _devices(out: Output, found: Sequence[Row], now_ms: int) -> None:
    rows = []
    for one in found:
        fits = [fit for fit in one.get("profiles") or [] if isinstance(fit, Mapping)]
        profiles = ", ".join(f"{fit.get('profile')}{'?' if fit.get('guessed') else ''}" for fit in fits)
        rows.append(
            [
                plain(one.get("address")),
                plain(one.get("name") or "-"),
                plain(one.get("rssi")),
                plain(one.get("adverts")),
                plain(profiles or "-"),
                plain(_says(one, fits)),
                plain(_known(one)),
                ago(one.get("t"), now_ms),
            ]
        )
    numbers = (Column("RSSI", right=True), Column("Adverts", right=True))
    texts = (Column("Profile"), Column("Says"), Column("Configured as"))
    out.table(
        [Column("Address", whole=True), Column("Name"), *numbers, *texts, Column("Heard", right=True)], rows
    )


def _known(one: Row) -> str:
    devices = one.get("devices")
    return ", ".join(map(str, devices)) if isinstance(devices, list) and devices else "-"


def _says(one: Row, fits: Sequence[Row]) -> str:
    if not fits:
        data = {**(one.get("manufacturer_data") or {}), **(one.get("service_data") or {})}
        return "; ".join(f"{key}: {str(value)[:MAX_HEX]}" for key, value in data.items()) or "-"
    best = fits[0]
    if best.get("sealed"):
        return "encrypted: needs its bind_key"
    values = best.get("values")
    items = list(values.items()) if isinstance(values, Mapping) else []
    shown = [f"{tag} {words.value(value, '')}".rstrip() for tag, value in items[:MAX_VALUES]]
    more = [f"{len(items) - MAX_VALUES} more"] if len(items) > MAX_VALUES else []
    doubt = [f"in doubt: {best['doubt']}"] if best.get("doubt") else []
    return ", ".join([*shown, *more, *doubt]) or "-"
