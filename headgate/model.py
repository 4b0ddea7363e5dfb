"""The words every room shares: series, frames, batches, envelopes, acknowledgements."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Literal, NamedTuple, get_args

from headgate.errors import Reject

Kind = Literal["f64", "i64", "u64", "bool", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Value = float | int | str | None
"""A sample's value; None where there is none (the quality says why)."""

NAME_PART = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""One part of a series' name; `device/tag` has two (design decision 1)."""


class Quality(IntEnum):
    """Published quality codes; the numbers are part of every wire format and never change."""

    GOOD = 0
    UNCERTAIN = 1
    STALE = 2
    BAD_COMM = 3
    BAD_VALUE = 4
    BAD_CONFIG = 5


class ClockState(IntEnum):
    """What the gateway knows of UTC: set by a time source, kept since then, or never set."""

    SYNCED = 0
    HOLDOVER = 1
    UNSYNCED = 2


@dataclass(frozen=True, slots=True)
class Series:
    """A named line of samples of one kind; any change of kind, unit or decimals is a new revision.

    `decimals`: the value is an integer / 10^decimals; None for arbitrary doubles and non-numbers.
    """

    name: str
    unit: str = ""
    kind: Kind = "f64"
    decimals: int | None = None
    revision: int = 1

    def __post_init__(self) -> None:
        device, _, tag = self.name.partition("/")
        if not (NAME_PART.fullmatch(device) and NAME_PART.fullmatch(tag)):
            raise Reject(f"series name {self.name!r} is not device/tag, each part of [A-Za-z0-9_.-]{{1,64}}")
        if self.kind not in KINDS:
            raise Reject(f"series {self.name}: unknown kind {self.kind!r}; known are {', '.join(KINDS)}")
        if self.decimals is not None and not (self.kind == "f64" and 0 <= self.decimals <= 15):
            raise Reject(f"series {self.name}: decimals {self.decimals} needs kind f64 and 0..15")

    def __hash__(self) -> int:
        """Of the name, which text keeps: series are keys of every table on the way of a sample."""
        return hash(self.name)


class Frame(NamedTuple):
    """One response or advertisement: k series that share one acquisition time.

    `boot_ms` is boottime in ms; `series` are indexes into the bridge's table; `values` and `quality`
    are parallel to it. An empty `quality` means all good.
    """

    boot_ms: int
    series: Sequence[int]
    values: Sequence[Value]
    quality: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """What a bridge hands to the hub: frames under the key (bridge, run_id, seq).

    `run_id`: 64 random bits per start of the bridge. `seq`: from 1, without gaps. `oldest_seq`: the
    oldest batch that the bridge still holds. `dictionary`: content hash of the bridge's series table.
    `utc_offset_ms`: UTC minus boottime. `dropped`: samples the bridge shed since the last batch.
    """

    bridge: str
    run_id: int
    seq: int
    oldest_seq: int
    dictionary: bytes
    machine_boot_id: str
    utc_offset_ms: int
    clock: ClockState
    dropped: int
    frames: Sequence[Frame]


@dataclass(frozen=True, slots=True)
class EnvelopeId:
    """One id never names two contents."""

    thing: str
    stream: str
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sealed bytes for the cloud: immutable, re-sent bit-identical; `samples` is how many it carries."""

    id: EnvelopeId
    schema: int
    body: bytes
    samples: int
    live: bool


@dataclass(frozen=True, slots=True)
class Ack:
    """Stored durably in the cloud: all up to `up_to`, and ranges (first, last) beyond it (<= 32 on the wire).

    `want`: ids (hex) of the schemas that the cloud lacks. `forked`: why the cloud takes this epoch to go on
    from an older copy of the gateway's state, if it does.
    """

    stream: str
    epoch: int
    up_to: int
    received: Sequence[tuple[int, int]] = ()
    want: Sequence[str] = ()
    forked: str = ""


@dataclass(frozen=True, slots=True)
class WindowRow:
    """What a window amounts to for one series; `std` is the population's.

    None where it was not asked for: `time_mean` weighs values with how long they held, `quality` is the share
    of samples that are good; of a counter, `increase`, `rate` (per second; None as well where no time passed)
    and how often it was reset. `percentiles`: shares (0..1) and values.
    """

    count: int
    min: float | int
    max: float | int
    mean: float
    std: float
    first: float | int
    last: float | int
    sum: float | int | None = None
    time_mean: float | None = None
    quality: float | None = None
    increase: float | int | None = None
    rate: float | None = None
    resets: int | None = None
    percentiles: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window [start_ms, start_ms + length_ms) of one source; `clock` is its samples' worst.

    `step_ms` apart from the next one; None: by its length. `revision`: 0, or of a window that was corrected a
    number that grows with each correction.
    """

    start_ms: int
    length_ms: int
    clock: ClockState
    rows: Mapping[Series, WindowRow]
    step_ms: int | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """An alarm over a series was raised or cleared at `t_ms`, by `value` (None: there was none).

    `limit` and `value` in the series' unit, of a rate per second, of `stale_s` in seconds.
    """

    alarm: str
    series: Series
    state: Literal["raised", "cleared"]
    severity: str
    condition: str
    limit: float
    t_ms: int
    value: float | int | None


def series_row(series: Series) -> list[str | int | None]:
    """The form in which a dictionary travels: [name, unit, kind, decimals, revision]."""
    return [series.name, series.unit, series.kind, series.decimals, series.revision]


def dictionary_hash(table: Iterable[Series]) -> bytes:
    """16 B content hash of a series table, order included (SHA-256 of its canonical JSON, cut)."""
    digest = hashlib.sha256(b"[")
    between = ""
    rows = map(series_row, table)
    # In pieces: the text of 50,000 series and their rows would take 15 MB for a moment.
    while piece := list(islice(rows, 500)):
        text = json.dumps(piece, separators=(",", ":"), ensure_ascii=True)
        digest.update((between + text[1:-1]).encode())
        between = ","
    digest.update(b"]")
    return digest.digest()[:16]


def file_id(source: str, path: str, size_bytes: int, mtime_ns: int) -> str:
    """What names a file's content to the cloud (docs/requests.md, "Files")."""
    text = f"{source}\0{path}\0{size_bytes}\0{mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
