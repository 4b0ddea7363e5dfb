"""One connection without a socket: demultiplexing, streams, reasons, and bytes from a mad nucleus."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest

from headgate.errors import Fatal, HeadgateError, Reject, Retry
from headgate.ipc.connection import Connection
from headgate.ipc.errors import HandshakeUnanswered, TokenRefused, Unauthorized
from headgate.ipc.messages import MAX_STREAM_ID
from tests.support.ipc_peer import (
    CONNECT_ACK,
    ERROR,
    MESSAGE,
    PING,
    PROTOCOL_ERROR,
    error,
    event,
    frame,
    response,
)
from tests.support.mutate import mutated

ACCEPT = frame(CONNECT_ACK, 1, 0)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


def connected(accept: bytes = ACCEPT) -> tuple[Connection, Wire]:
    connection, wire = Connection("token"), Wire()
    connection.connection_made(wire)
    connection.data_received(accept)
    return connection, wire


async def calls(connection: Connection, count: int) -> list[asyncio.Task[bytes]]:
    """So many calls in flight, numbered from stream 1."""
    tasks = [
        asyncio.create_task(connection.call("Op", f"{n}", b"{}", timeout_s=60), name=f"call {n}")
        for n in range(1, count + 1)
    ]
    await asyncio.sleep(0)
    return tasks


async def test_answers_find_their_calls_in_any_order() -> None:
    connection, _ = connected()
    tasks = await calls(connection, 5)
    for stream in (3, 1, 5, 2, 4):
        connection.data_received(response("Op", stream, {"n": stream}))
    assert [await task for task in tasks] == [b'{"n": %d}' % n for n in range(1, 6)]


@pytest.mark.parametrize("flags", [0, 2])
async def test_every_stream_is_closed_by_one_side_and_only_one(flags: int) -> None:
    connection, wire = connected()
    for stream in range(1, 1001):
        (task,) = await calls(connection, 1)
        assert connection.open_streams == 1
        connection.data_received(response("Op", stream, {}, flags=flags))
        await task
        assert connection.open_streams == 0
    assert len(wire.written) == 1 + 1000 + (1000 if flags == 0 else 0)


async def test_no_more_calls_in_flight_than_allowed_and_their_order_is_kept() -> None:
    connection, wire = connected()
    tasks = await calls(connection, 40)
    assert connection.open_streams == 32
    for stream in range(1, 41):
        connection.data_received(response("Op", stream, {"n": stream}, flags=2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert [await task for task in tasks] == [b'{"n": %d}' % n for n in range(1, 41)]
    assert len(wire.written) == 41


async def test_a_paused_socket_makes_calls_wait() -> None:
    connection, wire = connected()
    connection.pause_writing()
    (task,) = await calls(connection, 1)
    assert len(wire.written) == 1
    connection.resume_writing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connection.data_received(response("Op", 1, {}))
    assert await task == b"{}"


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (
            error("UnauthorizedError", 1, {"message": "no"}),
            Unauthorized,
            "Op '1' is not allowed.*nucleus: no",
        ),
        (error("ServiceError", 1, {"_message": "no"}, flags=0), Retry, "nucleus: no"),
        (frame(MESSAGE, 2, 1), Reject, "does not know the operation"),
        (frame(ERROR, 2, 1, b"{}"), Reject, "does not know the operation"),
        (frame(PROTOCOL_ERROR, 2, 1, b"{}"), Reject, "does not know the operation"),
        (response("Other", 1, {}), Retry, "answered with OtherResponse"),
        (frame(MESSAGE, 0, 1, b"{}"), Retry, "answered with no model type"),
    ],
)
async def test_bad_answers(answer: bytes, kind: type[HeadgateError], says: str) -> None:
    connection, _ = connected()
    (task,) = await calls(connection, 1)
    connection.data_received(answer)
    with pytest.raises(kind, match=says):
        await task
    assert connection.open_streams == 0
    assert not connection.closed


async def test_a_call_without_an_answer_ends_and_its_late_answer_is_only_counted() -> None:
    connection, wire = connected()
    with pytest.raises(Retry, match="Op 't': no answer from the nucleus in 0 s"):
        await connection.call("Op", "t", b"{}", timeout_s=0)
    assert connection.open_streams == 0
    connection.data_received(response("Op", 1, {}))
    assert connection.late_messages == 1
    assert not connection.closed
    assert len(wire.written) == 3


async def test_a_cancelled_call_closes_its_stream() -> None:
    connection, wire = connected()
    (task,) = await calls(connection, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.open_streams == 0
    assert len(wire.written) == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no message: frame with a wrong checksum of its lengths"),
        (response("Op", 2, {}), "a message on stream 2, which was never opened"),
        (frame(PROTOCOL_ERROR, 0, 0, b"gap"), "PROTOCOL_ERROR: gap"),
        (frame(CONNECT_ACK, 1, 0), "unexpected CONNECT_ACK"),
        (frame(MESSAGE, 0, 0), "unexpected APPLICATION_MESSAGE on stream 0"),
    ],
)
async def test_what_ends_the_connection_reaches_all_who_wait(data: bytes, says: str) -> None:
    connection, wire = connected()
    (task,) = await calls(connection, 1)
    connection.data_received(data)
    with pytest.raises(Retry, match=says):
        await task
    with pytest.raises(Retry, match=says):
        await connection.call("Op", "t", b"{}", timeout_s=60)
    assert says in str(await connection.wait_closed())
    assert wire.aborted


async def test_pings_are_answered() -> None:
    connection, wire = connected()
    connection.data_received(frame(PING, 0, 0, b"hello"))
    assert b"hello" in wire.written[-1]
    assert not connection.closed


async def test_used_up_stream_numbers_end_the_connection() -> None:
    connection, _ = connected()
    connection._next_id = MAX_STREAM_ID
    task = asyncio.create_task(connection.call("Op", "t", b"{}", timeout_s=60), name="last")
    await asyncio.sleep(0)
    connection.data_received(response("Op", MAX_STREAM_ID, {}))
    assert await task == b"{}"
    with pytest.raises(Retry, match="used up its stream numbers"):
        await connection.call("Op", "t", b"{}", timeout_s=60)
    assert connection.closed


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(frame(CONNECT_ACK, 0, 0), TokenRefused), (b"", HandshakeUnanswered), (b"x" * 20, Retry)],
)
async def test_how_a_connection_is_not_accepted(answer: bytes, kind: type[HeadgateError]) -> None:
    connection, _ = connected(answer)
    connection.connection_lost(None)
    with pytest.raises(kind) as raised:
        await connection._accepted
    assert type(raised.value) is kind
    assert issubclass(TokenRefused, Fatal)


async def test_a_subscription_gets_its_answer_then_events_then_its_end() -> None:
    connection, wire = connected()
    seen: list[object] = []
    stream = connection.subscribe(
        "Sub", "t", b"{}", timeout_s=60, answer=seen.append, on_event=seen.append, on_end=seen.append
    )
    connection.data_received(response("Sub", stream, {}) + event("E", stream, 1) + event("E", stream, 2))
    assert seen == [b"{}", b"1", b"2"]
    connection.data_received(frame(MESSAGE, 2, stream))
    assert seen[3:] == [None]
    assert connection.open_streams == 0
    assert len(wire.written) == 2


async def test_an_event_before_the_answer_is_an_error() -> None:
    connection, _ = connected()
    seen: list[object] = []
    stream = connection.subscribe(
        "Sub", "t", b"{}", timeout_s=60, answer=seen.append, on_event=seen.append, on_end=seen.append
    )
    connection.data_received(event("SubscriptionResponseMessage", stream, {}))
    (only,) = seen
    assert isinstance(only, Retry)
    assert connection.open_streams == 0


async def fuzz(count: int, seed: int) -> dict[str, int]:
    """Feed mutated answers to calls and subscriptions; each must end, whatever comes."""
    chance = random.Random(seed)
    ends = {"answered": 0, "failed": 0, "connection lost": 0}
    originals = [
        response("Op", 1, {"a": 1}),
        response("Op", 1, {"a": 1}, flags=2),
        error("ServiceError", 1, {"message": "m"}),
        response("Sub", 2, {}) + event("E", 2, {"b": "c"}),
        frame(MESSAGE, 2, 2),
        frame(PING, 0, 0, b"x"),
        frame(PROTOCOL_ERROR, 0, 0, b"x"),
    ]
    for _ in range(count):
        connection, wire = connected()
        (task,) = await calls(connection, 1)
        answers: list[object] = []
        connection.subscribe(
            "Sub",
            "",
            b"",
            timeout_s=60,
            answer=answers.append,
            on_event=lambda _: None,
            on_end=lambda _: None,
        )
        data = mutated(chance.choice(originals), chance, most=1) + chance.choice(originals)
        cut = chance.randrange(len(data) + 1)
        for part in (data[:cut], data[cut:]):
            if not wire.aborted:
                connection.data_received(part)
        ends["connection lost"] += connection.closed
        connection.connection_lost(None)
        try:
            await task
            ends["answered"] += 1
        except HeadgateError as end:
            ends["failed"] += bool(str(end))
        assert len(answers) == 1
        assert connection.open_streams == 0
    return ends


async def test_mutated_answers_end_every_call_with_a_clear_error() -> None:
    ends = await fuzz(5_000, seed=int(os.environ.get("HEADGATE_SEED", "1")))
    assert ends["answered"] + ends["failed"] == 5_000
    assert min(ends.values()) > 50


@pytest.mark.slow("ipc")
@pytest.mark.timeout(600)
async def test_100k_mutated_answers() -> None:
    count = int(os.environ.get("HEADGATE_FUZZ_FRAMES", "100000"))
    ends = await fuzz(count, seed=int(os.environ.get("HEADGATE_SEED", "1")))
    assert ends["answered"] + ends["failed"] == count
