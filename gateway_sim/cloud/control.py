"""A Unix socket through which tests and the demo make outages: one line of JSON in, one out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from gateway_sim.cloud.child import NotStarted

SOCKET: Final = "control.sock"
TIMEOUT_S: Final = 5.0
MAX_PATH_BYTES: Final = 107  # unix(7), sun_path without its closing zero

Command = Callable[[], Mapping[str, object]]


class Refused(Exception):
    """The simulated cloud did not do what it was asked; the text says why."""


@contextlib.asynccontextmanager
async def serving(directory: Path, commands: Mapping[str, Command]) -> AsyncIterator[None]:
    """Serve `{"do": NAME}` for each command until the block is left; raises child.NotStarted."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            answer = _obey(await reader.readline(), commands)
            writer.write(json.dumps(answer).encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await writer.drain()

    path = directory / SOCKET
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise NotStarted(f"{path} is too long for a Unix socket ({MAX_PATH_BYTES} B); use a shorter --dir")
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(converse, path)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def _obey(line: bytes, commands: Mapping[str, Command]) -> Mapping[str, object]:
    try:
        wanted = json.loads(line)["do"]
    except (ValueError, KeyError, TypeError):
        return {"ok": False, "error": 'a line {"do": "..."} is wanted'}
    if wanted not in commands:
        return {"ok": False, "error": f"{wanted!r} is none of {', '.join(commands)}"}
    return {"ok": True, **commands[wanted]()}


def ask(directory: Path, do: str) -> dict[str, Any]:
    """Have a running simulated cloud do something; raises Refused, or OSError where none runs."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(directory / SOCKET))
        connection.sendall(json.dumps({"do": do}).encode() + b"\n")
        with connection.makefile() as lines:
            answer: dict[str, Any] = json.loads(lines.readline() or "{}")
    if not answer.get("ok"):
        raise Refused(str(answer.get("error", "no answer")))
    return answer
