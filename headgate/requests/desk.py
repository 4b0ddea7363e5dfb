"""Takes requests from the carriers and has each carried out once: limits, deadline, ledger, audit, reply."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar

from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Reject, Retry
from headgate.inbox import Inbox, Overflow
from headgate.limited_log import LimitedLog
from headgate.model import ClockState
from headgate.requests.ledger import PERHAPS, Answer, Found, Ledger
from headgate.requests.model import MAX_DETAIL, Asked
from headgate.store.state import Queued

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MAX_AHEAD_MS = 31 * 86_400_000
"""A deadline further ahead is a wrong one; ids are kept until it."""

Deliver = Callable[[Reply], None]
"""Takes the reply to bring to whoever asked; must not block."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that may be asked for.

    `at_once`: so many of it are carried out at the same time. `repeatable`: found half done after a crash it
    is simply done again, because doing it twice is doing it once. `barred`: why it is not done now (code and
    detail), whatever is asked; such a refusal is not kept.
    """

    run: Callable[[Request], Awaitable[Reply]]
    at_once: int = 4
    repeatable: bool = True
    barred: Callable[[], tuple[str, str] | None] = lambda: None


Operations = Mapping[str, Operation]


class Writing(Protocol):
    """Runs work in the store's thread (`headgate.store.writer.Writer`)."""

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


@dataclass(frozen=True, slots=True)
class DeskTuning:
    """`workers` requests are carried out at once, `waiting` wait; more are refused as `too_many`."""

    workers: int = 4
    waiting: int = 32


@dataclass(slots=True)
class DeskCounters:
    """Requests since start, by what became of them; `repeated` had their reply already or were under way."""

    ok: int = 0
    refused: int = 0
    failed: int = 0
    expired: int = 0
    repeated: int = 0


@dataclass(slots=True)
class _Under:
    """A request under way: who waits for its reply, and what to cancel."""

    digest: str
    deliver: list[Deliver]
    since_ms: int
    work: asyncio.Task[Reply] | None = None
    cancelled: str = ""


@dataclass(slots=True)
class Desk:
    """Where all carriers hand in. Call `recover` first; `run` until cancelled.

    `offer` gets the envelopes that were queued with a reply. `args_of` fetches arguments from a URL.
    """

    ledger: Ledger
    writer: Writing
    clock: Clock
    operations: Operations
    offer: Callable[[Sequence[Queued]], None]
    args_of: Callable[[str, str], Awaitable[Mapping[str, Any]]]
    tuning: DeskTuning = field(default_factory=DeskTuning)
    counters: DeskCounters = field(default_factory=DeskCounters)
    _waiting: Inbox[tuple[Asked, _Under]] = field(init=False)
    _refusals: Inbox[tuple[Answer, Deliver]] = field(init=False)
    _under: dict[str, _Under] = field(default_factory=dict)
    _shed: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _complaints: LimitedLog = field(default_factory=lambda: LimitedLog(log))

    def __post_init__(self) -> None:
        waiting = self.tuning.waiting
        self._waiting = Inbox(waiting, waiting, Overflow.DROP_NEWEST)
        self._refusals = Inbox(4 * waiting, 4 * waiting, Overflow.DROP_NEWEST)
        self._slots = {op: asyncio.Semaphore(limits.at_once) for op, limits in self.operations.items()}

    async def recover(self) -> None:
        """Settle what a crash left behind; before the carriers hand anything in."""
        again = {op for op, operation in self.operations.items() if operation.repeatable}
        self.offer(await self.writer.call(self.ledger.recover, again, *self._now()))

    async def run(self) -> None:
        """Work until cancelled; what is under way then is found as started by the next start."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refuse_regularly(), name="requests refused")
            free = asyncio.Semaphore(self.tuning.workers)
            while True:
                await free.acquire()
                asked, under = await anext(self._waiting)
                work = group.create_task(self._work(asked, under), name=f"answer {asked.request.id}")
                work.add_done_callback(lambda _: free.release())

    def submit(self, asked: Asked, deliver: Deliver) -> None:
        """Take a request; `deliver` is called once with its reply, unless this process ends before."""
        key = asked.request.id
        under = self._under.get(key)
        if under is not None and under.digest == asked.digest:
            self.counters.repeated += 1
            under.deliver.append(deliver)
            del under.deliver[: -self.tuning.waiting]
            return
        if under is not None:
            self.refuse(asked.request, asked.digest, _reused(key), deliver)
            return
        if len(self._waiting) >= self.tuning.waiting or key in self._shed:
            self._shed[key] = None
            while len(self._shed) > 1_000:
                self._shed.popitem(last=False)
            detail = f"{self.tuning.waiting} requests wait already: ask again later, under another id"
            self.refuse(asked.request, asked.digest, Reply(key, "refused", "too_many", detail), deliver)
            return
        under = self._under[key] = _Under(asked.digest, [deliver], self.clock.boot_ms())
        self._waiting.put((asked, under), 1)

    def refuse(self, request: Request, digest: str, reply: Reply, deliver: Deliver) -> None:
        """Answer and audit a request that is not even looked at; past a bound such are dropped, counted."""
        answer = Answer(request, digest, reply, 0, remember=request.carrier == "job")
        before = self._refusals.dropped
        self._refusals.put((answer, deliver), 1)
        if self._refusals.dropped > before:
            self._complaints.warning(
                "dropped", "requests: too many are refused at once; one was not answered"
            )

    def cancel(self, request_id: str, why: str) -> None:
        """Whoever asked took it back: end the work; its reply says `cancelled`."""
        under = self._under.get(request_id)
        if under is not None:
            under.cancelled = why
            if under.work is not None:
                under.work.cancel()

    async def _refuse_regularly(self) -> None:
        async for answer, deliver in self._refusals:
            deliver(await self._close(answer))

    async def _work(self, asked: Asked, under: _Under) -> None:
        try:
            reply = await self._answered(asked, under)
        finally:
            self._under.pop(asked.request.id, None)
        for deliver in under.deliver:
            deliver(reply)

    async def _answered(self, asked: Asked, under: _Under) -> Reply:
        request = asked.request
        refusal = self._refusal(asked)
        if refusal is not None:
            found, reply = await self.writer.call(self.ledger.look, asked)
        else:
            once = not self.operations[request.op].repeatable
            found, reply = await self.writer.call(self.ledger.open, asked, self.clock.utc_ms(), once=once)
        if found is Found.ANSWERED and reply is not None:
            self.counters.repeated += 1
            return reply
        if found is Found.OTHER:
            refusal = _reused(request.id)
        elif found is Found.FULL:
            refusal = Reply(request.id, "refused", "too_many", "the gateway keeps as many ids as it can")
        if refusal is None:
            request, refusal = await self._carried_out(asked, under)
        took_ms = self.clock.boot_ms() - under.since_ms
        remember = request.carrier == "job" and found is not Found.OTHER
        return await self._close(Answer(request, asked.digest, refusal, took_ms, remember))

    def _refusal(self, asked: Asked) -> Reply | None:
        """The answer to what is not to be carried out, whatever its arguments."""
        request = asked.request
        ahead_ms = request.deadline_ms - self.clock.utc_ms()
        if request.op not in self.operations:
            known = ", ".join(sorted(self.operations))
            return Reply(
                request.id, "refused", "unknown_op", f"{request.op!r} is not known; known are {known}"
            )
        operation = self.operations[request.op]
        if (barred := operation.barred()) is not None:
            return Reply(request.id, "refused", *barred)
        if asked.args_uri and not operation.repeatable:
            detail = f"{request.op} has its args with it: they are audited before it is done"
            return Reply(request.id, "refused", "bad_request", detail)
        if ahead_ms <= 0:
            return Reply(request.id, "expired", "expired", f"the deadline passed {-ahead_ms} ms ago")
        if ahead_ms > MAX_AHEAD_MS and self.clock.state() is not ClockState.UNSYNCED:
            detail = f"deadline_ms is {ahead_ms} ms ahead, at most {MAX_AHEAD_MS} ms are taken"
            return Reply(request.id, "refused", "bad_request", detail)
        return None

    async def _carried_out(self, asked: Asked, under: _Under) -> tuple[Request, Reply]:
        """Do it, until its deadline at the latest; returns the request with its arguments, and the reply."""
        seen = [asked.request]
        key = asked.request.id
        left_ms = asked.request.deadline_ms - self.clock.utc_ms()
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._attempt(asked, seen), name=f"request {key}")
            timer = group.create_task(
                self.clock.sleep_until(self.clock.boot_ms() + max(0, left_ms)), name=f"deadline {key}"
            )
            under.work = work
            if under.cancelled:
                work.cancel()
            await asyncio.wait((work, timer), return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))
        if work.cancelled():
            if under.cancelled:
                perhaps = "" if self.operations[asked.request.op].repeatable else PERHAPS
                return seen[-1], Reply(key, "failed", "cancelled", f"{under.cancelled}{perhaps}")
            perhaps = "" if self.operations[asked.request.op].repeatable else PERHAPS
            detail = f"not done within {max(0, left_ms)} ms{perhaps}"
            return seen[-1], Reply(key, "failed", "timeout", detail)
        return seen[-1], work.result()

    async def _attempt(self, asked: Asked, seen: list[Request]) -> Reply:
        request = asked.request
        try:
            async with self._slots[request.op]:
                if asked.args_uri:
                    request = asked.with_args(await self.args_of(asked.args_uri, asked.args_sha256))
                    seen.append(request)
                return await self.operations[request.op].run(request)
        except Reject as error:
            code = error.code if isinstance(error, Refused) else "bad_request"
            return Reply(request.id, "refused", code, str(error)[:MAX_DETAIL])
        except Retry as error:
            return Reply(request.id, "failed", "offline", str(error)[:MAX_DETAIL])

    async def _close(self, answer: Answer) -> Reply:
        reply, queued = await self.writer.call(self.ledger.close, answer, *self._now())
        self.offer(queued)
        name = reply.status
        setattr(self.counters, name, getattr(self.counters, name) + 1)
        if name != "ok":
            self._complaints.warning(
                f"answered {reply.code}",
                "request %s (%s, %s): %s, %s: %s",
                answer.request.id or "without id",
                answer.request.carrier,
                answer.request.op or "no op",
                name,
                reply.code,
                reply.detail,
            )
        return reply

    def _now(self) -> tuple[int, ClockState]:
        return self.clock.utc_ms(), self.clock.state()


def _reused(request_id: str) -> Reply:
    return Reply(request_id, "refused", "id_reused", "another request came under this id before")
