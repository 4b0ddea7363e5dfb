"""This project's client: its typed operations on one connection, on an event loop in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from headgate.errors import HeadgateError
from headgate.ipc.client import Client, CloudMessage, ConfigurationChange, TopicMessage
from headgate.ipc.connection import Connection
from headgate.ipc.errors import NucleusReject, NucleusRetry
from headgate.ipc.limits import Limits
from tests.contract.nucleus.adapters.api import (
    CALL_TIMEOUT_S,
    EVENT_TIMEOUT_S,
    Adapter,
    Closed,
    Event,
    Refused,
)

T = TypeVar("T")

UNLIMITED = Limits(local_bytes=2**31, cloud_bytes=2**31)
"""The suite wants to see what the nucleus does, not what the client keeps from it."""


class Direct:
    """A Caller on one connection, without reconnecting; `answered` is the last subscription's answer."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answered: asyncio.Future[None]

    async def call(self, operation: str, target: str, body: bytes) -> bytes:
        return await self.connection.call(operation, target, body, timeout_s=CALL_TIMEOUT_S)

    @contextlib.contextmanager
    def subscribe(
        self,
        operation: str,
        target: str,
        body: bytes,
        on_event: Callable[[bytes], None],
        on_live: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        answered = self.answered = asyncio.get_running_loop().create_future()

        def answer(result: bytes | HeadgateError) -> None:
            if isinstance(result, bytes):
                answered.set_result(None)
            else:
                answered.set_exception(result)

        stream_id = self.connection.subscribe(
            operation,
            target,
            body,
            timeout_s=CALL_TIMEOUT_S,
            answer=answer,
            on_event=on_event,
            on_end=lambda _: None,
        )
        try:
            yield
        finally:
            self.connection.end(stream_id)


class Events:
    """A subscription whose events wait in a queue."""

    def __init__(self, session: HeadgateSession) -> None:
        self.stack = contextlib.ExitStack()
        self.queue: queue.Queue[Event] = queue.Queue()
        self._session = session

    def put(self, message: TopicMessage | CloudMessage | ConfigurationChange) -> None:
        match message:
            case TopicMessage(topic, payload, is_json):
                self.queue.put(Event(topic, json.loads(payload) if is_json else payload))
            case CloudMessage(topic, payload):
                self.queue.put(Event(topic, payload))
            case ConfigurationChange(component, key_path):
                self.queue.put(Event(component, list(key_path)))

    def next(self, timeout_s: float = EVENT_TIMEOUT_S) -> Event:
        try:
            return self.queue.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no event within {timeout_s} s") from None

    def waiting(self) -> int:
        return self.queue.qsize()

    def close(self) -> None:
        async def leave() -> None:
            self.stack.close()

        self._session.run(leave())


class HeadgateSession:
    """See `Session`."""

    def __init__(self, socket: str, token: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="headgate client")
        self._thread.start()
        try:
            self._direct = Direct(self.run(Connection.open(socket, token, timeout_s=CALL_TIMEOUT_S)))
        except BaseException:
            self._stop()
            raise
        self._client = Client(self._direct, UNLIMITED)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop; the client's errors become the suite's."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * CALL_TIMEOUT_S)
        except (NucleusRetry, NucleusReject) as error:
            raise Refused(error.shape, json.loads(error.body).get("message")) from error
        except HeadgateError as error:
            raise Closed(str(error)) from error

    def _open(self, subscribe: Callable[[Events], contextlib.AbstractContextManager[None]]) -> Events:
        events = Events(self)

        async def enter() -> None:
            events.stack.enter_context(subscribe(events))
            await self._direct.answered

        self.run(enter())
        return events

    def publish(self, topic: str, payload: bytes) -> None:
        self.run(self._client.publish_to_topic(topic, payload))

    def publish_json(self, topic: str, message: Mapping[str, Any]) -> None:
        self.run(self._client.publish_json_to_topic(topic, message))

    def subscribe(self, topic: str, mode: str | None = None) -> Events:
        own = None if mode is None else mode == "RECEIVE_ALL_MESSAGES"
        return self._open(lambda e: self._client.subscribe_to_topic(topic, e.put, own_messages=own))

    def publish_cloud(self, topic: str, payload: bytes, qos: int = 1) -> None:
        self.run(self._client.publish_to_iot_core(topic, payload, qos=1 if qos else 0))

    def subscribe_cloud(self, topic: str) -> Events:
        return self._open(lambda e: self._client.subscribe_to_iot_core(topic, e.put))

    def get_configuration(self, path: Sequence[str], component: str | None = None) -> Any:
        return self.run(self._client.get_configuration(path, component=component)).value

    def update_configuration(self, path: Sequence[str], value: Mapping[str, Any], t_s: float) -> None:
        self.run(self._client.update_configuration(path, value, utc_s=t_s))

    def watch_configuration(self, path: Sequence[str]) -> Events:
        return self._open(lambda e: self._client.subscribe_to_configuration_update(e.put, path))

    def update_state(self, state: str) -> None:
        self.run(self._direct.call("UpdateState", state, json.dumps({"state": state}).encode()))

    def validate_token(self, token: str) -> bool:
        body = json.dumps({"token": token}).encode()  # the typed operation says False to an InvalidTokenError
        answer = self.run(self._direct.call("ValidateAuthorizationToken", "", body))
        return bool(json.loads(answer)["isValid"])

    def close(self) -> None:
        async def leave() -> None:
            self._direct.connection.close()

        self.run(leave())
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


ADAPTER = Adapter("headgate", HeadgateSession)
