"""Each mode of the proxy on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway_sim.faults.control import command, parse
from gateway_sim.faults.proxy import Address, Mode, Proxy, proxying

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line; after the other side's end say goodbye, so that a half-close shows."""
    with contextlib.suppress(ConnectionError), contextlib.closing(writer):
        while line := await reader.readline():
            writer.write(line)
        writer.write(b"bye\n")
        await writer.drain()


@contextlib.asynccontextmanager
async def before_echo() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo_lines, "127.0.0.1", 0)
    with contextlib.closing(server):
        target: Address = server.sockets[0].getsockname()[:2]
        async with proxying(target) as proxy:
            yield proxy


async def connect(proxy: Proxy) -> Line:
    return await asyncio.open_connection(*proxy.address)


async def ask(line: Line, text: bytes) -> bytes:
    line[1].write(text + b"\n")
    return await line[0].readline()


async def close(*lines: Line) -> None:
    for _, writer in lines:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_pass_forwards_and_counts() -> None:
    async with before_echo() as proxy:
        line = await connect(proxy)
        assert await ask(line, b"hello") == b"hello\n"
        big = b"x" * 50_000
        assert await ask(line, big) == big + b"\n"
        line[1].write_eof()
        assert await line[0].read() == b"bye\n"
        assert (proxy.counters.up_bytes, proxy.counters.down_bytes) == (50_007, 50_011)
        assert proxy.counters.accepted == 1
        await close(line)


async def test_reset_cuts_refuses_and_comes_back_on_the_same_port() -> None:
    async with before_echo() as proxy:
        address = proxy.address
        lines = [await connect(proxy) for _ in range(3)]
        for line in lines:
            assert await ask(line, b"hello") == b"hello\n"
        await proxy.switch(Mode.RESET)
        for reader, _ in lines:
            with pytest.raises(ConnectionResetError):
                await reader.readline()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        assert (proxy.connections, proxy.counters.resets) == (0, 3)
        await proxy.switch(Mode.PASS)
        assert proxy.address == address
        line = await connect(proxy)
        assert await ask(line, b"again") == b"again\n"
        await close(line, *lines)


async def test_silence_holds_everything_back_and_loses_nothing() -> None:
    async with before_echo() as proxy:
        old = await connect(proxy)
        assert await ask(old, b"before") == b"before\n"
        await proxy.switch(Mode.SILENCE)
        carried = proxy.counters.up_bytes, proxy.counters.down_bytes
        new = await connect(proxy)
        waiting = [asyncio.create_task(ask(line, b"during"), name="waiting") for line in (old, new)]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
        assert (proxy.counters.up_bytes, proxy.counters.down_bytes) == carried
        await proxy.switch(Mode.PASS)
        assert await asyncio.gather(*waiting) == [b"during\n", b"during\n"]
        await close(old, new)


async def test_silence_then_reset_cuts_what_was_held() -> None:
    async with before_echo() as proxy:
        await proxy.switch(Mode.SILENCE)
        line = await connect(proxy)
        line[1].write(b"unheard\n")
        await line[1].drain()
        await proxy.switch(Mode.RESET)
        with pytest.raises(ConnectionResetError):
            await line[0].readline()
        assert proxy.counters.up_bytes == 0
        await close(line)


async def test_delay_is_late_but_complete() -> None:
    async with before_echo() as proxy:
        await proxy.switch(Mode.DELAY, delay_s=0.05)
        line = await connect(proxy)
        assert await ask(line, b"late") == b"late\n"
        await proxy.switch(Mode.DELAY, delay_s=3600)
        waiting = asyncio.create_task(ask(line, b"later"), name="waiting")
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        assert proxy.counters.up_bytes == 5
        waiting.cancel()
        await close(line)


async def test_a_target_that_is_not_there_resets_the_caller() -> None:
    async with before_echo() as other:
        await other.switch(Mode.RESET)
        async with proxying(other.address) as proxy:
            line = await connect(proxy)
            with pytest.raises(ConnectionResetError):
                await line[0].readline()
            await close(line)


async def test_a_reader_that_does_not_read_bounds_what_the_proxy_holds() -> None:
    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await stop.wait()

    stop = asyncio.Event()
    server = await asyncio.start_server(never_read, "127.0.0.1", 0, limit=1024)
    with contextlib.closing(server):
        async with proxying(server.sockets[0].getsockname()[:2]) as proxy:
            line = await connect(proxy)
            line[1].write(b"x" * 64_000_000)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(line[1].drain(), 0.5)
            assert proxy.counters.up_bytes < 32_000_000
            line[1].transport.abort()
            stop.set()


async def test_the_process_obeys_its_control_socket(tmp_path: Path) -> None:
    path = tmp_path / "control"
    server = await asyncio.start_server(echo_lines, "127.0.0.1", 0)
    with contextlib.closing(server):
        host, port = server.sockets[0].getsockname()[:2]
        words = [sys.executable, "-m", "gateway_sim.faults.proxy", "--target", f"{host}:{port}"]
        process = await asyncio.create_subprocess_exec(
            *words, "--control", str(path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        listen = json.loads(await process.stdout.readline())["listen"]
        line = await asyncio.open_connection(*listen)
        assert await ask(line, b"hello") == b"hello\n"
        told = await command(path)
        assert (told["mode"], told["connections"], told["up_bytes"]) == ("pass", 1, 6)
        assert (await command(path, mode="reset"))["resets"] == 1
        with pytest.raises(ConnectionResetError):
            await line[0].readline()
        refused = await command(path, mode="fire")
        assert refused == {"ok": False, "error": "mode is one of pass, reset, silence, delay, not 'fire'"}
        assert (await command(path, mode="pass"))["listen"] == listen
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert not path.exists()
        await close(line)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"mood": 1}', b'{"mode": []}', b'{"mode":"delay","delay_s":-1}']
)
def test_a_command_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse(line)
