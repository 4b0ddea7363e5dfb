"""What a line works on: its units, their poll groups, and the cloud's errands to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from headgate.errors import HeadgateError
from headgate.modbus.breaker import Breaker
from headgate.modbus.codec import Decode
from headgate.modbus.config import Device
from headgate.modbus.learned import Learned
from headgate.modbus.planner import Block
from headgate.modbus.puts import Put
from headgate.modbus.tags import TABLES, Table
from headgate.modbus.thinning import Thinning

if TYPE_CHECKING:
    from headgate.modbus.group_plan import TablePlan


@dataclass(frozen=True, slots=True)
class Ask:
    """What one transaction reads."""

    table: Table
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """Where a read comes from: the plan of its table, and its place in it."""

    plan: TablePlan
    block: Block


@dataclass(frozen=True, slots=True)
class Proof:
    """Of a read whose registers say themselves what they are: asked in this order, decoded as one row.

    `main` is the place of the values among `asks`, `holds` whether the row is what it was taken for, and
    `refused` is called where the device refuses any of it.
    """

    asks: tuple[Ask, ...]
    main: int
    holds: Callable[[Sequence[int]], bool]
    refused: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Read:
    """One request of a poll group: what to ask, whose series the answer feeds, and how it is decoded.

    `part` is where it comes from, or what is asked beside it and proves it. `thinning`: there where some of
    the tags have a deadband.
    """

    ask: Ask
    series: tuple[int, ...]
    decode: Decode
    part: Part | Proof
    thinning: Thinning | None = None


Answer = tuple[int, Sequence[int]]
"""The reply's boottime in ms, and its registers or bits; of a write none."""


class Plan(Protocol):
    """Makes the reads of a poll group."""

    def reads(self, now_ms: int) -> Sequence[Read]:
        """The reads as they are to be now."""

    def is_stale(self, now_ms: int) -> bool:
        """Whether they are to be made anew."""


def _nothing() -> None:
    """Nobody wants to know."""


@dataclass(slots=True, eq=False)
class Unit:
    """A device as its line sees it.

    `fault` is what is wrong with it, empty while it answers; `cost_ms` is how long its last failure took,
    `learned` what it has refused. `doubt` is called when its registers may be others than they were: it
    answers again, or not as it should. `map_fault` is what is wrong with its own map of them.
    `stranger`: nobody said that it is there, so its silence is no news, and tells nothing of the connection.
    """

    device: Device
    breaker: Breaker = field(default_factory=Breaker)
    fault: str = ""
    cost_ms: int = 0
    learned: Mapping[Table, Learned] = field(default_factory=lambda: {table: Learned() for table in TABLES})
    doubt: Callable[[], None] = _nothing
    map_fault: str = ""
    stranger: bool = False


@dataclass(slots=True, eq=False)
class Poll:
    """A poll group as its line sees it; `refused` holds the exception code of each ask that was refused.

    `marked`: its series were marked as bad since the last answer. `fresh_ms` is when last something was said
    of all of them, `stale` whether that is more than `stale_ms` ago and was said.
    """

    unit: Unit
    name: str
    interval_ms: int
    stale_ms: int
    fresh_ms: int
    plan: Plan
    reads: Sequence[Read]
    refused: dict[Ask, int] = field(default_factory=dict)
    marked: bool = False
    stale: bool = False


@dataclass(slots=True, eq=False)
class Errand:
    """What the cloud asks of one unit: `done` once `results` has an answer or an error for each ask.

    An ask that is lost takes those after it along: the unit is silent. A write is tried once. `begun`:
    something of it went on the line.
    """

    unit: Unit
    asks: Sequence[Ask | Put]
    done: asyncio.Future[None]
    results: list[Answer | HeadgateError] = field(default_factory=list)
    tries: int = 0
    begun: bool = False

    def answer(self, result: Answer | HeadgateError) -> None:
        """The next ask's result; of an errand that is done already, nobody waits for it."""
        if self.done.done():
            return
        self.tries = 0
        self.results.append(result)
        self._settle()

    def fail(self, error: HeadgateError) -> None:
        """Give up what is left of it."""
        if self.done.done():
            return
        self.results += [error] * (len(self.asks) - len(self.results))
        self._settle()

    def _settle(self) -> None:
        if len(self.results) >= len(self.asks):
            self.done.set_result(None)
