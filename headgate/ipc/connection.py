"""One connection to the nucleus: handshake, streams numbered without gaps, answers to those who wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from headgate.errors import HeadgateError, Reject, Retry
from headgate.ipc import messages
from headgate.ipc.errors import HandshakeUnanswered, TokenRefused, describe, from_error, unknown_operation
from headgate.ipc.frames import Decoder, FrameError
from headgate.ipc.messages import MAX_STREAM_ID, Message, MessageType
from headgate.ipc.transport import open_transport

log = logging.getLogger(__name__)

Answer = Callable[[bytes | HeadgateError], None]
"""Called once: with the response's body, or with why there is none."""

OnEvent = Callable[[bytes], None]
OnEnd = Callable[[HeadgateError | None], None]
"""Called once when the nucleus ends a subscription; not when the connection ends."""


@dataclass(slots=True)
class _Stream:
    """What is known of an open stream; `answer` is None once it was given, `on_event` is None for unary
    calls.
    """

    operation: str
    target: str
    answer: Answer | None
    on_event: OnEvent | None
    on_end: OnEnd | None
    timer: asyncio.TimerHandle


class Connection(asyncio.Protocol):
    """Open it with `Connection.open`. Once closed it stays closed, and every call raises Retry with why."""

    def __init__(self, token: str, *, max_calls: int = 32) -> None:
        loop = asyncio.get_running_loop()
        self.late_messages = 0
        self._token = token
        self._transport: asyncio.Transport | None = None
        self._decoder = Decoder()
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[HeadgateError] = loop.create_future()
        self._reason: HeadgateError | None = None
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1
        self._slots = asyncio.Semaphore(max_calls)
        self._writable = asyncio.Event()
        self._writable.set()
        self._loop = loop

    @classmethod
    async def open(cls, path: str, token: str, *, timeout_s: float = 10.0) -> Connection:
        """Connect and be accepted.

        Raises Retry (nobody there, no answer in `timeout_s` seconds), HandshakeUnanswered (closed at once:
        what lite does to a bad token, and any nucleus that is stopping) or TokenRefused.
        """
        connection = await open_transport(path, lambda: cls(token))
        try:
            async with asyncio.timeout(timeout_s):
                await connection._accepted
        except TimeoutError:
            connection.close(
                Retry(f"nucleus at {path!r}: no answer to the connect message in {timeout_s:g} s")
            )
            raise connection._why() from None
        except BaseException:
            connection.close(Retry("connecting was given up"))
            raise
        return connection

    @property
    def closed(self) -> bool:
        """Whether it is over; `wait_closed` says why."""
        return self._reason is not None

    @property
    def open_streams(self) -> int:
        """Calls in flight and subscriptions."""
        return len(self._streams)

    async def call(self, operation: str, target: str, body: bytes, *, timeout_s: float) -> bytes:
        """One unary call; `target` only names it in errors. Returns the response's JSON body.

        Concurrent calls are put on the wire in the order they were made. Raises Retry (closed, or no answer
        in `timeout_s` seconds: the call may have taken effect) or what `errors.from_error` says.
        """
        async with self._slots:
            if not self._writable.is_set():
                await self._writable.wait()
            answered: asyncio.Future[bytes] = self._loop.create_future()

            def answer(result: bytes | HeadgateError) -> None:
                if not answered.done():
                    if isinstance(result, bytes):
                        answered.set_result(result)
                    else:
                        answered.set_exception(result)

            stream_id = self._start(operation, target, body, timeout_s, answer, None, None)
            try:
                return await answered
            finally:
                self.end(stream_id)

    def subscribe(
        self,
        operation: str,
        target: str,
        body: bytes,
        *,
        timeout_s: float,
        answer: Answer,
        on_event: OnEvent,
        on_end: OnEnd,
    ) -> int:
        """Open a subscription at once, without waiting, and return its stream; `end` closes it.

        `answer` is called with the response or the error (also when the connection closes first), then
        `on_event` with each event's body in order. All callbacks run in the event loop and must not raise.
        """
        return self._start(operation, target, body, timeout_s, answer, on_event, on_end)

    def end(self, stream_id: int) -> None:
        """Close a stream from this side, if it is still open."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.timer.cancel()
            if self._reason is None:
                self._write(messages.close_stream(stream_id))

    def close(self, reason: HeadgateError | None = None) -> None:
        """Close the connection; who waits gets the reason."""
        self._fail(reason or Retry("the connection to the nucleus was closed"))

    async def wait_closed(self) -> HeadgateError:
        """Wait for the end of the connection and say why."""
        return await asyncio.shield(self._closed)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the nucleus."""
        self._transport = cast("asyncio.Transport", transport)
        self._write(messages.connect(self._token))

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        try:
            for frame in self._decoder.feed(data):
                if self._reason is not None:
                    return
                self._take(messages.parse(frame))
        except FrameError as error:
            self._fail(Retry(f"the nucleus sent what is no message: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """The other side is gone."""
        said = f": {error}" if error else ""
        if self._accepted.done():
            self._fail(Retry(f"the nucleus closed the connection{said}"))
        else:
            self._fail(
                HandshakeUnanswered(f"the nucleus closed the connection instead of accepting it{said}")
            )

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        self._writable.set()

    # The inside.

    def _start(
        self,
        operation: str,
        target: str,
        body: bytes,
        timeout_s: float,
        answer: Answer,
        on_event: OnEvent | None,
        on_end: OnEnd | None,
    ) -> int:
        if self._reason is not None:
            raise self._why()
        stream_id = self._next_id
        if stream_id > MAX_STREAM_ID:
            self._fail(Retry("this connection has used up its stream numbers; a new one is needed"))
            raise self._why()
        self._next_id = stream_id + 1
        timer = self._loop.call_later(timeout_s, self._expire, stream_id, timeout_s)
        self._streams[stream_id] = _Stream(operation, target, answer, on_event, on_end, timer)
        self._write(messages.request(operation, stream_id, body))
        return stream_id

    def _take(self, message: Message) -> None:
        if message.stream_id == 0:
            self._take_protocol(message)
            return
        stream = self._streams.get(message.stream_id)
        if stream is None:
            if message.stream_id >= self._next_id:
                raise FrameError(f"a message on stream {message.stream_id}, which was never opened")
            self.late_messages += 1
        elif stream.answer is not None:
            self._take_answer(message, stream, stream.answer)
        elif message.type is MessageType.APPLICATION_MESSAGE:
            if message.payload and stream.on_event is not None:
                stream.on_event(message.payload)
            if message.terminates:
                self._ended_by_nucleus(message.stream_id, stream, None)
        else:
            self._ended_by_nucleus(message.stream_id, stream, _error(message, stream))

    def _take_answer(self, message: Message, stream: _Stream, answer: Answer) -> None:
        stream.timer.cancel()
        stream.answer = None
        good = message.type is MessageType.APPLICATION_MESSAGE
        good = good and message.model_type == stream.operation + "Response"
        if message.terminates:
            del self._streams[message.stream_id]
        elif not good or stream.on_event is None:
            self.end(message.stream_id)
        answer(message.payload if good else _error(message, stream))
        if good and message.terminates and stream.on_end is not None:
            stream.on_end(None)

    def _take_protocol(self, message: Message) -> None:
        match message.type:
            case MessageType.CONNECT_ACK if not self._accepted.done():
                if message.flags & messages.ACCEPTED:
                    self._accepted.set_result(None)
                else:
                    self._fail(
                        TokenRefused(
                            "the nucleus refused this process's token (SVCUID): it is not, or no longer, a "
                            "component of the nucleus that runs now"
                        )
                    )
            case MessageType.PING:
                self._write(messages.ping_response(message.payload))
            case MessageType.PING_RESPONSE:
                pass
            case MessageType.PROTOCOL_ERROR | MessageType.INTERNAL_ERROR:
                said = message.payload[:200].decode(errors="replace")
                self._fail(Retry(f"the nucleus ended the connection with {message.type.name}: {said}"))
            case _:
                raise FrameError(f"an unexpected {message.type.name} on stream 0")

    def _ended_by_nucleus(self, stream_id: int, stream: _Stream, error: HeadgateError | None) -> None:
        self._streams.pop(stream_id, None)
        if stream.on_end is not None:
            stream.on_end(error)

    def _expire(self, stream_id: int, timeout_s: float) -> None:
        stream = self._streams[stream_id]
        answer = stream.answer
        stream.answer = None
        self.end(stream_id)
        if answer is not None:
            call = describe(stream.operation, stream.target)
            answer(Retry(f"{call}: no answer from the nucleus in {timeout_s:g} s"))

    def _fail(self, reason: HeadgateError) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        if not self._accepted.done():
            self._accepted.set_exception(reason)
            self._accepted.exception()  # retrieved: nobody may be waiting any more
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.timer.cancel()
            if stream.answer is not None:
                stream.answer(Retry(f"{describe(stream.operation, stream.target)}: {reason}"))
        self._writable.set()
        if self._transport is not None:
            self._transport.abort()
        self._closed.set_result(reason)

    def _why(self) -> HeadgateError:
        return (
            Retry(str(self._reason)) if isinstance(self._reason, Retry) else cast(HeadgateError, self._reason)
        )

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _error(message: Message, stream: _Stream) -> Retry | Reject:
    if message.type is not MessageType.APPLICATION_MESSAGE:
        return from_error(stream.operation, stream.target, message.model_type, message.payload)
    if message.terminates and not message.model_type:
        return unknown_operation(stream.operation, stream.target)
    call = describe(stream.operation, stream.target)
    return Retry(f"{call}: the nucleus answered with {message.model_type or 'no model type'}")
