"""What a driver is to the bridge that runs it, whatever bus of the field it speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headgate.clock import Clock
from headgate.errors import Reject
from headgate.model import Frame, Series

Emit = Callable[[Frame], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked of a gateway. `deadline_ms` is UTC; `id` makes it idempotent."""

    id: str
    version: int
    op: str
    args: Mapping[str, Any]
    deadline_ms: int
    carrier: Literal["job", "direct"]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request of the same id; `code` and `detail` say why it is not `ok`."""

    id: str
    status: Literal["ok", "refused", "failed", "expired"]
    code: str = ""
    detail: str = ""
    result: Mapping[str, Any] | None = None
    file_id: str | None = None


ANSWER_PART = 0.75
"""Of the time left, for the devices: those that do not answer must not cost the answers of the others."""


def answer_by_ms(request: Request, clock: Clock) -> int | None:
    """The boottime at which to answer a request with what there is; None where its deadline has passed,
    which was for the caller to see.
    """
    left_ms = request.deadline_ms - clock.utc_ms()
    return clock.boot_ms() + round(left_ms * ANSWER_PART) if left_ms > 0 else None


class Refused(Reject):
    """A request that will never be done; `code` is the reply's stable word (docs/requests.md)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Change:
    """What a new configuration does, device by device; `config` is the driver's own, already valid."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    config: object

    def __str__(self) -> str:
        parts = [
            f"{len(names)} {word}"
            for word, names in (
                ("added", self.added),
                ("changed", self.changed),
                ("removed", self.removed),
                ("unchanged", self.kept),
            )
            if names
        ]
        return "devices: " + (", ".join(parts) or "none")


class Driver(Protocol):
    """Reads devices and emits frames. It imports no bus, no store and no log."""

    def table(self) -> Sequence[Series]:
        """Every series emitted so far or to come; it only grows, so an index keeps its meaning."""

    async def run(self, emit: Emit) -> None:
        """Read until stopped. Cancelled, it first lets what is under way finish and be emitted."""

    def stop(self) -> None:
        """Ask `run` to return once what is under way has finished and been emitted."""

    async def call(self, request: Request) -> Reply:
        """Do what the cloud asks, before the next poll.

        Raises Refused (or Reject, which is `bad_request`) for what this driver does not do.
        """

    def plan(self, config: Any) -> Change:
        """What a configuration would change: the driver's section of a site document, or what was read of it.

        Checks it whole and changes nothing. Raises Reject with all faults.
        """

    def apply(self, change: Change) -> None:
        """Go over to a planned configuration; devices that it keeps go on undisturbed."""

    def health(self) -> Sequence[tuple[str, float]]:
        """Names and values that tell how the driver fares."""
