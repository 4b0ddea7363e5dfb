"""Reads for a poll; where a device refuses a read for its addresses, finds which of them it does not have.

A refused read is parted in two until what is refused is one value, or a range that nobody asked for, or the
length. That is learned (`headgate/modbus/learned.py`), and the others keep their values in the same tick.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from headgate.clock import Clock
from headgate.driver import Emit
from headgate.modbus.client import CONFIGURATION_EXCEPTIONS, ExceptionReply
from headgate.modbus.planner import Span
from headgate.modbus.work import Answer, Ask, Part, Poll, Proof, Read, Unit
from headgate.model import Frame, Quality

ADDRESS_EXCEPTIONS = frozenset({2, 3})
"""Illegal data address, and illegal data value, which some devices say of a range or a length."""
MAX_PARTS = 32
"""Transactions of one tick that look for what is refused; what is left over is looked for at the next."""

Attempts = Callable[[Unit, Ask], Awaitable[Answer]]


class Search:
    """The reads of one tick of a poll. `attempts` raises ExceptionReply, or Retry where nothing answers."""

    def __init__(
        self,
        attempts: Attempts,
        give_way: Callable[[], Awaitable[None]],
        clock: Clock,
        notice: Callable[[str], None],
    ) -> None:
        self._attempts = attempts
        self._give_way = give_way
        self._clock = clock
        self._notice = notice
        self._left = MAX_PARTS

    async def read(self, poll: Poll, read: Read, emit: Emit) -> bool:
        """Read and emit values, or marks in their place; return whether all of it was answered.

        Raises Retry.
        """
        if isinstance(read.part, Proof):
            return await self._read_proven(poll, read, read.part, emit)
        learned = read.part.plan.learned
        try:
            boot_ms, data = await self._attempts(poll.unit, read.ask)
        except ExceptionReply as error:
            if error.code not in ADDRESS_EXCEPTIONS:
                self._refused(poll, read, error, emit)
                return False
            return await self._search(poll, read, read.part, error, emit)
        _report(read, boot_ms, data, emit)
        poll.refused.pop(read.ask, None)
        if learned.gaps:
            learned.crossed(read.ask.address, read.ask.address + read.ask.count, boot_ms)
        if learned.refused and len(read.series) == 1 and learned.answered(_span(read.part)):
            self._notice(f"{_names(poll, read.part)}: the device has it after all")
        return True

    async def _read_proven(self, poll: Poll, read: Read, proof: Proof, emit: Emit) -> bool:
        """A read that is not parted: where the device refuses it, its registers are others than they were."""
        row: list[int] = []
        read_ms = 0
        try:
            for place, ask in enumerate(proof.asks):
                if place:
                    await self._give_way()
                boot_ms, data = await self._attempts(poll.unit, ask)
                row += data
                if place == proof.main:
                    read_ms = boot_ms
        except ExceptionReply as error:
            self._refused(poll, read, error, emit)
            if error.code in ADDRESS_EXCEPTIONS:
                proof.refused()
                poll.unit.doubt()
            return False
        if not proof.holds(row):
            emit(marked(read_ms, read, Quality.BAD_CONFIG))
            poll.unit.doubt()
            return False
        _report(read, read_ms, row, emit)
        poll.refused.pop(read.ask, None)
        return True

    async def _search(self, poll: Poll, read: Read, part: Part, error: ExceptionReply, emit: Emit) -> bool:
        """Part a refused read. Always False: something in it was not answered."""
        plan, now_ms = part.plan, self._clock.boot_ms()
        names = _names(poll, part)
        if len(read.series) == 1:
            if not plan.learned.is_refused(_span(part)):
                self._notice(f"{names}: {error} for {_where(read)}; it is left out and tried rarely")
            plan.learned.refuse(_span(part), now_ms)
            emit(marked(now_ms, read, Quality.BAD_CONFIG))
            return False
        left, right, between = plan.halves(part.block)
        answered = True
        for half in (left, right):
            if self._left <= 0:
                emit(marked(self._clock.boot_ms(), half, Quality.BAD_CONFIG))
                answered = False
                continue
            self._left -= 1
            await self._give_way()
            answered &= await self.read(poll, half, emit)
        if not answered:
            return False
        if between is not None:
            self._notice(f"{names}: {error} for {_where(read)}; not read across {_range(between)}")
            plan.learned.forbid(between, self._clock.boot_ms())
        else:
            longest = max(left.ask.count, right.ask.count)
            self._notice(f"{names}: {error} for {_where(read)}; at most {longest} are read at once")
            plan.learned.shorten(longest)
        return False

    def _refused(self, poll: Poll, read: Read, error: ExceptionReply, emit: Emit) -> None:
        """The device answers, but not this read: its series are marked, the others go on."""
        ours = error.code in CONFIGURATION_EXCEPTIONS
        if poll.refused.get(read.ask) != error.code:
            poll.refused[read.ask] = error.code
            hint = "; check the table in the site document" if ours else ""
            self._notice(f"{poll.unit.device.name}/{poll.name}: {error} for {_where(read)}{hint}")
        bad = Quality.BAD_CONFIG if ours else Quality.BAD_COMM
        emit(marked(self._clock.boot_ms(), read, bad))


def marked(boot_ms: int, read: Read, quality: Quality) -> Frame:
    """A read's series without values; what is read of them next is reported whatever it is."""
    if read.thinning is not None:
        read.thinning.forget()
    size = len(read.series)
    return Frame(boot_ms, read.series, (None,) * size, (int(quality),) * size)


def _report(read: Read, boot_ms: int, data: Sequence[int], emit: Emit) -> None:
    """Emit what of an answer is to be reported."""
    values, quality = read.decode(data)
    if read.thinning is None:
        emit(Frame(boot_ms, read.series, values, quality))
    elif (frame := read.thinning.frame(boot_ms, read.series, values, quality)) is not None:
        emit(frame)


def _span(part: Part) -> Span:
    return part.plan.spans[part.block.members[0]]


def _names(poll: Poll, part: Part) -> str:
    if len(part.block.members) > 1:
        return f"{poll.unit.device.name}/{poll.name}"
    return f"{poll.unit.device.name}/{part.plan.tags[part.block.members[0]].name}"


def _where(read: Read) -> str:
    return f"{read.ask.table} {_range(Span(read.ask.address, read.ask.count))}"


def _range(span: Span) -> str:
    return str(span.address) if span.count == 1 else f"{span.address} to {span.end - 1}"
