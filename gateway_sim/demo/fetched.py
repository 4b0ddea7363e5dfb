"""The step of the large file: announced, asked for, sent in parts, its sender killed in the middle."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway_sim.cloud import control
from gateway_sim.demo.operator import Record, Told
from gateway_sim.demo.story import StepFailed, Story

SIZE_BYTES = 32 * 1024**2
PARTS_BEFORE_THE_KILL = 2
PATIENCE_S = 60.0
PAUSE_S = 0.05


async def file_fetched(story: Story) -> str:
    """A file of 32 MiB arrives whole although its sender dies; no finished part is sent twice."""
    path, digest = await asyncio.to_thread(_write, story.gateway.run.files / "vibration.bin")
    story.note(f"{path.name} lies in the folder; waiting until it is announced")
    row = await _announced(story, path.name)
    cloud, target = story.gateway.run.cloud, story.gateway.run.path / "fetched.bin"
    await asyncio.to_thread(control.ask, cloud, "s3_slow")
    async with asyncio.TaskGroup() as group:
        fetching = group.create_task(
            story.operator.run("fetch", str(row["file_id"]), "-o", str(target), "--force"), name="fetch"
        )
        finished = await _some_parts(story, fetching)
        killed, _ = await story.kill(story.gateway.courier)
        story.note(f"{finished} parts are there; the courier, pid {killed}, is dead")
        await asyncio.to_thread(control.ask, cloud, "s3_serve")
    told = fetching.result()
    if told.code != 0:
        raise StepFailed(f"headgate fetch ended with {told.code}: {told.errors}")
    if await asyncio.to_thread(_digest, target) != digest:
        raise StepFailed(f"{target} differs from {path}")
    parts = Counter(put["part"] for put in _puts(story) if put["status"] == 200 and put["part"])
    twice = sorted(part for part, count in parts.items() if count > 1)
    if twice:
        raise StepFailed(f"parts {twice} were sent again although the server held them")
    return (
        f"{SIZE_BYTES // 1024**2} MiB in {len(parts)} parts, the courier killed after {finished} of them;"
        " equal to the file, no finished part sent twice"
    )


async def _announced(story: Story, name: str) -> Record:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        told = await story.operator.run("files")
        if told.code != 0:
            raise StepFailed(f"headgate files ended with {told.code}: {told.errors}")
        for row in told.records:
            if row["path"] == name and row["state"] == "announced":
                return row
        await asyncio.sleep(PAUSE_S)
    raise StepFailed(f"{name} was not announced within {PATIENCE_S:g} s")


async def _some_parts(story: Story, fetching: asyncio.Task[Told]) -> int:
    """Wait until the server holds some parts, and not all; returns how many."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and not fetching.done():
        finished = [put for put in _puts(story) if put["status"] == 200 and put["part"]]
        if len(finished) >= PARTS_BEFORE_THE_KILL:
            sent_bytes = sum(put["size_bytes"] for put in finished)
            if sent_bytes >= SIZE_BYTES:
                raise StepFailed("the whole file was sent before the courier could be killed")
            return len(finished)
        await asyncio.sleep(PAUSE_S)
    raise StepFailed(f"{PARTS_BEFORE_THE_KILL} parts had not arrived within {PATIENCE_S:g} s")


def _puts(story: Story) -> Sequence[Mapping[str, Any]]:
    """What the server wrote down of parts and objects that were sent to it, of this file alone."""
    data = (story.gateway.run.cloud / "s3.jsonl").read_bytes()
    rows = [json.loads(line) for line in data.split(b"\n")[:-1]]
    return [row for row in rows if row["key"].endswith("/vibration.bin")]


def _write(path: Path) -> tuple[Path, str]:
    """Bytes of no pattern, in a file that appears whole; returns it and its SHA-256."""
    noise = random.Random(SIZE_BYTES).randbytes(SIZE_BYTES)
    partial = path.parent.parent / f"{path.name}.partial"
    partial.write_bytes(noise)
    partial.replace(path)
    return path, hashlib.sha256(noise).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
