"""Work that is done in a process of its own: its result, its refusals, and what is said where it dies."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import pytest

from headgate.apart import apart
from headgate.errors import Problem, Reject, Retry
from headgate.roles import site_reading
from headgate.roles.hub_config import parse_site
from headgate.roles.site_reading import LARGE_BYTES, read_modbus, read_site


def doubled(value: Any) -> Any:
    return value * 2, os.getpid()


def refusing(place: str) -> None:
    raise Reject("nothing was applied", [Problem(place, "is wrong", "make it right")])


def dying() -> None:
    os._exit(3)


def sleeping() -> None:
    time.sleep(60)


async def test_the_result_comes_from_another_process() -> None:
    result, pid = await apart(doubled, [1, "ä", 2**70])
    assert result == [1, "ä", 2**70] * 2
    assert pid != os.getpid()


async def test_a_refusal_comes_with_its_problems() -> None:
    with pytest.raises(Reject) as caught:
        await apart(refusing, "modbus.devices[0]")
    assert caught.value.problems == (Problem("modbus.devices[0]", "is wrong", "make it right"),)


async def test_one_that_dies_is_a_retry() -> None:
    with pytest.raises(Retry, match="ended with 3"):
        await apart(dying)


async def test_one_that_cannot_be_started_is_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Retry, match="could not be started"):
        await apart(doubled, 1)


async def test_a_caller_that_is_cancelled_takes_its_process_along() -> None:
    task = asyncio.create_task(apart(sleeping))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def site(tags: int, **first: Any) -> bytes:
    """A site document of one device."""
    rows = [
        {"name": f"t{i:05}", "table": "holding", "address": i % 60_000, "type": "uint16"} for i in range(tags)
    ]
    rows[0] |= first
    group = {"name": "g", "interval_s": 1, "tags": rows}
    device = {"name": "d", "transport": {"kind": "tcp", "host": "h"}, "groups": [group]}
    return json.dumps({"schema": 1, "modbus": {"devices": [device]}}).encode()


@pytest.mark.parametrize("tags", [3, 3_000])
async def test_a_site_document_is_read_the_same_here_and_apart(tags: int) -> None:
    text = site(tags)
    assert (len(text) >= LARGE_BYTES) == (tags > 1_000)
    config = await read_site(read_modbus, text, "site document x")
    assert config == read_modbus(text, "site document x")
    assert sum(len(group.tags) for device in config.devices for group in device.groups) == tags
    assert (await read_site(parse_site, text, "x")).devices == {"d": "modbus"}


@pytest.mark.parametrize("tags", [3, 3_000])
async def test_faults_name_their_places_wherever_it_was_read(tags: int) -> None:
    with pytest.raises(Reject, match=r"site document x, modbus: 1 problem") as caught:
        await read_site(read_modbus, site(tags, type="unit16"), "site document x")
    assert "did you mean 'uint16'?" in str(caught.value)


async def test_where_no_process_can_be_had_it_is_read_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def none(*args: object) -> object:
        raise Retry("no memory for another process")

    monkeypatch.setattr(site_reading, "apart", none)
    config = await read_site(read_modbus, site(3_000), "site document x")
    assert len(config.devices) == 1
    assert "no memory for another process; it is read here" in caplog.text
