"""The reads of a poll group, which change with what its device refuses; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from headgate.deadband import Keeper
from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.config import Device, Group
from headgate.modbus.learned import Learned, overlapping, usable
from headgate.modbus.planner import Block, Span, block_of, halves, plan_reads
from headgate.modbus.tags import BIT_TABLES, Table, Tag
from headgate.modbus.thinning import Tally, Thinning
from headgate.modbus.work import Ask, Part, Read

SeriesIndex = Callable[[Tag], int]

_span = lru_cache(maxsize=1 << 16)(Span)
"""Equal devices have equal spans: one of each will do."""


class TablePlan:
    """Of the tags of one group in one table. `learned` is what the device refused of that table, ever."""

    def __init__(
        self,
        device: Device,
        table: Table,
        tags: Sequence[Tag],
        learned: Learned,
        index_of: SeriesIndex,
        keepers: Sequence[Keeper | None],
        tally: Tally,
    ) -> None:
        self.table = table
        self.learned = learned
        self.tags = tags
        self.spans = [_span(tag.address, tag.count) for tag in tags]
        self._series = [index_of(tag) for tag in tags]
        self._keepers = keepers if any(keepers) else ()
        self._tally = tally
        bits = table in BIT_TABLES
        self._max_count = device.max_bits if bits else device.max_registers
        # A register is sixteen bits: the budget is one of bytes on the line.
        self._max_gap = device.max_gap * 16 if bits else device.max_gap

    def reads(self, now_ms: int) -> list[Read]:
        """The fewest that go round what is refused; and what of that is to be tried again now, alone."""
        learned = self.learned
        left = usable(self.spans, learned)
        max_count = min(self._max_count, learned.max_count or self._max_count)
        blocks = plan_reads(
            [self.spans[i] for i in left],
            max_count=max(max_count, *(self.spans[i].count for i in left), 1),
            max_gap=self._max_gap,
            forbidden=learned.forbidden(now_ms),
        )
        due = set(learned.due(now_ms))
        alone = [*overlapping(self.spans, learned), *(i for i, span in enumerate(self.spans) if span in due)]
        found = [self._read(block_of(self.spans, [left[i] for i in block.members])) for block in blocks]
        return [*found, *(self._read(block_of(self.spans, [i])) for i in alone)]

    def halves(self, block: Block) -> tuple[Read, Read, Span | None]:
        """See `planner.halves`."""
        left, right, between = halves(self.spans, block)
        return self._read(left), self._read(right), between

    def _read(self, block: Block) -> Read:
        tags = [self.tags[i] for i in block.members]
        fields = [Field(tag.address - block.address, tag.form) for tag in tags]
        return Read(
            Ask(self.table, block.address, block.count),
            tuple(self._series[i] for i in block.members),
            make_decoder(fields, block.count),
            Part(self, block),
            self._thinning(block),
        )

    def _thinning(self, block: Block) -> Thinning | None:
        """What is reported of a read; None: all. What was reported is the tags', however they are read."""
        keepers = [self._keepers[i] for i in block.members] if self._keepers else ()
        return Thinning(keepers, self._tally) if any(keepers) else None


class GroupPlan:
    """All tables of one group."""

    def __init__(
        self,
        device: Device,
        group: Group,
        learned: Mapping[Table, Learned],
        index_of: SeriesIndex,
        tally: Tally,
    ) -> None:
        by_table: dict[Table, list[Tag]] = {}
        for tag in group.tags:
            by_table.setdefault(tag.table, []).append(tag)
        self._tables = [
            TablePlan(device, table, here, learned[table], index_of, _keepers(here, group.interval_ms), tally)
            for table, here in sorted(by_table.items())
        ]
        self._state: tuple[int, ...] = ()

    def reads(self, now_ms: int) -> list[Read]:
        """The reads as they are to be now."""
        self._state = self._versions()
        return [read for table in self._tables for read in table.reads(now_ms)]

    def is_stale(self, now_ms: int) -> bool:
        """Whether something was learned since, by any group of the device, or is to be doubted."""
        if self._state != self._versions():
            return True
        due = [at for table in self._tables if (at := table.learned.next_ms()) is not None]
        return bool(due) and min(due) <= now_ms

    def _versions(self) -> tuple[int, ...]:
        return tuple(table.learned.version for table in self._tables)


def _keepers(tags: Sequence[Tag], interval_ms: int) -> Sequence[Keeper | None]:
    return [None if tag.deadband is None else Keeper(tag.deadband, interval_ms) for tag in tags]
