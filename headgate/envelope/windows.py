"""Packs closed windows: rows of statistics by series, greedily."""

from __future__ import annotations

import json
from collections.abc import Sequence

from headgate.envelope.header import Part
from headgate.envelope.numbers import plain
from headgate.model import ClockState, Series, Window, WindowRow

_FRAME_BYTES = len('"windows":[]}')


def pack_windows(windows: Sequence[Window], room_bytes: int) -> list[Part]:
    """Every row exactly once, in parts of at most `room_bytes`; a part holds windows of one clock state."""
    parts: list[Part] = []
    for clock in sorted({window.clock for window in windows}):
        parts += _pack([window for window in windows if window.clock is clock], clock, room_bytes)
    return parts


def _pack(windows: Sequence[Window], clock: ClockState, room_bytes: int) -> list[Part]:
    parts: list[Part] = []
    done: list[str] = []
    rows: list[str] = []
    size_bytes = _FRAME_BYTES
    before = ""

    def flush() -> None:
        if done:
            parts.append(Part("windows", clock, f'"windows":[{",".join(done)}]}}', 0))
        done.clear()

    for window in windows:
        head = _head(window)
        size_bytes += len(head) + 3
        for name, text in _rows(window):
            if size_bytes + len(text) + 1 > room_bytes or (rows and name == before):
                if rows:
                    done.append(f"{head}{','.join(rows)}}}}}")
                    rows.clear()
                flush()
                size_bytes = _FRAME_BYTES + len(head) + 3
            rows.append(text)
            before = name
            size_bytes += len(text) + 1
        if rows:
            done.append(f"{head}{','.join(rows)}}}}}")
            rows.clear()
    flush()
    return parts


def _rows(window: Window) -> list[tuple[str, str]]:
    """Name and JSON of each row, revisions of one series next to each other."""
    ordered = sorted(window.rows.items(), key=lambda item: (item[0].name, item[0].revision))
    return [(series.name, f'"{series.name}":{row_text(series, stats)}') for series, stats in ordered]


def row_text(series: Series, stats: WindowRow) -> str:
    """What a window amounts to for one series, as JSON."""
    d = "null" if series.decimals is None else str(series.decimals)
    return (
        f'{{"u":{json.dumps(series.unit)},"d":{d},"r":{series.revision},"n":{stats.count},'
        f'"min":{plain(stats.min)},"max":{plain(stats.max)},"mean":{plain(stats.mean)},'
        f'"std":{plain(stats.std)},"first":{plain(stats.first)},"last":{plain(stats.last)}{_asked(stats)}}}'
    )


def _asked(stats: WindowRow) -> str:
    """What is there where it was asked for."""
    given = (
        ("sum", stats.sum),
        ("tmean", stats.time_mean),
        ("good", stats.quality),
        ("inc", stats.increase),
        ("rate", stats.rate),
        ("resets", stats.resets),
    )
    text = "".join(f',"{name}":{plain(value)}' for name, value in given if value is not None)
    if stats.percentiles:
        pairs = ",".join(f'"{100 * share:.6g}":{plain(value)}' for share, value in stats.percentiles)
        text += f',"p":{{{pairs}}}'
    return text


def _head(window: Window) -> str:
    step = "" if window.step_ms is None else f'"step_ms":{window.step_ms},'
    revision = f'"rev":{window.revision},' if window.revision else ""
    return f'{{"start":{window.start_ms},"length_ms":{window.length_ms},{step}{revision}"rows":{{'
