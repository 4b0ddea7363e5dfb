"""Before a state root is opened: files that cannot be read are set aside, and what is left of them put there.

Called by the holder of the root's lock. In this order, each step counting on the ones before: what a crash
left half done, state.db, the journal, the day files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field

from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal
from headgate.model import Series
from headgate.store.blocks import Blocks
from headgate.store.day_file import day_path, days_in
from headgate.store.files import reread
from headgate.store.mend_days import mend_day, mend_days
from headgate.store.mend_journal import mend_journal
from headgate.store.mend_state import mend_state, series_in
from headgate.store.quarantine import Note, Quarantine
from headgate.store.segments import numbers_in, path_of
from headgate.store.state import State

MAX_DAYS_TOLD = 30


@dataclass(slots=True)
class Opening:
    """What was found. `untold`: what the cloud is to be told of; `ids`: of series that state.db lacks.

    `rebuilt`: state.db does not know how far windows were closed; `again`: samples that the journal still has
    may be missing in day files. `told`: how many the cloud has been told of since the start.
    """

    quarantine: Quarantine
    untold: list[Note] = field(default_factory=list)
    ids: dict[Series, int] = field(default_factory=dict)
    rebuilt: bool = False
    again: bool = False
    told: int = 0

    @property
    def set_aside(self) -> int:
        """How many files since the start, those included that the cloud had not been told of before."""
        return self.told + len(self.untold)

    def were_told(self, notes: list[Note]) -> None:
        """Their reports are durable."""
        self.quarantine.were_told(frozenset(note.id for note in notes))
        self.told += len(notes)
        self.untold = [note for note in self.untold if note not in notes]

    def mend(self, root: StateRoot, day: int, ids: Mapping[Series, int]) -> None:
        """Mend a day file that a reader found damaged. Raises Fatal, OSError, sqlite3.Error."""
        known = {number: series for series, number in ids.items()}
        note = mend_day(day_path(root.blocks, day), self.quarantine, known, None)
        if note is not None:
            self.untold.append(note)


def mend(root: StateRoot, thing: str) -> Opening:
    """Look at everything. Raises Fatal for files of a newer version, OSError, sqlite3.Error of the disk."""
    quarantine = Quarantine(root)
    quarantine.settle()
    found = Opening(quarantine)
    _from_disk(root)
    state_note = mend_state(root, thing, quarantine)
    lost = state_note.lost.get("tables", ()) if state_note is not None else ()
    found.rebuilt = isinstance(lost, list) and bool({"small", "all"} & set(lost))
    with closing(State(root.state_db, thing)) as state:
        progress, ids, told, days = state.progress(), state.series_ids(), state.told(), state.days()
    newest = _newest_through(root)
    durable = max(progress.packed, progress.blocks, newest)
    damaged = mend_journal(root.journal, quarantine, progress.replay, durable)
    known = {number: series for series, number in ids.items()}
    mended = mend_days(root.blocks, quarantine, known, None if damaged else progress.replay)
    missing = _missing(root, quarantine, days)
    _check_ids(root, ids, found)
    found.again = bool(mended) or missing or newest != progress.blocks
    quarantine.were_told(frozenset(told))
    found.untold = quarantine.untold()
    return found


def _from_disk(root: StateRoot) -> None:
    """Have what is read next come off the disk: memory may hold what a failed sync did not write."""
    logs = [path_of(root.journal, number) for number in numbers_in(root.journal)[-2:]]
    days = [day_path(root.blocks, day) for day in days_in(root.blocks)[-2:]]
    for path in (*logs, root.state_db, *days):
        for ending in ("", "-wal"):
            with suppress(FileNotFoundError):
                reread(path.with_name(path.name + ending))


def _newest_through(root: StateRoot) -> int:
    try:
        with closing(Blocks(root.blocks, {})) as blocks:
            return blocks.newest_through()
    except (Fatal, sqlite3.DatabaseError):
        return 0  # a damaged file: it is looked at later


def _missing(root: StateRoot, quarantine: Quarantine, known: set[int]) -> bool:
    """Whether day files are missing that were there with the last commit."""
    there = days_in(root.blocks)
    gone = sorted(known - set(there))
    for day in gone[:MAX_DAYS_TOLD]:
        path = day_path(root.blocks, day)
        file = path.relative_to(root.path).as_posix()
        oldest = bool(there) and day < there[0]
        why = "missing" + (", or shed just before the hub ended, as the oldest" if oldest else "")
        quarantine.tell(f"missing-{path.stem}", file, f"day file: {why}", {"days": 1})
    return bool(gone)


def _check_ids(root: StateRoot, ids: Mapping[Series, int], found: Opening) -> None:
    """A state.db that lost its newest commits may not know ids that day files have."""
    by_number = {number: series for series, number in ids.items()}
    for number, series in series_in(root.blocks).items():
        if number not in by_number and series not in ids:
            found.ids[series] = number
