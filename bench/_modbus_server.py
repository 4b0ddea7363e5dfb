"""Modbus TCP endpoints for benchmarks: every response of a range carries how often that range was read.

    python -m bench._modbus_server ENDPOINTS

writes `{"ports": [...]}` and then, for each line on standard input, `{"requests": n, "registers": n}`. Its
own framing, so that it costs little and knows nothing of what it measures. Any unit, function codes 3 and 4.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from functools import partial

_REQUEST = struct.Struct(">HHHBBHH")


class _Totals:
    def __init__(self) -> None:
        self.requests = self.registers = 0


class _Endpoint(asyncio.Protocol):
    """One connection; `counts` is the endpoint's own and outlives it."""

    def __init__(self, counts: dict[bytes, int], totals: _Totals) -> None:
        self._counts, self._totals = counts, totals
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data
        while len(data) >= _REQUEST.size:
            transaction, _, _, unit, function, _, count = _REQUEST.unpack_from(data)
            asked = data[6 : _REQUEST.size]
            served = self._counts[asked] = self._counts.get(asked, 0) + 1
            self._totals.requests += 1
            self._totals.registers += count
            head = struct.pack(">HHHBBB", transaction, 0, 3 + 2 * count, unit, function, 2 * count)
            self._transport.write(head + (served & 0xFFFF).to_bytes(2, "big") * count)
            data = data[_REQUEST.size :]
        self._waiting = data


async def _serve(endpoints: int) -> None:
    loop, totals = asyncio.get_running_loop(), _Totals()
    servers = [
        await loop.create_server(partial(_Endpoint, {}, totals), "127.0.0.1", 0) for _ in range(endpoints)
    ]
    print(json.dumps({"ports": [server.sockets[0].getsockname()[1] for server in servers]}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({"requests": totals.requests, "registers": totals.registers}), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
