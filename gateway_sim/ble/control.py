"""Faults on order: one-line JSON commands on a Unix socket, one line back for each.

`gateway_sim.faults.control.command(path, power=False)` sends one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, Protocol

from gateway_sim.ble.blefile import BleError

HELP = '{"power": bool}, {"hang_reads": bool}, {"restart": "clean" or "killed"}, or {} to only ask'


class Faulty(Protocol):
    """What the commands are carried out on."""

    def status(self) -> dict[str, object]: ...
    def power(self, on: bool) -> None: ...
    def hang_reads(self, on: bool) -> None: ...
    async def restart(self, how: Literal["clean", "killed"]) -> None: ...


async def carry_out(radio: Faulty, line: bytes) -> dict[str, object]:
    """Do what a command says; raises ValueError that says what would be right."""
    command = json.loads(line)
    match command:
        case {"power": bool(on), **rest} if not rest:
            radio.power(on)
        case {"hang_reads": bool(on), **rest} if not rest:
            radio.hang_reads(on)
        case {"restart": "clean" | "killed" as how, **rest} if not rest:
            await radio.restart(how)
        case {**rest} if not rest:
            pass
        case _:
            raise ValueError(f"a command is {HELP}; not {line.decode(errors='replace').strip()!r}")
    return {"ok": True, **radio.status()}


@contextlib.asynccontextmanager
async def serving(radio: Faulty, path: Path) -> AsyncIterator[None]:
    """Take commands while the context is open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while line := await reader.readline():
                try:
                    answer = await carry_out(radio, line)
                except (ValueError, BleError) as error:
                    answer = {"ok": False, "error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(serve, str(path))
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
