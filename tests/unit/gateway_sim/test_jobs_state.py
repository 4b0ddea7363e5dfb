"""The jobs state machine: transitions, versions, order, timers, notifications."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway_sim.cloud.jobs_model import BY_DEVICE, PENDING, Refusal, checked_details
from gateway_sim.cloud.jobs_state import Jobs

THING = "gw-1"


@dataclass
class Clock:
    at_s: float = 1_763_685_600.0

    def __call__(self) -> float:
        return self.at_s


def made(*job_ids: str, **options: int) -> tuple[Jobs, Clock]:
    clock = Clock()
    jobs = Jobs(clock)
    for job_id in job_ids:
        jobs.create(job_id, "{}", [], [THING], timeout_minutes=options.get("timeout_minutes"))
    jobs.take_notices()
    return jobs, clock


def refusal(code: str) -> pytest.RaisesExc[Refusal]:
    return pytest.RaisesExc(Refusal, check=lambda error: error.code == code)


def topics(jobs: Jobs) -> list[str]:
    return [notice.topic for notice in jobs.take_notices()]


def test_in_progress_comes_before_queued_each_in_its_order() -> None:
    jobs, _ = made("a", "b", "c", "d")
    jobs.update(THING, "d", "IN_PROGRESS")
    jobs.update(THING, "c", "IN_PROGRESS")
    assert [one.job_id for one in jobs.pending(THING)] == ["c", "d", "a", "b"]
    found = jobs.describe(THING, "$next")
    assert found is not None
    assert found.job_id == "c"


def test_notify_next_only_when_the_next_one_changes() -> None:
    jobs, _ = made()
    jobs.create("a", "{}", [], [THING])
    assert topics(jobs) == ["notify", "notify-next"]
    jobs.create("b", "{}", [], [THING])
    assert topics(jobs) == ["notify"]
    jobs.start_next(THING)
    assert topics(jobs) == ["notify"]  # the same one is next, in another state
    jobs.update(THING, "a", "IN_PROGRESS", details={"step": "2"})
    assert topics(jobs) == []
    jobs.update(THING, "a", "SUCCEEDED")
    assert topics(jobs) == ["notify", "notify-next"]
    jobs.cancel("b")
    last = jobs.take_notices()
    assert [notice.topic for notice in last] == ["notify", "notify-next"]
    assert last[0].body["jobs"] == {}
    assert "execution" not in last[1].body


def test_one_behind_that_starts_becomes_next() -> None:
    jobs, _ = made("a", "b")
    jobs.update(THING, "b", "IN_PROGRESS")
    notify, notify_next = jobs.take_notices()
    assert notify.body["jobs"] == {
        "IN_PROGRESS": [jobs.execution(THING, "b").summary()],
        "QUEUED": [jobs.execution(THING, "a").summary()],
    }
    execution = notify_next.body["execution"]
    assert isinstance(execution, dict)
    assert (execution["jobId"], execution["status"]) == ("b", "IN_PROGRESS")


def test_no_more_than_fifteen_are_listed() -> None:
    jobs, _ = made(*(f"j{i}" for i in range(20)))
    jobs.create("last", "{}", [], [THING])
    listed = jobs.take_notices()[0].body["jobs"]
    assert isinstance(listed, dict)
    assert len(listed["QUEUED"]) == 15


def test_versions_count_updates_and_a_stale_one_is_refused_with_the_state() -> None:
    jobs, _ = made("a")
    assert jobs.update(THING, "a", "IN_PROGRESS", version=1).version == 2
    with refusal("VersionMismatch") as caught:
        jobs.update(THING, "a", "SUCCEEDED", version=1)
    assert caught.value.state == {"status": "IN_PROGRESS", "statusDetails": {}, "versionNumber": 2}
    assert jobs.update(THING, "a", "SUCCEEDED", version=2).version == 3
    with refusal("InvalidStateTransition") as caught:
        jobs.update(THING, "a", "IN_PROGRESS")
    assert caught.value.state is not None
    assert caught.value.state["status"] == "SUCCEEDED"
    with refusal("TerminalStateReached"):
        jobs.describe(THING, "a")
    assert jobs.jobs["a"].status == "COMPLETED"


def test_start_next_leaves_one_in_progress_as_it_is() -> None:
    jobs, _ = made("a", "b")
    first = jobs.start_next(THING, {"by": "x"})
    again = jobs.start_next(THING, {"by": "y"})
    assert first is again
    assert first is not None
    assert (first.job_id, first.details, first.version) == ("a", {"by": "x"}, 2)


@pytest.mark.parametrize("status", ["QUEUED", "CANCELED", "TIMED_OUT", "REMOVED", "DONE"])
def test_a_device_sets_four_states_only(status: str) -> None:
    jobs, _ = made("a")
    with refusal("InvalidRequest"):
        jobs.update(THING, "a", status)


def test_unknown_things_jobs_and_numbers() -> None:
    jobs, _ = made("a")
    for thing, job_id, number in (("gw-2", "a", None), (THING, "b", None), (THING, "a", 2)):
        with refusal("ResourceNotFound"):
            jobs.describe(thing, job_id, number)
    assert jobs.describe("gw-2", "$next") is None


def test_step_timer_runs_is_set_again_and_taken_away() -> None:
    jobs, clock = made("a")
    jobs.start_next(THING, None, 1)
    clock.at_s += 59
    jobs.expire()
    assert jobs.execution(THING, "a").status == "IN_PROGRESS"
    jobs.update(THING, "a", "IN_PROGRESS", step_minutes=2)
    assert jobs.next_deadline() == clock.at_s + 120
    jobs.update(THING, "a", "IN_PROGRESS", step_minutes=-1)
    assert jobs.next_deadline() is None
    jobs.update(THING, "a", "IN_PROGRESS", step_minutes=1)
    clock.at_s += 60
    jobs.take_notices()
    jobs.expire()
    assert jobs.execution(THING, "a").status == "TIMED_OUT"
    assert topics(jobs) == ["notify", "notify-next"]
    assert jobs.next_deadline() is None
    with refusal("InvalidStateTransition"):
        jobs.update(THING, "a", "SUCCEEDED")
    for minutes in (0, -2, 10_081):
        with refusal("InvalidRequest"):
            jobs.update(THING, "a", "IN_PROGRESS", step_minutes=minutes)


def test_a_jobs_timeout_starts_when_its_execution_does() -> None:
    jobs, clock = made("a", timeout_minutes=1)
    clock.at_s += 600
    jobs.expire()
    jobs.start_next(THING, None, 5)
    assert jobs.next_deadline() == clock.at_s + 60  # a step's timer cannot outlast it
    clock.at_s += 60
    jobs.expire()
    assert jobs.execution(THING, "a").status == "TIMED_OUT"


def test_cancel_takes_those_in_progress_only_by_force() -> None:
    jobs, _ = made("a", "b")
    jobs.update(THING, "a", "IN_PROGRESS")
    jobs.cancel("a")
    assert jobs.execution(THING, "a").status == "IN_PROGRESS"
    jobs.update(THING, "b", "IN_PROGRESS")
    jobs.cancel("b", force=True)
    with refusal("InvalidStateTransition"):
        jobs.update(THING, "b", "SUCCEEDED")
    with refusal("InvalidRequest"):
        jobs.cancel("b")


def test_cancel_of_one_execution() -> None:
    jobs, _ = made("a", "b")
    jobs.update(THING, "a", "IN_PROGRESS")
    with refusal("InvalidStateTransition"):
        jobs.cancel_execution(THING, "a")
    with refusal("VersionMismatch"):
        jobs.cancel_execution(THING, "a", force=True, version=1)
    jobs.cancel_execution(THING, "a", force=True, version=2, details={"why": "test"})
    found = jobs.execution(THING, "a")
    assert (found.status, found.force_canceled, found.details) == ("CANCELED", True, {"why": "test"})
    with refusal("InvalidStateTransition"):
        jobs.cancel_execution(THING, "a", force=True)


def test_delete_takes_the_execution_away() -> None:
    jobs, _ = made("a", "b")
    with refusal("InvalidStateTransition"):
        jobs.delete("a")
    jobs.delete("a", force=True)
    notify, notify_next = jobs.take_notices()
    assert notify.body["jobs"] == {"QUEUED": [jobs.execution(THING, "b").summary()]}
    execution = notify_next.body["execution"]
    assert isinstance(execution, dict)
    assert execution["jobId"] == "b"


@pytest.mark.parametrize(
    ("job_id", "text", "code"),
    [
        ("a b", "{}", "InvalidRequest"),
        ("x" * 65, "{}", "InvalidRequest"),
        ("a", "{}", "ResourceAlreadyExists"),
        ("b", '{"x": "' + "y" * 32_760 + '"}', "InvalidRequest"),
        ("b", "[]", "InvalidRequest"),
        ("b", "{", "InvalidRequest"),
    ],
)
def test_what_cannot_be_created(job_id: str, text: str, code: str) -> None:
    jobs, _ = made("a")
    with refusal(code):
        jobs.create(job_id, text, [], [THING])


@pytest.mark.parametrize(
    "details",
    [
        [],
        {str(i): "x" for i in range(11)},
        {"a b": "x"},
        {"k" * 129: "x"},
        {"": "x"},
        {"k": ""},
        {"k": 1},
        {"k": "x" * 1025},
        {"k": "two\nlines"},
    ],
)
def test_status_details_are_limited(details: object) -> None:
    with refusal("InvalidRequest"):
        checked_details(details)


def test_status_details_at_their_limits() -> None:
    largest = {f"{i}".rjust(128, "k"): "é" * 1024 for i in range(10)}
    assert checked_details(largest) == largest
    assert checked_details(None) is None


class Machine(RuleBasedStateMachine):
    """Whatever is done in whatever order: what things were told is what is so."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.jobs = Jobs(self.clock)
        self.made = 0
        self.told_next: object = None
        self.ended: dict[str, str] = {}

    def job_id(self, draw: int) -> str:
        return f"j{draw % max(1, self.made)}"

    @rule(minutes=st.none() | st.integers(1, 3))
    def create(self, minutes: int | None) -> None:
        self.jobs.create(f"j{self.made}", "{}", [], [THING, "gw-2"], timeout_minutes=minutes)
        self.made += 1

    @rule(minutes=st.none() | st.integers(1, 3))
    def start_next(self, minutes: int | None) -> None:
        found = self.jobs.start_next(THING, None, minutes)
        assert (found is None) == (not self.jobs.pending(THING))
        assert found is None or found.status == "IN_PROGRESS"

    @rule(draw=st.integers(0, 99), status=st.sampled_from(BY_DEVICE), version=st.none() | st.integers(1, 4))
    def update(self, draw: int, status: str, version: int | None) -> None:
        job_id = self.job_id(draw)
        before = self.jobs.jobs.get(job_id)
        held = None if before is None else before.executions[THING].version
        try:
            found = self.jobs.update(THING, job_id, status, version=version)
        except Refusal as refused:
            assert (refused.code == "VersionMismatch") == (held is not None and version not in (None, held))
        else:
            assert held is not None
            assert (found.status, found.version) == (status, held + 1)

    @rule(draw=st.integers(0, 99), force=st.booleans())
    def cancel(self, draw: int, force: bool) -> None:
        try:
            self.jobs.cancel(self.job_id(draw), force=force)
        except Refusal as refused:
            assert refused.code in ("InvalidRequest", "ResourceNotFound")

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.clock.at_s += seconds
        self.jobs.expire()
        due = self.jobs.next_deadline()
        assert due is None or due > self.clock.at_s

    @invariant()
    def things_know_what_is_next(self) -> None:
        for notice in self.jobs.take_notices():
            if notice.thing == THING and notice.topic == "notify-next":
                execution = notice.body.get("execution")
                told = execution["jobId"] if isinstance(execution, dict) else None
                assert told != self.told_next
                self.told_next = told
        found = self.jobs.describe(THING, "$next")
        assert self.told_next == (None if found is None else found.job_id)

    @invariant()
    def what_is_over_stays_so(self) -> None:
        for job in self.jobs.jobs.values():
            status = job.executions[THING].status
            assert self.ended.get(job.job_id, status) == status
            if status not in PENDING:
                self.ended[job.job_id] = status
                assert job.executions[THING].deadline is None
            assert sum(job.counts().values()) == 2


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
