"""A closed window's row for itself, as JSON: what local topics say of one series (docs/local.md)."""

from __future__ import annotations

import json

from headgate.envelope.numbers import plain
from headgate.model import Series, WindowRow


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
