"""Requests through a desk that is killed at every step it takes: one effect, the same reply, one report."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from headgate.requests.model import reply_json
from tests.support.desk_world import a_desk, wire
from tests.support.hub_crash import EXIT_CRASHED, Record, _Steps, in_child, with_steps

JOBS = ("job-1", "job-2")


def deliver(root: Path, record: Record) -> None:
    """Ask for everything, as a cloud that has not heard yet; note what was done and answered."""

    async def work() -> None:
        async with a_desk(root) as world:
            world.on_effect = lambda request_id: record.add("effect", request_id)
            answers = {
                "direct": world.ask(wire(world.clock, "direct")),
                "once": world.ask(wire(world.clock, "once", "effect")),
                "big": world.ask(wire(world.clock, "big", "big")),
                "job-1": world.ask_job("job-1", op="effect"),
                "job-2": world.ask_job("job-2", op="big"),
            }
            for request_id, answer in answers.items():
                reply = await answer
                record.add("reply", [request_id, reply_json(reply)])
            for line in world.reports():
                record.add("report", line)

    asyncio.run(work())


def steps_of(root: Path, record: Record) -> int:
    """How many steps an undisturbed run takes."""
    count = root.parent / "count"

    def child() -> None:
        steps = _Steps(0)
        with_steps(steps)
        deliver(root, record)
        count.write_text(str(steps.taken))

    assert in_child(child) == 0
    return int(count.read_text())


def check(root: Path, record: Record, step: int) -> None:
    replies: dict[str, list[dict[str, Any]]] = {}
    for request_id, reply in record.all("reply"):
        replies.setdefault(request_id, []).append(reply)
    assert set(replies) == {"direct", "once", "big", *JOBS}
    for request_id, given in replies.items():
        assert all(reply == given[0] for reply in given), (step, request_id)
    effects = record.all("effect")
    for request_id in ("once", "job-1"):
        assert effects.count(request_id) <= 1, (step, request_id)
    reports = [report for report in record.all("report") if report["type"] == "reply"]
    assert sorted(report["reply"]["id"] for report in reports) == sorted(JOBS), step
    for report in reports:
        assert report["reply"] == replies[report["reply"]["id"]][0]
    announced = {report["file_id"] for report in record.all("report") if report["type"] == "file"}
    assert {reply["file_id"] for request_id in ("big", "job-2") for reply in replies[request_id]} == announced
    lines = [
        json.loads(line)
        for file in (root / "audit").glob("*.jsonl")
        for line in file.read_text().splitlines()
        if line.endswith("}")
    ]
    assert {line["id"] for line in lines} >= set(replies), step


def run_at(step: int, folder: Path) -> None:
    root, record = folder / f"root-{step}", Record(folder / f"record-{step}")

    def child() -> None:
        with_steps(_Steps(step))
        deliver(root, record)

    assert in_child(child) in (0, EXIT_CRASHED)
    again = folder / f"again-{step}"
    # What was reported is counted in the outbox as it ends, not as it stood before the crash.
    kept = [line for line in _lines(folder / f"record-{step}") if json.loads(line)[0] != "report"]
    again.write_text("".join(line + "\n" for line in kept))
    assert in_child(lambda: deliver(root, Record(again))) == 0
    check(root, Record(again), step)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().splitlines()
    return []


def test_killed_at_some_steps(tmp_path: Path) -> None:
    count = steps_of(tmp_path / "whole", Record(tmp_path / "record"))
    for step in range(1, count + 1, max(1, count // 25)):
        run_at(step, tmp_path)


@pytest.mark.slow("requests")
def test_killed_at_every_step(tmp_path: Path) -> None:
    count = steps_of(tmp_path / "whole", Record(tmp_path / "record"))
    for step in range(1, count + 1):
        run_at(step, tmp_path)
