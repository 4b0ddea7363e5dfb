"""Gets one file into the cloud: does what the transfer says, on the bus, the disk and the network."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from headgate.clock import Clock
from headgate.driver import Refused
from headgate.errors import Reject, Retry
from headgate.files import messages
from headgate.files.folder import Folder
from headgate.files.messages import Down
from headgate.files.plan import Plan, make_plan, part_bytes_for
from headgate.files.record import Record
from headgate.files.transfer import End, GetList, Hash, Put, Say, Transfer, TransferTuning, Verdict, Wait
from headgate.files.wire import Outcome, Wire
from headgate.sleeper import Sleeper
from headgate.threads import Cancel, in_thread

MAX_HEARD = 32

SayUp = Callable[[bytes], Awaitable[None]]
"""Publishes on `up/file`. Raises Retry (away) or Reject (never)."""


class Changed(Exception):
    """The file is not what was asked for any more; the text says how."""


class Unreadable(Exception):
    """The file is there, and its disk does not give it; the text says why."""


@dataclass(slots=True)
class Tally:
    """What the courier has done since start."""

    hashed_bytes: int = 0
    sent_bytes: int = 0
    parts: int = 0
    denied: int = 0
    outages: int = 0
    ended: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Means:
    """What every sender works with. `announce` has a file (id) announced again, `notice` logs."""

    clock: Clock
    say: SayUp
    announce: Callable[[str], None]
    notice: Callable[[str], None]
    rng: random.Random
    tuning: TransferTuning
    tally: Tally


class Sender:
    """One file's. `run` returns how it ended, on disk by then; cancelled, it goes on after a restart."""

    def __init__(self, record: Record, folder: Folder, part_bytes: int, means: Means) -> None:
        self.record = record
        self._folder = folder
        self._part_bytes = part_bytes_for(record.want.mark.size_bytes, part_bytes)
        self._means = means
        self._heard: deque[Down] = deque(maxlen=MAX_HEARD)
        self._sleeper = Sleeper(means.clock)
        self._wire = Wire()

    def hear(self, message: Down) -> None:
        """The cloud says something about this file."""
        self._heard.append(message)
        self._sleeper.wake()

    async def run(self) -> End:
        """Work until it is over. Raises OSError where this gateway's own disk fails."""
        try:
            end = await self._work()
        except Changed as error:
            end = End("changed", "changed", str(error))
        except Unreadable as error:
            end = End("failed", "upload_failed", str(error))
        finally:
            self._wire.close()
        await in_thread(lambda _: self.record.ended(end), "courier record")
        ended = self._means.tally.ended
        ended[end.state] = ended.get(end.state, 0) + 1
        return end

    async def _work(self) -> End:
        record, now_ms = self.record, self._means.clock.boot_ms
        plan = record.plan
        if plan is None:
            plan = await self._hash()
        transfer = Transfer(plan, self._means.tuning, self._means.rng, record.upload_id, record.done)
        while True:
            while self._heard:
                transfer.hear(self._heard.popleft(), now_ms())
            if transfer.announce_again:
                transfer.announce_again = False
                self._means.announce(record.want.file_id)
            step = transfer.step(now_ms())
            match step:
                case End():
                    return step
                case Wait():
                    await self._sleeper.until(step.until_ms)
                case Say():
                    await self._say(step, transfer)
                case GetList():
                    await self._get_list(step, transfer)
                case Put():
                    await self._put(step, transfer)
                case Hash():
                    transfer.hashed(await self._hash(), now_ms())

    async def _say(self, step: Say, transfer: Transfer) -> None:
        try:
            for message in step.messages:
                await self._means.say(message)
        except Retry as error:
            self._means.notice(f"{self.record.want.path}: {error}")
            transfer.unsaid(self._means.clock.boot_ms())
        else:
            transfer.said(self._means.clock.boot_ms())

    async def _get_list(self, step: GetList, transfer: Transfer) -> None:
        outcome = await in_thread(lambda cancel: self._wire.get(step.url, cancel), "courier list")
        if outcome.verdict is Verdict.DONE:
            try:
                found = messages.parse_list(outcome.data)
            except Reject as error:
                outcome = Outcome(Verdict.DENIED, str(error))
            else:
                transfer.listed(found, self._means.clock.boot_ms())
                upload_id, done = transfer.upload_id, frozenset(transfer.done)
                await in_thread(lambda _: self.record.uploading(upload_id, done), "courier record")
                return
        self._complain("list of URLs", outcome)
        transfer.list_failed(outcome.verdict, outcome.detail, self._means.clock.boot_ms())

    async def _put(self, step: Put, transfer: Transfer) -> None:
        outcome = await in_thread(lambda cancel: self._sent(step, transfer.plan, cancel), "courier part")
        if outcome.verdict is Verdict.DONE:
            size_bytes = transfer.plan.place(step.number)[1]
            self._means.tally.parts += 1
            self._means.tally.sent_bytes += size_bytes
        else:
            self._complain(f"part {step.number}", outcome)
        transfer.put(step.number, outcome.verdict, outcome.detail, self._means.clock.boot_ms())

    def _sent(self, step: Put, plan: Plan, cancel: Cancel) -> Outcome:
        """In a thread: send a part, and note it as finished before anybody hears of it."""
        want = self.record.want
        offset, size_bytes = plan.place(step.number)
        try:
            with self._folder.opened(want.path) as (file, mark):
                if mark != want.mark:
                    return Outcome(Verdict.CHANGED, "the file has changed since it was asked for")
                checksum = plan.checksums[step.number - 1]
                outcome = self._wire.put(step.url, file, offset, size_bytes, checksum, cancel)
            if outcome.verdict is Verdict.MISMATCH and self._folder.look(want.path) != want.mark:
                return Outcome(Verdict.CHANGED, "the file changed while it was sent")
        except Refused as error:
            return Outcome(Verdict.CHANGED, str(error))
        except Reject as error:
            return Outcome(Verdict.CHANGED, str(error))
        if outcome.verdict is Verdict.DONE:
            self.record.part(step.number)
        return outcome

    async def _hash(self) -> Plan:
        """One pass over the file. Raises Changed or Unreadable."""
        plan = await in_thread(self._hashed, "courier hash")
        self._means.tally.hashed_bytes += plan.size_bytes
        return plan

    def _hashed(self, cancel: Cancel) -> Plan:
        want = self.record.want
        try:
            with self._folder.opened(want.path) as (file, mark):
                if mark != want.mark:
                    raise Changed("the file has changed since it was asked for")
                plan = make_plan(want.file_id, file, want.mark.size_bytes, self._part_bytes, cancel.check)
            if self._folder.look(want.path) != want.mark:
                raise Changed("the file changed while it was read")
        except Reject as error:
            raise Changed(str(error)) from error
        except OSError as error:
            raise Unreadable(f"the file cannot be read: {error.strerror}") from error
        known = self.record.plan
        if known is None or known.checksums != plan.checksums:
            self.record.planned(plan)
        return plan

    def _complain(self, what: str, outcome: Outcome) -> None:
        outage = outcome.verdict in (Verdict.AGAIN, Verdict.UNSURE)
        self._means.tally.outages += outage
        self._means.tally.denied += not outage
        self._means.notice(f"{self.record.want.path}, {what}: {outcome.detail}")
