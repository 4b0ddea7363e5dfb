"""The proxy as a process: one-line JSON commands on a Unix socket, one line back for each.

`python -m gateway_sim.faults.proxy --listen 127.0.0.1:0 --target HOST:PORT --control SOCKET` prints one line,
`{"listen": [host, port]}`, when it forwards, and runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gateway_sim.faults.proxy import Address, Mode, Proxy, proxying

DELAY_LIMIT_S = 3600


def parse(line: bytes) -> tuple[Mode | None, float]:
    """A command: `{"mode": "silence"}`, `{"mode": "delay", "delay_s": 0.2}`, or `{}` to only ask.

    Returns the mode (None: leave it) and the delay in s; raises ValueError that says what would be right.
    """
    command = json.loads(line)
    if not isinstance(command, dict) or command.keys() - {"mode", "delay_s"}:
        raise ValueError(
            f'a command is {{"mode": ..., "delay_s": ...}}, not {line.decode(errors="replace")!r}'
        )
    delay_s = command.get("delay_s", 0)
    if type(delay_s) not in {int, float} or not 0 <= delay_s <= DELAY_LIMIT_S:
        raise ValueError(f"delay_s is a number of seconds from 0 to {DELAY_LIMIT_S}, not {delay_s!r}")
    if "mode" not in command:
        return None, 0.0
    if command["mode"] not in list(Mode):
        raise ValueError(f"mode is one of {', '.join(Mode)}, not {command['mode']!r}")
    return Mode(command["mode"]), float(delay_s)


def status(proxy: Proxy) -> dict[str, object]:
    """What the proxy is doing."""
    told = {"mode": proxy.mode, "delay_s": proxy.delay_s, "connections": proxy.connections}
    return {"ok": True, "listen": list(proxy.address), **told, **asdict(proxy.counters)}


async def control(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one control connection."""
    with contextlib.closing(writer):
        while line := await reader.readline():
            try:
                mode, delay_s = parse(line)
                if mode is not None:
                    await proxy.switch(mode, delay_s=delay_s)
                answer = status(proxy)
            except (ValueError, OSError) as error:
                answer = {"ok": False, "error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()


async def command(socket_path: Path, **fields: object) -> dict[str, object]:
    """Send one command to a proxy process and return its answer; raises OSError when it is not there."""
    reader, writer = await asyncio.open_unix_connection(str(socket_path))
    with contextlib.closing(writer):
        writer.write(json.dumps(fields).encode() + b"\n")
        answer: dict[str, object] = json.loads(await reader.readline())
        return answer


async def _run(listen: Address, target: Address, socket_path: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with proxying(target, listen) as proxy:
        partial = f"{socket_path}.partial"  # who sees the path can connect to it
        server = await asyncio.start_unix_server(lambda r, w: control(proxy, r, w), partial)
        with contextlib.closing(server):
            _rename(partial, socket_path)
            print(json.dumps({"listen": list(proxy.address)}), flush=True)
            await stop.wait()


def _rename(partial: str, path: str) -> None:
    Path(partial).replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; 0 after an orderly stop, 2 when it cannot listen."""
    parser = argparse.ArgumentParser(prog="gateway_sim.faults.proxy", description=__doc__)
    parser.add_argument("--listen", type=_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--target", type=_address, required=True, metavar="HOST:PORT")
    parser.add_argument(
        "--control", type=Path, required=True, metavar="SOCKET", help="path of the Unix socket"
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options.listen, options.target, str(options.control)))
    except OSError as error:
        print(f"proxy: cannot listen on {options.listen} and {options.control}: {error}", file=sys.stderr)
        return 2
    finally:
        options.control.unlink(missing_ok=True)
    return 0


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
