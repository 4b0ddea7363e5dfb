"""A role's process: exit codes, log lines, and that a signal asks for an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from typing import Self

import pytest

from headgate.bus.api import Bus
from headgate.bus.memory import MemoryBus
from headgate.clock import Clock
from headgate.errors import Fatal, Problem, Reject
from headgate.roles import process


@pytest.fixture(autouse=True)
def _root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def outcome(run: process.Run, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = process.main("modbus", run, open_bus=MemoryBus)
    return code, capsys.readouterr().out


def failing(error: Exception) -> process.Run:
    async def run(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
        raise error

    return run


def test_a_signal_sets_stop_and_the_role_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    async def run(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()

    assert outcome(run, capsys) == (0, "INFO modbus: stopped\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Fatal("token refused"), process.EXIT_FATAL, "CRITICAL modbus: cannot go on: token refused"),
        (Reject("no", [Problem("a.b", "is missing")]), process.EXIT_REJECTED, "a.b: is missing"),
        (ValueError("what"), process.EXIT_UNEXPECTED, "unexpected ValueError: what\nTraceback"),
        (
            ExceptionGroup("", [Fatal("one"), ExceptionGroup("", [ValueError("two")])]),
            process.EXIT_UNEXPECTED,
            "cannot go on: one",
        ),
    ],
)
def test_each_kind_of_error_has_its_code_and_line(
    error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, out = outcome(failing(error), capsys)
    assert got == code
    assert line in out


def test_a_failing_handler_ends_the_role(capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(topic: str, payload: bytes) -> None:
        raise RuntimeError("handler")

    async def run(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
        with bus.subscribe("a", broken):
            await bus.publish("a", b"")
            await stop.wait()

    code, out = outcome(run, capsys)
    assert code == process.EXIT_UNEXPECTED
    assert "unexpected RuntimeError: handler" in out


def test_a_signal_while_the_bus_waits_for_its_nucleus_ends_the_process(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class NeverConnected(MemoryBus):
        async def __aenter__(self) -> Self:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
            return self

    async def run(bus: Bus, clock: Clock, stop: asyncio.Event) -> None:
        raise AssertionError("never opened")

    assert process.main("modbus", run, open_bus=NeverConnected) == process.EXIT_OK
    assert capsys.readouterr().out == "INFO modbus: stopped\n"


def test_started_by_no_nucleus_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SVCUID", raising=False)
    assert process.main("modbus", failing(ValueError("never"))) == process.EXIT_FATAL
    assert "not started by a Greengrass nucleus" in capsys.readouterr().out
