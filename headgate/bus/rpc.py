"""Request and reply over publish and subscribe: the frame, the table of pending requests, the serving side.

Frame, little-endian: `3s magic "HGQ" | u8 version | u8 kind | u64 id`, then for a request
`u8 length, reply topic` and the payload; for a reply the payload (ok) or a message in UTF-8 (reject, retry).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from headgate.bus.api import Handler, Serve
from headgate.bus.topics import check_topic, too_large
from headgate.errors import Reject, Retry

log = logging.getLogger(__name__)

MAGIC = b"HGQ"
VERSION = 1
MAX_REPLY_TOPIC_BYTES = 50
OVERHEAD_BYTES = 64
"""What a request or reply needs of a message beside its payload: the header and the longest reply topic."""

_HEAD = struct.Struct("<3sBBQ")


class Kind(IntEnum):
    """What a frame is."""

    REQUEST = 0
    OK = 1
    REJECT = 2
    RETRY = 3


@dataclass(frozen=True, slots=True)
class RpcFrame:
    """One decoded frame; `reply_topic` is empty in replies."""

    kind: Kind
    id: int
    reply_topic: str
    payload: bytes


def encode_request(request_id: int, reply_topic: str, payload: bytes) -> bytes:
    """Frame a request. `reply_topic` is at most 50 B of UTF-8, `request_id` 64 bits."""
    topic = reply_topic.encode()
    if not 0 < len(topic) <= MAX_REPLY_TOPIC_BYTES:
        raise Reject(f"reply topic {reply_topic!r} has {len(topic)} B, not 1 to {MAX_REPLY_TOPIC_BYTES}")
    return _HEAD.pack(MAGIC, VERSION, Kind.REQUEST, request_id) + bytes((len(topic),)) + topic + payload


def encode_reply(request_id: int, kind: Kind, payload: bytes) -> bytes:
    """Frame a reply: the payload for OK, a message in UTF-8 for REJECT and RETRY."""
    return _HEAD.pack(MAGIC, VERSION, kind, request_id) + payload


def decode(wire: bytes) -> RpcFrame:
    """Take a frame apart. Raises Reject for anything that is not a whole frame of a known version."""
    if len(wire) < _HEAD.size:
        raise Reject(f"{len(wire)} B are too short for a request or reply")
    magic, version, kind, request_id = _HEAD.unpack_from(wire)
    if magic != MAGIC:
        raise Reject(f"no request or reply: it starts with {magic!r}")
    if version != VERSION:
        raise Reject(f"request or reply of unknown version {version}; this one is {VERSION}")
    if kind not in Kind._value2member_map_:
        raise Reject(f"frame of unknown kind {kind}")
    if kind != Kind.REQUEST:
        return RpcFrame(Kind(kind), request_id, "", wire[_HEAD.size :])
    start = _HEAD.size + 1
    length = wire[_HEAD.size] if len(wire) >= start else 0
    topic = wire[start : start + length]
    if not 0 < length <= MAX_REPLY_TOPIC_BYTES or len(topic) != length:
        raise Reject("a request without a whole reply topic")
    try:
        return RpcFrame(Kind.REQUEST, request_id, topic.decode(), wire[start + length :])
    except UnicodeDecodeError:
        raise Reject("a request whose reply topic is not UTF-8") from None


class Carrier(Protocol):
    """The half of a bus that requests travel on."""

    @property
    def max_local_bytes(self) -> int: ...
    async def publish(self, topic: str, payload: bytes) -> None: ...
    def subscribe(self, pattern: str, handler: Handler) -> AbstractContextManager[None]: ...


class Rpc:
    """Requests and serving for one bus. Pending requests are bounded; each ends in an answer or Retry."""

    def __init__(self, carrier: Carrier, *, max_pending: int = 64) -> None:
        self.late_replies = 0
        self._carrier = carrier
        self._max_pending = max_pending
        self._reply_topic = f"hg/v1/local/reply/{secrets.token_hex(8)}"
        self._next_id = secrets.randbits(63)  # so that replies to a former process match nothing here
        self._pending: dict[int, asyncio.Future[RpcFrame]] = {}
        self._listening = ExitStack()
        self._listens = False

    async def request(self, topic: str, payload: bytes, timeout_s: float) -> bytes:
        """See `Bus.request`."""
        check_topic(topic)
        limit_bytes = self._carrier.max_local_bytes - OVERHEAD_BYTES
        if len(payload) > limit_bytes:
            raise too_large("request", topic, len(payload), limit_bytes)
        if len(self._pending) >= self._max_pending:
            raise Retry(f"request to {topic!r}: {self._max_pending} requests are pending already")
        self._listen()
        request_id = self._next_id
        self._next_id = (request_id + 1) % 2**64
        answer: asyncio.Future[RpcFrame] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._carrier.publish(topic, encode_request(request_id, self._reply_topic, payload))
                frame = await answer
        except TimeoutError:
            raise Retry(f"request to {topic!r}: no answer within {timeout_s:g} s") from None
        finally:
            del self._pending[request_id]
        if frame.kind is Kind.OK:
            return frame.payload
        message = frame.payload.decode(errors="replace")
        raise Reject(message) if frame.kind is Kind.REJECT else Retry(message)

    @contextmanager
    def serve(self, topic: str, serve: Serve) -> Iterator[None]:
        """See `Bus.serve`."""
        check_topic(topic)

        async def answer(topic: str, wire: bytes) -> None:
            frame = decode(wire)
            if frame.kind is not Kind.REQUEST:
                raise Reject(f"a reply arrived on {topic!r}, where requests are served")
            check_topic(frame.reply_topic)
            await self._carrier.publish(frame.reply_topic, await self._answer(topic, frame, serve))

        with self._carrier.subscribe(topic, answer):
            yield

    async def _answer(self, topic: str, frame: RpcFrame, serve: Serve) -> bytes:
        limit_bytes = self._carrier.max_local_bytes - OVERHEAD_BYTES
        try:
            payload = await serve(frame.payload)
            if len(payload) > limit_bytes:
                raise too_large("the reply of", topic, len(payload), limit_bytes)
        except (Reject, Retry) as error:
            kind = Kind.REJECT if isinstance(error, Reject) else Kind.RETRY
            text = str(error).encode()[:limit_bytes]
            return encode_reply(frame.id, kind, text.decode(errors="ignore").encode())
        return encode_reply(frame.id, Kind.OK, payload)

    def close(self) -> None:
        """Stop listening; whoever still waits gets Retry."""
        self._listening.close()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(Retry("the bus closed before an answer came"))

    def _listen(self) -> None:
        if not self._listens:
            self._listening.enter_context(self._carrier.subscribe(self._reply_topic, self._on_reply))
            self._listens = True

    async def _on_reply(self, topic: str, wire: bytes) -> None:
        frame = decode(wire)
        answer = self._pending.get(frame.id)
        if answer is None or answer.done():
            self.late_replies += 1
        else:
            answer.set_result(frame)
