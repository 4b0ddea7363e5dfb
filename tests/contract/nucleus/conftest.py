"""Where the nucleus under test is: environment variables, the component's own, or a skip that says which."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.contract.nucleus.adapters import found
from tests.contract.nucleus.adapters.api import Refused, Session
from tests.contract.nucleus.observer import Observer
from tests.contract.nucleus.wire import Wire

PREFIX = "HEADGATE_NUCLEUS_"
_OWN = {  # what a component has of itself
    "SOCKET": "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT",
    "TOKEN": "SVCUID",
    "THING": "AWS_IOT_THING_NAME",
}
PATIENCE_S, PAUSE_S = 40.0, 0.02
ADAPTERS, MISSING = found()


def patiently(call: Callable[[], None]) -> None:
    """Call again while the nucleus says ServiceError: its link is away, or too much waits for a PUBACK."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except Refused as refusal:
            if refusal.shape != "ServiceError" or time.monotonic() > end:
                raise
        time.sleep(PAUSE_S)


def variable(name: str, default: str | None = None) -> str:
    """A variable of the suite, or of the component it runs as; skip where neither is there."""
    value = os.environ.get(PREFIX + name) or os.environ.get(_OWN.get(name, "")) or default
    if not value:
        pytest.skip(f"set {PREFIX}{name} (see docs/contract-suite.md)")
    return value


@dataclass(frozen=True, slots=True)
class Target:
    """The nucleus under test."""

    socket: str
    token: str
    component: str
    thing: str
    profile: str

    @property
    def lite(self) -> bool:
        return self.profile == "lite"

    def wire(self) -> Wire:
        """A bare connection."""
        return Wire(self.socket)

    def joined(self) -> Wire:
        """A bare connection that has been accepted."""
        wire = Wire(self.socket)
        wire.connect(self.token)
        assert wire.receive().flags == 1
        return wire


def pytest_report_header() -> list[str]:
    return [
        f"IPC clients: {', '.join(ADAPTERS)}",
        *(f"left out: {name}: {why}" for name, why in MISSING.items()),
    ]


@pytest.fixture
def target() -> Target:
    profile = variable("PROFILE")
    assert profile in ("classic", "lite"), f"{PREFIX}PROFILE must be classic or lite"
    component = variable("COMPONENT", "headgate.ContractSuite")
    return Target(variable("SOCKET"), variable("TOKEN"), component, variable("THING"), profile)


@pytest.fixture(params=sorted(ADAPTERS))
def connect(request: pytest.FixtureRequest, target: Target) -> Iterator[Callable[..., Session]]:
    """Makes sessions of one client, closed at the end."""
    sessions: list[Session] = []

    def make(token: str = target.token) -> Session:
        session = ADAPTERS[request.param].connect(target.socket, token)
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def session(connect: Callable[..., Session]) -> Session:
    return connect()


@pytest.fixture
def observer() -> Iterator[Observer]:
    one = Observer(variable("BROKER"), variable("CA"), variable("CERT"), variable("KEY"))
    yield one
    one.close()


@pytest.fixture
def name() -> str:
    """A topic level nobody else uses."""
    return uuid.uuid4().hex[:10]


def _command(which: str) -> Callable[[], None]:
    command = variable(which)

    def run() -> None:
        subprocess.run(command, shell=True, check=True)

    return run


@pytest.fixture
def cut() -> Iterator[Callable[[], None]]:
    """Takes the nucleus's link to the broker away; given back at the end."""
    heal = _command("HEAL")
    yield _command("CUT")
    heal()


@pytest.fixture
def silence() -> Iterator[Callable[[], None]]:
    """Lets the link stand but carry nothing; given back at the end."""
    heal = _command("HEAL")
    yield _command("SILENCE")
    heal()


@pytest.fixture
def heal() -> Callable[[], None]:
    """Gives the link back."""
    return _command("HEAL")
