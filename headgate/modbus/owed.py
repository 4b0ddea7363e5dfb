"""Which replies may still be under way on a line whose replies bear no number, and how to tell; pure.

On RTU and ASCII a reply that comes too late looks like the reply to the next request of the same function and
length. A device answers in order: once it has answered something that none of the missing replies can be
taken for, none of them is under way any more. Such a read is a proof.
"""

from __future__ import annotations

from headgate.modbus.checks import data_bytes
from headgate.modbus.tags import BIT_TABLES, TABLES, Table

PATIENCE_MS = 10_000
PATIENCE_TIMEOUTS = 10
"""No reply is waited for longer than this, or than so many time-outs: some devices answer no proof."""
MAX_PROOFS = 4
"""Proofs tried in a row, while the device refuses them."""
Shape = tuple[Table, int]
"""What two replies without a number have in common when one can be taken for the other."""


class Owed:
    """The shapes of the replies that one unit owes."""

    def __init__(self) -> None:
        self._shapes: set[Shape] = set()
        self._writes: set[int] = set()
        self._last_ms = 0

    def missed(self, table: Table, count: int, now_ms: int) -> None:
        """A read was not answered, or not as it should have been."""
        self._shapes.add((table, data_bytes(table, count)))
        self._last_ms = now_ms

    def missed_write(self, function: int, now_ms: int) -> None:
        """A write was not confirmed, or not as it should have been."""
        self._writes.add(function)
        self._last_ms = now_ms

    def settle(self) -> None:
        """The unit answered a proof, or another read that needed none."""
        self._shapes.clear()
        self._writes.clear()

    def doubts(self, table: Table, now_ms: int, timeout_ms: int) -> bool:
        """Whether a reply or a refusal of this table's function may be a late one."""
        self._forget(now_ms, timeout_ms)
        return any(table == owed for owed, _ in self._shapes)

    def doubts_write(self, function: int, now_ms: int, timeout_ms: int) -> bool:
        """Whether a confirmation or a refusal of a write by this function may be a late one."""
        self._forget(now_ms, timeout_ms)
        return function in self._writes

    def proofs(self, table: Table, count: int) -> list[tuple[Table, int]]:
        """Reads (table, count) at the address of a doubtful one whose replies would prove something.

        First shorter ones of the same registers, then of other functions: a refusal with another function's
        code proves as much as an answer.
        """
        step = 8 if table in BIT_TABLES else 1
        shorter = [(table, fewer) for fewer in range(step, count - step + 1, step)]
        tables = {owed for owed, _ in self._shapes}
        others = [(other, 1) for other in TABLES if other not in tables]
        fresh = [read for read in shorter if (read[0], data_bytes(*read)) not in self._shapes]
        return [*fresh[: MAX_PROOFS - 2], *others][:MAX_PROOFS]

    def _forget(self, now_ms: int, timeout_ms: int) -> None:
        if now_ms - self._last_ms >= max(PATIENCE_MS, PATIENCE_TIMEOUTS * timeout_ms):
            self.settle()
