"""moto as a process of its own on a loopback port that it chooses and prints.

DynamoDB's calls are made one at a time: AWS promises that a conditional write is atomic, and moto's
threaded server does not keep that promise by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway_sim.cloud import child

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

START_TIMEOUT_S: Final = 60.0  # importing moto takes a second or two, on a busy Raspberry Pi many


@dataclass(frozen=True, slots=True)
class Aws:
    """Where the running moto listens."""

    endpoint: str
    process: asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def running(log: Path) -> AsyncIterator[Callable[[], Awaitable[Aws]]]:
    """Start moto at once; the block gets a call to await until it answers (raises child.NotStarted)."""
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    process = await child.start([sys.executable, "-m", __name__], output=log, piped=True, env=env)

    async def ready() -> Aws:
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        except TimeoutError:
            line = b""
        if not line:
            raise child.NotStarted(f"moto did not come up; its log is {log}")
        return Aws(f"http://127.0.0.1:{int(line)}", process)

    try:
        yield ready
    finally:
        await child.stop(process)


def serialised(app: WSGIApplication) -> WSGIApplication:
    """`app`, with DynamoDB's requests one at a time (Flask answers in full before it returns)."""
    lock = threading.Lock()

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
            return app(environ, start_response)
        with lock:
            return app(environ, start_response)

    return call


def main() -> None:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from gateway_sim.cloud import moto_scale

    moto_scale.apply()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line per request
    app = serialised(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
