"""Starting real servers for tests: a free port, mosquitto with mutual TLS, a nucleus."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.support.certificates import Authority, Identity

REPOSITORY = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


def free_port() -> int:
    """A TCP port on loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Look again every 20 ms until it holds; fail loudly after the deadline."""
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Broker:
    """Mosquitto on loopback that asks every client for a certificate of the authority."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._authority = authority
        self._server = authority.issue("broker")
        self._process: subprocess.Popen[bytes] | None = None
        self.ca = authority.ca
        self.port = free_port()

    def start(self) -> None:
        """Start it and wait until it answers."""
        config = self._directory / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\ncafile {self.ca}\ncertfile {self._server.cert}\n"
            f"keyfile {self._server.key}\nrequire_certificate true\nallow_anonymous true\n"
            "max_inflight_messages 100\nset_tcp_nodelay true\npersistence false\nuser root\n"
        )
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        assert program, "mosquitto is not installed: sudo apt-get install -y mosquitto"
        with (self._directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
        until(self._answers, "mosquitto answers")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        """Stop it; `start` brings it back on the same port."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def tls(self, identity: Identity) -> ssl.SSLContext:
        """How a client of the tests connects."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(identity.cert, identity.key)
        return context


class Proxy:
    """A TCP proxy before a port, in a process of its own; see proxy.py for its signals."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it; `port` is then known."""
        program = str(Path(__file__).with_name("proxy.py"))
        self._process = subprocess.Popen(
            [sys.executable, program, str(self._target)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def pid(self) -> int:
        """For signals."""
        assert self._process is not None
        return self._process.pid

    def silence(self) -> None:
        """Let nothing through, but keep the connections."""
        os.kill(self.pid, signal.SIGHUP)

    def heal(self) -> None:
        """Let everything through again."""
        os.kill(self.pid, signal.SIGUSR2)

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop(self._process)
            assert self._process.stdout is not None
            self._process.stdout.close()


class HasPort(Protocol):
    """Something that listens on loopback."""

    port: int


class NucleusProcess:
    """`python -m gateway_sim.nucleus` with its root in a directory."""

    def __init__(
        self, root: Path, broker: HasPort, ca: Path, identity: Identity, profile: str, *extra: str
    ) -> None:
        self.root = root
        self._command = [
            *(sys.executable, "-m", "gateway_sim.nucleus", "--root", str(root), "--profile", profile),
            *("--thing", "gw-1", "--region", "eu-west-1"),
            *("--ca", str(ca), "--cert", str(identity.cert), "--key", str(identity.key)),
            *("--keepalive-s", "3", "--reconnect-cap-s", "1", *extra),
        ]
        self._broker = broker
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        """Start it and wait for its status."""
        self.launch(*more)
        process = self.process
        assert process is not None

        def ready() -> bool:
            assert process.poll() is None, f"the nucleus ended with {process.returncode}: {self.log()}"
            return (self.root / "status.json").exists()

        until(ready, "the nucleus writes status.json")

    def launch(self, *more: str) -> None:
        """Start it without waiting."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "status.json").unlink(missing_ok=True)
        with (self.root / "stderr").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, "--broker", f"127.0.0.1:{self._broker.port}", *more],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        """What it said so far."""
        return (self.root / "stderr").read_text(errors="replace")

    def status(self) -> dict[str, Any]:
        """status.json."""
        status: dict[str, Any] = json.loads((self.root / "status.json").read_text())
        return status

    def external(self, name: str) -> dict[str, str]:
        """How to connect as a component that the test plays."""
        given: dict[str, str] = json.loads((self.root / "external" / f"{name}.json").read_text())
        return given

    def until_connected(self) -> None:
        """Wait for the cloud link."""
        until(lambda: bool(self.status()["cloud"]["connected"]), "the nucleus reaches the broker")

    def stop(self) -> None:
        """Orderly stop, if it runs."""
        if self.process is not None and self.process.poll() is None:
            stop(self.process)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(*things: Any) -> Iterator[Sequence[Any]]:
    """Start them in order and stop them in reverse."""
    with contextlib.ExitStack() as stack:
        for thing in things:
            stack.callback(thing.stop)
            thing.start()
        yield things
