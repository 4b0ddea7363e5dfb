"""What is done next to get a file into the cloud, whatever the cloud, S3 and the file do meanwhile."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.files.messages import CloudRefused, Confirmed, UrlList, Urls
from headgate.files.plan import Plan
from headgate.files.transfer import (
    End,
    GetList,
    Hash,
    Put,
    Say,
    Step,
    Transfer,
    TransferTuning,
    Verdict,
    Wait,
)

FILE_ID = "0" * 32
TUNING = TransferTuning()


def a_plan(parts: int, salt: str = "") -> Plan:
    sums = tuple(
        base64.b64encode(hashlib.sha256(f"{salt}{n}".encode()).digest()).decode() for n in range(parts)
    )
    return Plan(FILE_ID, parts * 10 - 5, 10, sums)


def a_transfer(parts: int = 3, upload_id: str = "", done: tuple[int, ...] = ()) -> Transfer:
    return Transfer(a_plan(parts), TUNING, random.Random(1), upload_id, done)


def kind(step: Step) -> str:
    assert isinstance(step, Say)
    return str(json.loads(step.messages[0])["kind"])


def with_urls(
    transfer: Transfer, now_ms: int = 0, upload_id: str = "u-1", done: tuple[int, ...] = ()
) -> None:
    """Ask, hear, list."""
    assert kind(transfer.step(now_ms)) == "parts"
    transfer.said(now_ms)
    assert isinstance(transfer.step(now_ms), Wait)
    transfer.hear(Urls(FILE_ID, upload_id, "list"), now_ms)
    assert transfer.step(now_ms) == GetList("list")
    urls = {n: f"url-{n}" for n in range(1, transfer.plan.parts + 1) if n not in done}
    transfer.listed(UrlList(upload_id, frozenset(done), urls), now_ms)


def put_all(transfer: Transfer, now_ms: int = 0) -> list[int]:
    sent = []
    while isinstance(step := transfer.step(now_ms), Put):
        sent.append(step.number)
        transfer.put(step.number, Verdict.DONE, "", now_ms)
    return sent


def test_the_straight_way() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    assert put_all(transfer) == [1, 2, 3]
    assert kind(transfer.step(0)) == "sent"
    transfer.said(0)
    transfer.hear(Confirmed(FILE_ID, "u-1", "k", transfer.plan.sha256), 0)
    assert transfer.step(0) == End("complete", "", "", "u-1", "k")


def test_after_a_restart_the_cloud_is_asked_and_what_is_finished_is_not_sent() -> None:
    transfer = a_transfer(4, "u-1", (1,))
    with_urls(transfer, done=(2,))
    assert put_all(transfer) == [3, 4]
    whole = a_transfer(2, "u-1", (1, 2))
    with_urls(whole)
    assert kind(whole.step(0)) == "sent"
    other = a_transfer(2, "u-1", (1, 2))
    with_urls(other, upload_id="u-2")
    assert put_all(other) == [1, 2]


def test_an_answer_that_does_not_come_is_asked_for_again_later_and_later() -> None:
    transfer = a_transfer()
    waits = []
    now_ms = 0
    for _ in range(8):
        assert kind(transfer.step(now_ms)) == "parts"
        transfer.said(now_ms)
        step = transfer.step(now_ms)
        assert isinstance(step, Wait)
        waits.append(step.until_ms - now_ms)
        now_ms = step.until_ms
    assert waits[0] >= TUNING.answer_ms / 2
    assert all(later > earlier * 0.9 for earlier, later in itertools.pairwise(waits[:6]))
    assert max(waits) <= TUNING.answer_most_ms


def test_a_second_answer_to_one_question_changes_nothing() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.hear(Urls(FILE_ID, "u-1", "other list"), 0)
    assert isinstance(transfer.step(0), Put)
    transfer.hear(Urls(FILE_ID, "u-2", "other list"), 0)
    assert transfer.step(0) == GetList("other list")


def test_a_part_that_met_an_outage_is_tried_again_with_its_url() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.put(1, Verdict.AGAIN, "", 0)
    step = transfer.step(0)
    assert isinstance(step, Wait)
    assert transfer.step(step.until_ms) == Put(1, "url-1")


def test_a_part_that_may_have_arrived_is_asked_about() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.put(1, Verdict.UNSURE, "", 0)
    step = transfer.step(0)
    assert isinstance(step, Wait)
    with_urls(transfer, step.until_ms, done=(1,))
    assert put_all(transfer, step.until_ms) == [2, 3]


def test_expired_urls_are_asked_for_at_once_and_then_later() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.put(1, Verdict.DONE, "", 0)
    transfer.put(2, Verdict.DENIED, "403", 0)
    with_urls(transfer, done=(1,))
    transfer.put(2, Verdict.DENIED, "403", 0)
    assert isinstance(transfer.step(0), Wait)


def test_urls_that_are_denied_again_and_again_end_it() -> None:
    transfer = a_transfer()
    now_ms = 0
    for _ in range(TUNING.denials + 1):
        with_urls(transfer, now_ms)
        transfer.put(1, Verdict.DENIED, "S3 answered 403", now_ms)
        step = transfer.step(now_ms)
        now_ms = step.until_ms if isinstance(step, Wait) else now_ms
    end = transfer.step(now_ms)
    assert isinstance(end, End)
    assert (end.state, end.code) == ("failed", "upload_failed")
    assert "403" in end.detail


def test_an_upload_that_is_gone_is_begun_anew() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.put(1, Verdict.DONE, "", 0)
    transfer.put(2, Verdict.GONE, "404", 0)
    assert (transfer.upload_id, transfer.done) == ("", set())
    with_urls(transfer, upload_id="u-2")
    assert put_all(transfer) == [1, 2, 3]
    transfer.said(0)
    transfer.hear(CloudRefused(FILE_ID, "no_such_upload", "parts are missing"), 0)
    step = transfer.step(0)
    assert kind(transfer.step(step.until_ms if isinstance(step, Wait) else 0)) == "parts"


def test_other_bytes_than_planned_are_read_again_once() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.put(1, Verdict.MISMATCH, "400 BadDigest", 0)
    assert transfer.step(0) == Hash()
    transfer.hashed(a_plan(3, "other"), 0)
    with_urls(transfer, upload_id="u-2")
    transfer.put(1, Verdict.MISMATCH, "400 BadDigest", 0)
    assert transfer.step(0) == End("failed", "upload_failed", "400 BadDigest")


def test_a_file_that_changed_is_given_up() -> None:
    transfer = a_transfer()
    with_urls(transfer)
    transfer.put(1, Verdict.CHANGED, "it changed", 0)
    assert transfer.step(0) == End("changed", "changed", "it changed")


def test_a_file_that_the_cloud_does_not_know_is_announced_again_after_some_time() -> None:
    transfer = a_transfer()
    now_ms = 0
    for n in range(1, TUNING.unknown_before_announcing + 1):
        assert not transfer.announce_again
        transfer.said(now_ms)
        transfer.hear(CloudRefused(FILE_ID, "unknown", "announce it"), now_ms)
        step = transfer.step(now_ms)
        assert isinstance(step, Wait), n
        now_ms = step.until_ms
    assert transfer.announce_again
    assert now_ms > 20_000


@pytest.mark.parametrize("code", ["too_large", "bad_request", "a_new_word"])
def test_what_the_cloud_will_never_take_ends_it(code: str) -> None:
    transfer = a_transfer()
    transfer.said(0)
    transfer.hear(CloudRefused(FILE_ID, code, "no"), 0)
    assert transfer.step(0) == End("failed", "upload_failed", f"{code}: no")


@pytest.mark.parametrize(
    "message", [Confirmed(FILE_ID, "u", "k", "x"), CloudRefused(FILE_ID, "mismatch", "x")]
)
def test_a_mismatch_is_checked_once(message: Confirmed | CloudRefused) -> None:
    transfer = a_transfer()
    transfer.hear(message, 0)
    assert transfer.step(0) == Hash()
    transfer.hashed(transfer.plan, 0)
    transfer.hear(message, 0)
    assert isinstance(transfer.step(0), End)


@dataclass
class World:
    """A cloud and an S3 that follow the contract, with faults drawn by chance; counts what S3 got twice."""

    rng: random.Random
    faults: float
    plan: Plan
    upload_id: str = ""
    made: int = 0
    held: set[int] = field(default_factory=set)
    complete: bool = False
    again: int = 0
    inbox: list[Urls | Confirmed | CloudRefused] = field(default_factory=list)

    def say(self, step: Say) -> bool:
        """Whether the bus took it."""
        if self._strikes():
            return False
        if self._strikes():
            return True  # lost on the way
        body = json.loads(step.messages[-1])
        if self.complete:
            answer: Urls | Confirmed | CloudRefused = self._confirmed()
        elif body["kind"] == "parts":
            if not self.upload_id or self._strikes():
                self.made += 1
                self.upload_id, self.held = f"u-{self.made}", set()
            answer = Urls(FILE_ID, self.upload_id, self.upload_id)
        elif body["upload_id"] != self.upload_id or len(self.held) < self.plan.parts:
            answer = CloudRefused(FILE_ID, "no_such_upload", "ask anew")
        else:
            self.complete = True
            answer = self._confirmed()
        self.inbox += [answer] * self.rng.choice((1, 1, 2)) if not self._strikes() else []
        return True

    def list(self, upload_id: str) -> UrlList | None:
        if self._strikes() or upload_id != self.upload_id:
            return None
        missing = sorted(set(range(1, self.plan.parts + 1)) - self.held)[:4]
        return UrlList(upload_id, frozenset(self.held), {n: f"{upload_id}/{n}" for n in missing})

    def put(self, step: Put) -> Verdict:
        if self._strikes():
            return self.rng.choice((Verdict.AGAIN, Verdict.DENIED))
        upload_id, _, number = step.url.partition("/")
        if upload_id != self.upload_id or self.complete:
            return Verdict.GONE
        self.again += int(number) in self.held
        self.held.add(int(number))
        return Verdict.UNSURE if self._strikes() else Verdict.DONE

    def _confirmed(self) -> Confirmed:
        return Confirmed(FILE_ID, self.upload_id, "k", self.plan.sha256)

    def _strikes(self) -> bool:
        return self.rng.random() < self.faults


@settings(max_examples=200)
@given(seed=st.integers(0, 10**9), parts=st.integers(1, 12), faults=st.sampled_from((0.0, 0.1, 0.3)))
def test_whatever_happens_the_file_arrives_and_no_part_twice(seed: int, parts: int, faults: float) -> None:
    """Kills included: a new transfer that knows only what was recorded goes on."""
    rng = random.Random(seed)
    world = World(rng, faults, a_plan(parts))
    tuning = TransferTuning(denials=10**6)
    transfer = Transfer(world.plan, tuning, rng)
    recorded: tuple[str, set[int]] = ("", set())
    now_ms = 0
    for _ in range(20_000):
        if rng.random() < faults / 4:
            transfer = Transfer(world.plan, tuning, rng, recorded[0], recorded[1])
            world.inbox.clear()
        while world.inbox:
            transfer.hear(world.inbox.pop(0), now_ms)
        match transfer.step(now_ms):
            case End() as end:
                assert end.state == "complete", end
                assert (world.complete, world.again) == (True, 0)
                return
            case Wait() as wait:
                now_ms = max(now_ms, wait.until_ms)
            case Say() as say:
                if world.say(say):
                    transfer.said(now_ms)
                else:
                    transfer.unsaid(now_ms)
            case GetList() as wanted:
                found = world.list(wanted.url)
                if found is None:
                    transfer.list_failed(rng.choice((Verdict.AGAIN, Verdict.DENIED)), "", now_ms)
                else:
                    transfer.listed(found, now_ms)
                    recorded = (transfer.upload_id, set(transfer.done))
            case Put() as put:
                transfer.put(put.number, world.put(put), "", now_ms)
                if transfer.upload_id == recorded[0]:
                    recorded = (recorded[0], set(transfer.done))
    raise AssertionError("it never ends")
