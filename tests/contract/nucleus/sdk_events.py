"""Shared by the official client's two generations: event queues and the translation of its errors."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from awscrt.exceptions import AwsCrtError
from awsiot.eventstreamrpc import (
    AccessDeniedError,
    ConnectionClosedError,
    EventStreamError,
    StreamClosedError,
)
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.model import GreengrassCoreIPCError

from tests.contract.nucleus.adapters.api import (
    CALL_TIMEOUT_S,
    EVENT_TIMEOUT_S,
    Closed,
    Event,
    Refused,
)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """The official client's exceptions as the suite's."""
    try:
        yield
    except GreengrassCoreIPCError as error:
        raise Refused(type(error).__name__, getattr(error, "message", None)) from error
    except (
        ConnectionClosedError,
        StreamClosedError,
        EventStreamError,
        AccessDeniedError,
        AwsCrtError,
    ) as error:
        raise Closed(repr(error)) from error
    except FutureTimeoutError as error:
        raise AssertionError(f"no answer within {CALL_TIMEOUT_S} s") from error


def connected(socket: str, token: str) -> Any:
    """A first-generation client."""
    with translated():
        return connect(ipc_socket=socket, authtoken=token, timeout=CALL_TIMEOUT_S)


def event_of(shape: Any) -> Event:
    """Any event of the model."""
    for kind in ("binary_message", "json_message"):
        message = getattr(shape, kind, None)
        if message is not None:
            return Event(message.context.topic if message.context else None, message.message)
    if getattr(shape, "configuration_update_event", None) is not None:
        update = shape.configuration_update_event
        return Event(update.component_name, list(update.key_path))
    return Event(shape.message.topic_name, shape.message.payload)


class QueuedEvents:
    """A subscription whose events wait in a queue."""

    def __init__(self) -> None:
        self._events: queue.Queue[Event] = queue.Queue()
        self.end: Callable[[], object] = lambda: None

    def put(self, shape: Any) -> None:
        """From the client's callback."""
        self._events.put(event_of(shape))

    def next(self, timeout_s: float = EVENT_TIMEOUT_S) -> Event:
        """The next event."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no event within {timeout_s} s") from None

    def waiting(self) -> int:
        """How many wait."""
        return self._events.qsize()

    def close(self) -> None:
        """End it."""
        self.end()
