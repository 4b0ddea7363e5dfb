"""The state machine of jobs against the device-side API, to the letter."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headgate.driver import Reply
from headgate.requests.job_actions import Action, Begin, Cancel, Publish, Say, step_minutes
from headgate.requests.jobs import (
    ANSWER_MS,
    ASK_EVERY_MS,
    BACK_OFF_MAX_MS,
    SILENCE_MS,
    JobMachine,
    Phase,
)

DOCUMENT = {"headgate": {"v": 1, "op": "read", "args": {}, "deadline_ms": 1}}
OK = Reply("j1", "ok", "ok")


def execution(job_id: str = "j1", status: str = "QUEUED", version: int = 1, **more: Any) -> dict[str, Any]:
    return {"jobId": job_id, "status": status, "versionNumber": version, "jobDocument": DOCUMENT, **more}


def one(actions: list[Action]) -> Publish:
    (action,) = actions
    assert isinstance(action, Publish)
    return action


class Play:
    """A machine that was started, and the cloud's side of the questions."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.machine = JobMachine("n", lambda document: 5)
        self.asked = one(self.machine.tick(0))

    @property
    def token(self) -> object:
        return self.asked.payload["clientToken"]

    def got(self, found: object) -> list[Action]:
        return self._note(self.machine.got(self.token, found, self.now_ms))

    def listed(self, message: dict[str, Any]) -> list[Action]:
        return self._note(self.machine.listed(self.token, message, self.now_ms))

    def accepted(self, version: int, status: str = "IN_PROGRESS") -> list[Action]:
        state = {"status": status, "versionNumber": version}
        return self._note(self.machine.updated(self.token, state, self.now_ms))

    def rejected(self, code: str, state: object = None) -> list[Action]:
        return self._note(self.machine.rejected(self.token, code, state, self.now_ms))

    def done(self, reply: Reply = OK) -> list[Action]:
        return self._note(self.machine.work_done("j1", reply, self.now_ms))

    def notified(self, found: object) -> list[Action]:
        return self._note(self.machine.notified(found, self.now_ms))

    def tick(self, ms: int) -> list[Action]:
        self.now_ms += ms
        return self._note(self.machine.tick(self.now_ms))

    def working(self) -> Play:
        self.got(execution())
        assert self.accepted(2) == [Begin("j1", DOCUMENT)]
        return self

    def ending(self, reply: Reply = OK) -> Play:
        self.working().done(reply)
        return self

    def _note(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            if isinstance(action, Publish):
                self.asked = action
        return actions


def test_a_job_from_the_queue_to_its_end() -> None:
    play = Play()
    assert play.asked.tail == "$next/get"
    claim = one(play.got(execution(version=3)))
    assert claim.tail == "j1/update"
    assert claim.payload["status"] == "IN_PROGRESS"
    assert claim.payload["expectedVersion"] == 3
    assert claim.payload["stepTimeoutInMinutes"] == 5
    assert play.accepted(4) == [Begin("j1", DOCUMENT)]
    end = one(play.done(Reply("j1", "refused", "writes_off", "no\nwrites")))
    assert end.payload["status"] == "REJECTED"
    assert end.payload["expectedVersion"] == 4
    assert end.payload["statusDetails"] == {"code": "writes_off", "detail": "no writes"}
    assert one(play.accepted(5, "REJECTED")).tail == "$next/get"
    assert play.got(None) == []
    assert play.machine.phase is Phase.IDLE
    assert play.machine.done == 1


@pytest.mark.parametrize(
    ("status", "end"),
    [("ok", "SUCCEEDED"), ("refused", "REJECTED"), ("failed", "FAILED"), ("expired", "FAILED")],
)
def test_each_status_has_its_end(status: Any, end: str) -> None:
    assert Play().ending(Reply("j1", status, "x", "y" * 3_000)).asked.payload["status"] == end
    play = Play().ending(Reply("j1", status, "x", "y" * 3_000))
    assert len(play.asked.payload["statusDetails"]["detail"]) == 1_000


def test_in_progress_found_after_a_crash_is_continued_without_a_claim() -> None:
    play = Play()
    assert play.got(execution(status="IN_PROGRESS", version=7)) == [Begin("j1", DOCUMENT)]
    assert one(play.done()).payload["expectedVersion"] == 7


def test_the_same_job_told_twice_is_begun_once() -> None:
    play = Play().working()
    assert play.notified(execution(status="IN_PROGRESS", version=2)) == []
    assert play.got(execution()) == []
    one(play.done())
    assert play.done() == []


def test_a_claim_that_somebody_was_quicker_with_asks_anew() -> None:
    for code in ("VersionMismatch", "InvalidStateTransition", "TerminalStateReached", "ResourceNotFound"):
        play = Play()
        play.got(execution())
        assert one(play.rejected(code)).tail == "$next/get"
        assert play.machine.phase is Phase.IDLE


def test_another_job_announced_while_working_is_looked_into_and_may_be_a_cancellation() -> None:
    play = Play().working()
    check = one(play.notified(execution("j2")))
    assert (check.tail, check.payload["status"]) == ("j1/update", "IN_PROGRESS")
    cancel, ask = play.rejected("TerminalStateReached")
    assert isinstance(cancel, Cancel)
    assert cancel.job_id == "j1"
    assert isinstance(ask, Publish)
    assert ask.tail == "$next/get"
    assert play.done() == []
    assert play.machine.cancelled == 1


def test_another_job_announced_while_ours_goes_on_changes_nothing() -> None:
    play = Play().working()
    play.notified(None)
    assert play.accepted(3) == [Begin("j1", DOCUMENT)]  # which the desk knows by its id
    assert one(play.done()).payload["expectedVersion"] == 3


def test_a_version_conflict_at_the_end_is_taken_over_and_sent_again() -> None:
    play = Play().ending()
    again = one(play.rejected("VersionMismatch", {"status": "IN_PROGRESS", "versionNumber": 9}))
    assert (again.payload["status"], again.payload["expectedVersion"]) == ("SUCCEEDED", 9)


def test_a_version_conflict_without_a_state_is_asked_for() -> None:
    play = Play().ending()
    assert one(play.rejected("VersionMismatch")).tail == "$next/get"
    again = one(play.got(execution(status="IN_PROGRESS", version=8)))
    assert (again.payload["status"], again.payload["expectedVersion"]) == ("SUCCEEDED", 8)


@pytest.mark.parametrize("code", ["TerminalStateReached", "InvalidStateTransition", "ResourceNotFound"])
def test_an_end_that_is_over_already_is_dropped(code: str) -> None:
    play = Play().ending()
    assert one(play.rejected(code)).tail == "$next/get"
    assert play.machine.phase is Phase.IDLE


def test_a_lost_update_is_repeated_until_it_is_answered() -> None:
    play = Play().ending()
    first = play.token
    assert play.tick(ANSWER_MS - 1) == []
    again = one(play.tick(1))
    assert again.payload["status"] == "SUCCEEDED"
    assert again.payload["clientToken"] != first
    waits = []
    for _ in range(8):
        wait_ms = play.machine.wake_ms() - play.now_ms
        waits.append(wait_ms)
        one(play.tick(wait_ms))
    assert waits == sorted(waits)
    assert waits[-1] == BACK_OFF_MAX_MS
    # It had arrived: the repetition finds the job over.
    assert (
        one(play.rejected("VersionMismatch", {"status": "SUCCEEDED", "versionNumber": 3})).tail == "$next/get"
    )


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError"])
def test_throttling_backs_off_and_asks_again(code: str) -> None:
    play = Play().ending()
    assert play.rejected(code) == []
    assert play.machine.phase is Phase.ENDING
    wait_ms = play.machine.wake_ms() - play.now_ms
    assert wait_ms >= ANSWER_MS
    assert one(play.tick(wait_ms)).payload["status"] == "SUCCEEDED"


@pytest.mark.parametrize("code", ["InvalidRequest", "InvalidJson", "InvalidTopic", None])
def test_what_the_cloud_will_never_take_is_said_and_left(code: Any) -> None:
    play = Play().ending()
    (said,) = play.rejected(code)
    assert isinstance(said, Say)
    assert play.machine.phase is Phase.IDLE
    assert play.machine.wake_ms() == BACK_OFF_MAX_MS


def foreign(job_id: str = "f1") -> dict[str, Any]:
    return {**execution(job_id), "jobDocument": {"other": 1}}


def pending(*queued: object, in_progress: object = ()) -> dict[str, Any]:
    return {"inProgressJobs": in_progress, "queuedJobs": [{"jobId": job_id} for job_id in queued]}


def test_somebody_elses_job_is_left_alone_said_once_and_what_is_behind_it_is_asked_for() -> None:
    play = Play()
    said, asked = play.got(foreign())
    assert isinstance(said, Say)
    assert isinstance(asked, Publish)
    assert (asked.tail, set(asked.payload)) == ("get", {"clientToken"})
    assert play.listed(pending("f1")) == []
    assert one(play.notified(foreign())).tail == "get"
    assert one(play.notified(execution("j2"))).tail == "j2/update"


def test_ours_behind_others_is_found_by_its_id_and_done() -> None:
    play = Play()
    play.got(foreign("f1"))
    assert one(play.listed(pending("f1", "f2", "gone", "j1"))).tail == "f2/get"
    said, asked = play.got(foreign("f2"))
    assert isinstance(said, Say)
    assert isinstance(asked, Publish)
    assert asked.tail == "gone/get"
    assert one(play.rejected("ResourceNotFound")).tail == "j1/get"
    assert play.asked.payload["includeJobDocument"] is True
    assert one(play.got(execution("j1", version=4))).tail == "j1/update"
    assert play.asked.payload["expectedVersion"] == 4
    (begun,) = play.accepted(5)
    assert begun == Begin("j1", DOCUMENT)


def test_behind_others_a_changed_list_is_looked_at_and_only_there() -> None:
    play = Play()
    play.got(foreign())
    play.listed(pending("f1"))
    assert one(play.machine.changed(play.now_ms)).tail == "get"
    play = Play()
    play.got(None)
    assert play.machine.changed(play.now_ms) == []


@pytest.mark.parametrize(
    "message", [{}, {"queuedJobs": None}, {"queuedJobs": [7, {"jobId": "a/b"}, {"jobId": 1}]}]
)
def test_a_list_that_is_none_leads_nowhere(message: dict[str, Any]) -> None:
    play = Play()
    play.got(foreign())
    assert play.listed(message) == []


@pytest.mark.parametrize("job_id", ["", "a/b", "+", "#", "../x", "x" * 65, 7, None])
def test_an_id_that_is_no_jobs_reaches_no_topic(job_id: Any) -> None:
    assert Play().got({**execution(), "jobId": job_id}) == []


def test_answers_to_others_and_late_ones_are_passed_over() -> None:
    play = Play().working()
    assert play.machine.updated("another's", {"versionNumber": 99}, 0) == []
    assert play.machine.rejected("another's", "TerminalStateReached", None, 0) == []
    assert play.machine.got("another's", execution("j2"), 0) == []
    assert one(play.done()).payload["expectedVersion"] == 2


def test_offline_it_asks_again_later_and_after_a_silence_at_once() -> None:
    play = Play()
    play.machine.not_published(play.token, 0)
    assert play.tick(ANSWER_MS) == []
    assert one(play.tick(ANSWER_MS)).tail == "$next/get"
    assert play.got(None) == []
    play.now_ms += SILENCE_MS
    assert one(play.machine.heard(play.now_ms)).tail == "$next/get"
    assert play.machine.heard(play.now_ms + 1) == []


def test_it_asks_now_and_then_by_itself() -> None:
    play = Play()
    play.got({})
    assert play.tick(ASK_EVERY_MS - 1) == []
    assert one(play.tick(1)).tail == "$next/get"
    working = Play().working()
    assert one(working.tick(ASK_EVERY_MS)).payload["status"] == "IN_PROGRESS"


def test_the_step_timeout_lies_behind_the_deadline() -> None:
    assert step_minutes({"headgate": {"deadline_ms": 600_000}}, 0) == 12
    assert step_minutes({"headgate": {"deadline_ms": 0}}, 10**12) == 1
    assert step_minutes({"headgate": {"deadline_ms": "soon"}}, 0) is None
    assert step_minutes({"headgate": 1}, 0) is None


def test_whatever_comes_it_goes_on(seed: int) -> None:
    chance = random.Random(seed)
    codes = ["VersionMismatch", "TerminalStateReached", "RequestThrottled", "InvalidJson", None, 7]
    things: list[Any] = [None, {}, [], 7, "x", execution(), execution("j2", "IN_PROGRESS", 4)]
    things += [{"jobId": 1}, execution(status="SUCCEEDED"), execution(version=True), {"versionNumber": "x"}]
    play = Play()
    for _ in range(20_000):
        some, token = chance.choice(things), chance.choice([play.token, play.token, "other", None])
        play.now_ms += chance.choice([0, 0, 1_000, ANSWER_MS, BACK_OFF_MAX_MS])
        match chance.randrange(7):
            case 0:
                play.notified(some)
            case 1:
                play._note(play.machine.got(token, some, play.now_ms))
            case 2:
                play._note(play.machine.updated(token, some, play.now_ms))
            case 3:
                play._note(play.machine.rejected(token, chance.choice(codes), some, play.now_ms))
            case 4:
                play.done()
            case 5:
                play.tick(0)
            case _:
                play.machine.not_published(token, play.now_ms)
        assert (play.machine.phase is Phase.IDLE) is (play.machine.job_id == "")
        assert play.machine.wake_ms() <= play.now_ms + max(ASK_EVERY_MS, BACK_OFF_MAX_MS)
