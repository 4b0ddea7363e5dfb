"""One client of the IPC server: connect, calls in order, subscriptions' streams, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway_sim.nucleus import messages, operations
from gateway_sim.nucleus.errors import CloseConnection, InvalidArgumentsError, IpcError, ServiceError
from gateway_sim.nucleus.frames import Decoder, Frame, FrameError
from gateway_sim.nucleus.jsonvalue import Json, Object, parse_object
from gateway_sim.nucleus.messages import Flag, MessageType, header_int, header_text
from gateway_sim.nucleus.profiles import JsonLimits
from gateway_sim.nucleus.services import Call, Operation, Services

log = logging.getLogger("nucleus.ipc")
READ_BYTES = 64 * 1024


class ProtocolError(Exception):
    """The client broke the protocol; classic tells it before closing."""


class Stream:
    """The stream of one subscription: the response first, then events until either side ends it."""

    def __init__(self, number: int, model: str, send: Callable[[bytes], None]) -> None:
        self._number = number
        self._model = model
        self._send = send
        self._early: list[bytes] | None = []
        self._ends: list[Callable[[], None]] = []

    def emit(self, payload: bytes) -> None:
        """Send one event, or hold it until the response has gone out."""
        frame = messages.event(self._number, self._model, payload)
        if self._early is None:
            self._send(frame)
        else:
            self._early.append(frame)

    def on_close(self, end: Callable[[], None]) -> None:
        """What to do once the stream ends."""
        self._ends.append(end)

    def open(self, response: bytes) -> None:
        """Send the response and whatever happened while it was made."""
        held, self._early = self._early or [], None
        for frame in (response, *held):
            self._send(frame)

    def close(self) -> None:
        """End what the subscription holds elsewhere."""
        while self._ends:
            self._ends.pop()()


@dataclass(slots=True)
class Counters:
    """What the server has refused so far."""

    malformed: int = 0
    slow_readers: int = 0
    over_limit: int = 0
    refused_tokens: int = 0


@dataclass(slots=True, eq=False)
class Connection:
    """Reads frames and answers them one after another; a reader that falls behind is disconnected."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    services: Services
    counters: Counters
    component: str | None = None
    token: str = ""
    _last_stream: int = 0
    _streams: dict[int, Stream] = field(default_factory=dict)
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)
    _calls: asyncio.TaskGroup | None = None

    async def serve(self) -> None:
        """Until the client leaves or breaks the rules; never raises for what a client does."""
        try:
            await self._read_unwrapped()
        except FrameError as error:
            self.counters.malformed += 1
            self._refuse(f"malformed frame: {error}")
        except ProtocolError as error:
            self._refuse(f"protocol error: {error}")
        except CloseConnection as error:
            self.counters.over_limit += 1
            log.warning("closing the connection of %s without an answer: %s", self.component, error)
        except ConnectionError:
            log.info("connection of %s broke", self.component)
        finally:
            for stream in self._streams.values():
                stream.close()
            self.writer.close()

    async def _read_unwrapped(self) -> None:
        try:
            await self._read()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _read(self) -> None:
        decoder = Decoder(self.services.profile.max_frame_bytes)
        async with asyncio.TaskGroup() as calls:
            self._calls = calls
            try:
                while data := await self.reader.read(READ_BYTES):
                    for frame in decoder.feed(data):
                        await self._handle(frame)
                    await self.writer.drain()
            finally:
                for task in self._waiting:
                    task.cancel()

    def _refuse(self, why: str) -> None:
        log.warning("closing the connection of %s: %s", self.component or "an unknown client", why)
        if not self.services.profile.lite:
            self.writer.write(messages.protocol_error(why))

    def abort(self) -> None:
        """Close at once, from outside."""
        self.writer.transport.abort()

    def _send(self, frame: bytes) -> None:
        transport = self.writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(frame) > max(
            self.services.profile.write_buffer_bytes, len(frame)
        ):
            self.counters.slow_readers += 1
            log.warning(
                "%s does not read: %d B wait for it; disconnecting",
                self.component,
                transport.get_write_buffer_size(),
            )
            transport.abort()
            return
        self.writer.write(frame)

    async def _handle(self, frame: Frame) -> None:
        kind = header_int(frame, messages.MESSAGE_TYPE)
        number = header_int(frame, messages.STREAM_ID)
        flags = header_int(frame, messages.MESSAGE_FLAGS)
        if kind is None or number is None or flags is None:
            raise ProtocolError("message without :message-type, :message-flags or :stream-id")
        if self.component is None:
            self._connect(frame, kind, number)
        elif kind == MessageType.PING and number == 0:
            self._send(messages.ping_response(frame.payload))
        elif kind == MessageType.PING_RESPONSE and number == 0:
            pass
        elif kind == MessageType.APPLICATION_MESSAGE and number > 0:
            await self._application(frame, number, flags)
        else:
            raise ProtocolError(f"unexpected message type {kind} on stream {number}")

    def _connect(self, frame: Frame, kind: int, number: int) -> None:
        if kind != MessageType.CONNECT or number != 0:
            raise ProtocolError("the first message must be connect")
        token = _token(frame.payload)
        component = self.services.components.holder(token) if token else None
        if component is None or header_text(frame, ":version") != "0.1.0":
            self.counters.refused_tokens += 1
            if not self.services.profile.lite:
                self._send(messages.connect_ack(accepted=False))
            raise CloseConnection("connect refused: the token belongs to no running component")
        self.component, self.token = component, token or ""
        log.info("%s connected", component)
        self._send(messages.connect_ack(accepted=True))

    async def _application(self, frame: Frame, number: int, flags: int) -> None:
        if number > self._last_stream:
            if not self.services.profile.lite and number != self._last_stream + 1:
                raise ProtocolError(
                    f"stream {number} follows stream {self._last_stream}: ids must be sequential"
                )
            self._last_stream = number
            await self._call(frame, number)
        elif flags & Flag.TERMINATE_STREAM:
            stream = self._streams.pop(number, None)
            if stream is not None:
                stream.close()

    async def _call(self, frame: Frame, number: int) -> None:
        profile = self.services.profile
        name = (header_text(frame, "operation") or "").removeprefix(messages.NAMESPACE)
        operation = operations.find(profile, name)
        if operation is None and not profile.lite and not operations.is_modelled(name):
            self._send(messages.unknown_operation(number))
            return
        if operation is not None and operation.waits and self._calls is not None:
            task = self._calls.create_task(self._answer(frame, number, name, operation), name=f"ipc {name}")
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        else:
            await self._answer(frame, number, name, operation)

    async def _answer(self, frame: Frame, number: int, name: str, operation: Operation | None) -> None:
        profile = self.services.profile
        try:
            if operation is None:
                raise ServiceError(f"operation {name!r} is not provided by this nucleus")
            await self._run(frame, number, name, operation)
        except IpcError as error:
            log.info("%s: %s: %s: %s", self.component, name, error.shape, error.message)
            self._send(messages.error(profile, number, error))

    async def _run(self, frame: Frame, number: int, name: str, operation: Operation) -> None:
        profile, streaming = self.services.profile, operation.event is not None
        body = parse_body(frame.payload, profile.json_limits)
        stream = Stream(number, operation.event or "", self._send)
        try:
            if streaming:
                self.services.subscriptions.take()
                stream.on_close(self.services.subscriptions.give_back)
            assert self.component is not None
            answer = await operation.handler(Call(self.component, name, body, self.services, stream))
        except BaseException:
            stream.close()
            raise
        if streaming:
            self._streams[number] = stream
        stream.open(messages.response(profile, number, name, answer, streaming=streaming))


def _token(payload: bytes) -> str | None:
    try:
        token = parse_object(payload).get("authToken")
    except ValueError:
        return None
    return token if isinstance(token, str) else None


def parse_body(payload: bytes, limits: JsonLimits | None) -> Object:
    """The request's JSON object; raise InvalidArgumentsError, or CloseConnection above lite's limits."""
    try:
        body = parse_object(payload or b"{}")
    except ValueError as error:
        raise InvalidArgumentsError(f"the request is no JSON object: {error}") from error
    if limits is not None:
        _check_limits(body, limits, 1)
    return body


def _check_limits(value: Json, limits: JsonLimits, depth: int) -> None:
    if not isinstance(value, dict | list):
        return
    if depth > limits.depth:
        raise CloseConnection(f"JSON nested deeper than {limits.depth}")
    most = limits.object_keys if isinstance(value, dict) else limits.list_items
    if len(value) > most:
        raise CloseConnection(f"JSON {type(value).__name__} of {len(value)} items; the limit is {most}")
    for item in value.values() if isinstance(value, dict) else value:
        _check_limits(item, limits, depth + 1)
