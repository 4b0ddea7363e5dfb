"""Faults on order: one-line JSON commands on a Unix socket, one line back for each.

`gateway_sim.faults.control.command(path, power=False)` sends one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from gateway_sim.ble.blefile import BleError
from gateway_sim.ble.conditions import Writes

SWITCHES = ("power", "plug", "hang_reads", "hang_connects", "busy", "deaf", "passive")
HELP = (
    ", ".join(f'{{"{name}": bool}}' for name in SWITCHES)
    + ', {"drop": NAME}, {"absent": [NAME]}, {"strangers": PER_S}, {"writes": HOW}, {"bluez": "5.66"}'
    + ', {"restart": "clean" or "killed", "down_s": S}, or {} to only ask'
)
MAX_STRANGERS_PER_S = 1_000


class Faulty(Protocol):
    """What the commands are carried out on."""

    def status(self) -> dict[str, object]: ...
    def power(self, on: bool) -> None: ...
    def plug(self, on: bool) -> None: ...
    def hang_reads(self, on: bool) -> None: ...
    def hang_connects(self, on: bool) -> None: ...
    def busy(self, on: bool) -> None: ...
    def deaf(self, on: bool) -> None: ...
    def passive(self, on: bool) -> None: ...
    def drop(self, name: str) -> None: ...
    def absent(self, names: Sequence[str]) -> None: ...
    def strangers(self, per_s: float) -> None: ...
    def writes(self, how: Writes) -> None: ...
    def bluez(self, version: str) -> None: ...
    async def restart(self, how: Literal["clean", "killed"], down_s: float = ...) -> None: ...


async def carry_out(radio: Faulty, line: bytes) -> dict[str, object]:
    """Do what a command says; raises ValueError that says what would be right."""
    command = json.loads(line)
    pairs = list(command.items()) if isinstance(command, dict) else [(None, None)]
    match pairs:
        case []:
            pass
        case [(str(name), bool(on))] if name in SWITCHES:
            getattr(radio, name)(on)
        case [("drop", str(name))]:
            radio.drop(name)
        case [("absent", list(names))] if all(isinstance(name, str) for name in names):
            radio.absent(names)
        case [("strangers", int(per_s) | float(per_s))] if 0 <= per_s <= MAX_STRANGERS_PER_S:
            radio.strangers(per_s)
        case [("writes", "take" | "refuse" | "hang" | "drop" | "lose" | "keep" as how)]:
            radio.writes(how)
        case [("bluez", str(version))] if re.fullmatch(r"\d+\.\d+", version):
            radio.bluez(version)
        case [("restart", "clean" | "killed" as how)]:
            await radio.restart(how)
        case [("restart", "clean" | "killed" as how), ("down_s", int(down_s) | float(down_s))]:
            await radio.restart(how, down_s)
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
