"""Mutated responses through pymodbus's framers and our checks: no crash, and no value that nobody sent."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from headgate.errors import Retry
from headgate.modbus.client import ExceptionReply, WrongReply
from headgate.modbus.link import PymodbusClient, _Connection
from headgate.modbus.tags import Table
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Tcp, Transport, Udp, numbered
from tests.support.modbus_peer import AsciiFraming, Asked, Framing, RtuFraming, TcpFraming, crc16

WIRES: dict[str, tuple[Transport, Framing]] = {
    "tcp": (Tcp("h", 1), TcpFraming()),
    "udp": (Udp("h", 1), TcpFraming()),
    "rtu": (Rtu("p", 19_200, "N", 1), RtuFraming()),
    "rtu_over_tcp": (RtuOverTcp("h", 1), RtuFraming()),
    "ascii": (Ascii("p", 19_200, "E", 1, 7), AsciiFraming()),
}
FUNCTIONS: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
TABLES: tuple[Table, ...] = ("holding", "holding", "input", "coil", "discrete")


class Wire:
    """The transport below pymodbus: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    sendto = write

    def close(self) -> None:
        pass


def connect(client: PymodbusClient, transport: Transport) -> Wire:
    connection, wire = _Connection(transport, client._on_heard), Wire()
    connection.context.transport = wire  # type: ignore[assignment]
    client._connection = connection
    return wire


def mutate(rng: random.Random, frame: bytes, former: bytes) -> bytes:
    """A frame with one or a few things wrong; `former` is one that was sent before."""
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(11):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 6))
            case 3:
                del data[at : at + rng.randrange(1, 6)]
            case 4:
                del data[at:]
            case 5:
                data += data[: rng.randrange(len(data) + 1)]
            case 6:
                data[:0] = former
            case 7:
                data[:0] = former[: rng.randrange(len(former) + 1)]
            case 8 if data:  # the header is where it hurts
                data[rng.randrange(min(9, len(data)))] = rng.choice(
                    (0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0x83, 0xFF)
                )
            case 9:
                data[:] = rng.randbytes(rng.randrange(1, 300))
            case _:
                data += former
    return bytes(data)


def resealed(rng: random.Random, framing: Framing, asked: Asked, pdu: bytes) -> bytes:
    """A wrong reply in a sound frame: mutations below the checksum."""
    body = bytearray(pdu)
    for _ in range(rng.randrange(1, 3)):
        match rng.randrange(4):
            case 0 if body:
                body[rng.randrange(min(2, len(body)))] = rng.randrange(256)
            case 1:
                body += rng.randbytes(rng.randrange(1, 4))
            case 2:
                del body[rng.randrange(len(body) + 1) :]
            case _ if body:
                body[rng.randrange(len(body))] = rng.randrange(256)
    unit = rng.choice((asked.unit, asked.unit, rng.randrange(1, 248)))
    return framing.frame(asked, bytes(body), unit=unit)


def sound_pdus(framing: Framing, asked: Asked, chunks: Sequence[bytes], *, datagrams: bool) -> list[bytes]:
    """Every PDU that a strict reader of our own finds for the asked unit (and transaction)."""
    if isinstance(framing, TcpFraming):
        return [
            pdu for each in (chunks if datagrams else [b"".join(chunks)]) for pdu in tcp_pdus(each, asked)
        ]
    data = b"".join(chunks)
    if isinstance(framing, RtuFraming):
        size = 2 + expected_size(asked)
        ends = [(at, at + 1 + length + 2) for at in range(len(data)) for length in (size, 2)]
        return [
            data[at + 1 : end - 2]
            for at, end in ends
            if data[at] == asked.unit
            and end <= len(data)
            and crc16(data[at : end - 2]) == data[end - 2 : end]
        ]
    found = []
    for start in (at for at in range(len(data)) if data[at : at + 1] == b":"):
        line = data[start + 1 :].partition(b"\r\n")[0]
        try:
            raw = bytes.fromhex(line.decode("ascii"))
        except ValueError:
            continue
        if raw and raw[0] == asked.unit and sum(raw) & 0xFF == 0:
            found.append(raw[1:-1])
    return found


def tcp_pdus(data: bytes, asked: Asked) -> list[bytes]:
    found = []
    while len(data) >= 7:
        tid, protocol, length, unit = struct.unpack_from(">HHHB", data)
        if protocol or not 3 <= length <= 254 or len(data) < 6 + length:
            break
        if (tid, unit) == (asked.tid, asked.unit):
            found.append(data[7 : 6 + length])
        data = data[6 + length :]
    return found


def expected_size(asked: Asked) -> int:
    return (asked.count + 7) // 8 if asked.pdu[0] < 3 else 2 * asked.count


def data_of(asked: Asked, pdu: bytes) -> list[int] | None:
    """What a reply says, None when it is no answer."""
    size = expected_size(asked)
    if pdu[:2] != bytes([asked.pdu[0], size]) or len(pdu) != 2 + size:
        return None
    if asked.pdu[0] > 2:
        return [value for (value,) in struct.iter_unpack(">H", pdu[2:])]
    return [byte >> bit & 1 for byte in pdu[2:] for bit in range(8)]


async def fuzz(kind: str, seed: int, rounds: int) -> dict[str, int]:
    """How often a value, a refusal and a fault came out."""
    rng = random.Random(f"{kind}-{seed}")
    transport, framing = WIRES[kind]
    loop = asyncio.get_running_loop()
    broken: list[Any] = []
    loop.set_exception_handler(lambda loop, context: broken.append(context))
    client = PymodbusClient(transport)
    wire = connect(client, transport)
    former = b"\x00"
    outcomes = {"value": 0, "refused": 0, "fault": 0}
    for number in range(rounds):
        table, unit, count = rng.choice(TABLES), rng.randrange(1, 248), rng.choice((1, 2, 3, 8, 9, 60, 125))
        wire.sent.clear()
        task = loop.create_task(client.read(table, unit, rng.randrange(1000), count, 3600))
        await asyncio.sleep(0)
        if not wire.sent:  # a broken stream was given up
            wire = connect(client, transport)
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], Retry)
            continue
        (asked,), _ = framing.split(b"".join(wire.sent))
        function = FUNCTIONS[table]
        pdu = bytes([function, expected_size(asked)]) + rng.randbytes(expected_size(asked))
        if rng.random() < 0.05:
            pdu = bytes([function | 0x80, rng.randrange(256)])
        frame = framing.frame(asked, pdu)
        intact = number % 8 == 0
        if intact:
            sent = frame
        elif rng.random() < 0.3:
            sent = resealed(rng, framing, asked, pdu)
        else:
            sent = mutate(rng, frame, former)
        cut = (
            rng.randrange(len(sent) + 1)
            if rng.random() < 0.3 and not (intact and kind == "udp")
            else len(sent)
        )
        chunks = [chunk for chunk in (sent[:cut], sent[cut:]) if chunk]
        connection = client._connection
        assert connection is not None
        for chunk in chunks:
            connection.context.datagram_received(chunk, None)
        connection._fail(Retry("time-out"))
        former = frame
        try:
            data = await task
        except ExceptionReply as error:
            outcomes["refused"] += 1
            refusal = bytes([function | 0x80, error.code])
            assert refusal in sound_pdus(framing, asked, chunks, datagrams=kind == "udp")
        except Retry as error:
            outcomes["fault"] += 1
            assert not intact, f"a good reply was refused: {asked} {chunks}"
            if numbered(transport) and isinstance(error, WrongReply):
                wire = connect(client, transport)  # as the line does
        else:
            outcomes["value"] += 1
            said = [
                data_of(asked, each) for each in sound_pdus(framing, asked, chunks, datagrams=kind == "udp")
            ]
            assert [int(value) for value in data] in said, f"{asked} {chunks}"
    assert not broken
    return outcomes


@pytest.mark.parametrize("kind", WIRES)
async def test_mutated_responses_yield_no_value_that_was_not_sent(kind: str, seed: int) -> None:
    outcomes = await fuzz(kind, seed, 5_000)
    assert min(outcomes.values()) > 20


@pytest.mark.slow("modbus")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", WIRES)
async def test_a_million_mutated_responses_yield_no_value_that_was_not_sent(kind: str, seed: int) -> None:
    outcomes = await fuzz(kind, seed, 1_000_000 // len(WIRES))
    assert min(outcomes.values()) > 1_000
