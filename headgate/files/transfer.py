"""What to do next to get one file into the cloud: a state machine without clock, socket or disk.

The edge (sender.py) asks `step`, does what it says and tells what came of it; messages of the cloud come in
through `hear`, at any moment and any number of times.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from headgate.files import messages
from headgate.files.backoff import Backoff
from headgate.files.messages import CloudRefused, Confirmed, Down, UrlList, Urls
from headgate.files.plan import Plan

State = Literal["complete", "changed", "failed"]


class Verdict(Enum):
    """What became of a part, or of a list of URLs."""

    DONE = "done"
    AGAIN = "again"  # an outage, and surely nothing was kept: the same once more, later
    UNSURE = "unsure"  # an outage after all was sent: only the cloud knows
    DENIED = "denied"  # the URL is worth nothing (expired, another's): ask for another
    GONE = "gone"  # the upload is not there any more
    MISMATCH = "mismatch"  # other bytes came than were planned
    CHANGED = "changed"  # the file is not what it was


@dataclass(frozen=True, slots=True)
class Say:
    """Publish these on `up/file`; then `said` or `unsaid`."""

    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GetList:
    """Fetch the list of URLs; then `listed` or `list_failed`."""

    url: str


@dataclass(frozen=True, slots=True)
class Put:
    """Send a part; then `put`."""

    number: int
    url: str


@dataclass(frozen=True, slots=True)
class Hash:
    """Read the file again: what was planned is in doubt; then `hashed`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until then, unless something is heard."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class End:
    """It is over. `code` and `detail` say why it did not go well."""

    state: State
    code: str = ""
    detail: str = ""
    upload_id: str = ""
    key: str = ""


Step = Say | GetList | Put | Hash | Wait | End


@dataclass(frozen=True, slots=True)
class TransferTuning:
    """Waits in ms: for an answer, after an outage, before asking again for what was denied or unknown."""

    answer_ms: int = 15_000
    answer_most_ms: int = 300_000
    outage_ms: int = 500
    outage_most_ms: int = 120_000
    denied_ms: int = 1_000
    denied_most_ms: int = 300_000
    unknown_ms: int = 2_000
    denials: int = 12
    """So often in a row, with no part stored in between, and it is given up."""
    unknown_before_announcing: int = 6


class Transfer:
    """One file on its way. `upload_id` and `done` are what a former process knew."""

    def __init__(
        self,
        plan: Plan,
        tuning: TransferTuning,
        rng: random.Random,
        upload_id: str = "",
        done: Iterable[int] = (),
    ) -> None:
        self.plan = plan
        self.upload_id = upload_id
        self.done: set[int] = set(done)
        self.announce_again = False
        self._tuning = tuning
        self._urls: dict[int, str] = {}
        self._list = ""
        self._end: End | None = None
        self._doubted = False
        self._hash = False
        self._unknown = 0
        # Without URLs nothing is sent, and whether all that was done is still there only the cloud knows.
        self._asked_once = False
        self._wait_until_ms = 0
        self._answer = Backoff(tuning.answer_ms, tuning.answer_most_ms, rng)
        self._outage = Backoff(tuning.outage_ms, tuning.outage_most_ms, rng)
        self._away = Backoff(tuning.outage_ms, tuning.outage_most_ms, rng)
        self._denied = Backoff(tuning.denied_ms, tuning.denied_most_ms, rng)
        self._later = Backoff(tuning.unknown_ms, tuning.denied_most_ms, rng)

    def step(self, now_ms: int) -> Step:
        """What to do now; `now_ms` is boottime."""
        if self._end is not None:
            return self._end
        if self._hash:
            return Hash()
        if now_ms < self._wait_until_ms:
            return Wait(self._wait_until_ms)
        if self._list:
            return GetList(self._list)
        if self._asked_once and self.upload_id and len(self.done) == self.plan.parts:
            return Say((messages.sent(self.plan.file_id, self.upload_id),))
        number = next((n for n in sorted(self._urls) if n not in self.done), None)
        if number is not None:
            return Put(number, self._urls[number])
        return Say(tuple(messages.parts(self.plan)))

    # What came of a step.

    def said(self, now_ms: int) -> None:
        """The messages are on their way; an answer that does not come is asked for again."""
        self._away.reset()
        self._wait_until_ms = now_ms + self._answer.next_ms()

    def unsaid(self, now_ms: int) -> None:
        """The bus or the cloud is away."""
        self._wait_until_ms = now_ms + self._away.next_ms()

    def listed(self, found: UrlList, now_ms: int) -> None:
        """The list is here. What this gateway knows as done stays done within an upload."""
        self._list = ""
        self._answer.reset()
        self._asked_once = True
        if found.upload_id != self.upload_id:
            self.upload_id, self.done = found.upload_id, set()
        everything = range(1, self.plan.parts + 1)
        self.done |= found.done & set(everything)
        self._urls = {n: url for n, url in found.urls.items() if n in everything and n not in self.done}
        if not self._urls and len(self.done) < self.plan.parts:
            self._ask_anew(now_ms, "the list has no URL for what is missing")

    def list_failed(self, verdict: Verdict, detail: str, now_ms: int) -> None:
        """The list could not be had."""
        if verdict in (Verdict.AGAIN, Verdict.UNSURE):
            self._wait_until_ms = now_ms + self._outage.next_ms()
        else:
            self._ask_anew(now_ms, detail)

    def put(self, number: int, verdict: Verdict, detail: str, now_ms: int) -> None:
        """What became of a part."""
        match verdict:
            case Verdict.DONE:
                self.done.add(number)
                self._urls.pop(number, None)
                for backoff in (self._outage, self._answer, self._denied):
                    backoff.reset()
            case Verdict.AGAIN:
                self._wait_until_ms = now_ms + self._outage.next_ms()
            case Verdict.UNSURE:
                self._urls.clear()
                self._wait_until_ms = now_ms + self._outage.next_ms()
            case Verdict.DENIED:
                self._ask_anew(now_ms, detail)
            case Verdict.GONE:
                self._forget()
                self._ask_anew(now_ms, detail)
            case Verdict.MISMATCH:
                self._doubt(detail)
            case Verdict.CHANGED:
                self._end = End("changed", "changed", detail)

    def hashed(self, plan: Plan, now_ms: int) -> None:
        """The file was read again: with another result it goes under the new plan, as another upload."""
        self._hash = False
        if plan.checksums != self.plan.checksums:
            self.plan = plan
            self._forget()
        self._ask_anew(now_ms, "the file was read again")

    def changed(self, detail: str) -> None:
        """The file is not what was asked for any more."""
        self._end = End("changed", "changed", detail)

    # What the cloud says.

    def hear(self, message: Down, now_ms: int) -> None:
        """Take in a message about this file."""
        match message:
            case Urls():
                if self._urls and message.upload_id == self.upload_id:
                    return  # a second answer to one question
                self._list = message.list_url
                self._unknown = 0
                self._later.reset()
                self._wait_until_ms = now_ms
            case Confirmed() if message.sha256 == self.plan.sha256:
                self._end = End("complete", "", "", message.upload_id, message.key)
            case Confirmed():
                self._doubt(f"the cloud has this file with the checksum {message.sha256}")
            case CloudRefused():
                self._refused(message, now_ms)

    def _refused(self, message: CloudRefused, now_ms: int) -> None:
        detail = f"{message.code}: {message.detail}"
        match message.code:
            case "unknown":
                self._unknown += 1
                if self._unknown % self._tuning.unknown_before_announcing == 0:
                    self.announce_again = True
                self._urls.clear()
                self._wait_until_ms = now_ms + self._later.next_ms()
            case "no_such_upload":
                self._forget()
                self._ask_anew(now_ms, detail)
            case "expired":
                self._ask_anew(now_ms, detail)
            case "mismatch":
                self._doubt(detail)
            case _:
                self._end = End("failed", "upload_failed", detail)

    def _ask_anew(self, now_ms: int, detail: str) -> None:
        self._urls.clear()
        self._list = ""
        self._asked_once = False
        if self._denied.failures >= self._tuning.denials:
            self._end = End(
                "failed", "upload_failed", f"given up after {self._denied.failures} tries: {detail}"
            )
        # The first question after an expiry need not wait.
        first = self._denied.failures == 0
        wait_ms = self._denied.next_ms()
        self._wait_until_ms = now_ms + (0 if first else wait_ms)

    def _forget(self) -> None:
        self.upload_id, self.done = "", set()

    def _doubt(self, detail: str) -> None:
        """What was hashed is not what is there: once it is read again, then it is given up."""
        if self._doubted:
            self._end = End("failed", "upload_failed", detail)
        else:
            self._doubted = self._hash = True
