"""The MQTT broker: mosquitto with mutual TLS and topic rights per thing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway_sim.cloud import child
from gateway_sim.cloud.certificates import Certificates, client_context

MAX_PAYLOAD_BYTES: Final = 128 * 1024  # AWS IoT Core quota, "Message size"
START_TIMEOUT_S: Final = 10.0
ATTEMPTS: Final = 5

CONFIG: Final = """\
listener {port} 127.0.0.1
cafile {ca}
certfile {cert}
keyfile {key}
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {acl}
# Started by root, mosquitto would become the user "mosquitto", who cannot read this run's private keys.
user {user}
persistence false
message_size_limit {limit}
# The rule engine is one subscriber for a whole fleet: the default of 1,000 would drop a burst silently.
max_queued_messages 100000
set_tcp_nodelay true
log_dest file {log}
log_type error
log_type warning
log_type notice
"""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the running broker listens."""

    host: str
    port: int
    process: asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def running(directory: Path, certificates: Certificates, rights: str) -> AsyncIterator[Broker]:
    """Run mosquitto, with an acl_file of these rights, until the block is left; raises child.NotStarted."""
    program = _program()
    log = directory / "mosquitto.log"
    for attempt in range(1, ATTEMPTS + 1):
        port = _free_port()
        config = _write_config(directory, certificates, rights, port, log)
        output = directory / "mosquitto.out"
        process = await child.start([program, "-c", str(config)], output=output)
        try:
            if await _listens(process, port, certificates):
                yield Broker("127.0.0.1", port, process)
                return
            # mosquitto cannot be given port 0, so another process may have taken the port that was free.
            if attempt == ATTEMPTS or "Address already in use" not in _tail(log):
                raise child.NotStarted(_why(directory, log, process.returncode))
        finally:
            await child.stop(process)


def _program() -> str:
    """Debian installs it where only root's PATH looks."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise child.NotStarted("mosquitto is not installed (Debian: apt-get install mosquitto)")
    return program


def _write_config(directory: Path, certificates: Certificates, rights: str, port: int, log: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    acl, config = directory / "acl", directory / "mosquitto.conf"
    acl.write_text(rights)
    acl.chmod(0o600)
    config.write_text(
        CONFIG.format(
            port=port,
            ca=certificates.ca,
            cert=certificates.broker.cert,
            key=certificates.broker.key,
            acl=acl,
            user=pwd.getpwuid(os.getuid()).pw_name,
            limit=MAX_PAYLOAD_BYTES,
            log=log,
        )
    )
    return config


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listens(process: asyncio.subprocess.Process, port: int, certificates: Certificates) -> bool:
    """Wait for a TLS handshake under this run's CA, which no other process on the port could complete, and
    which mosquitto, having listened, may yet fail to offer. False when it ended, or never came up."""
    context = client_context(certificates.ca, certificates.cloud)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_TIMEOUT_S):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
                except OSError:  # mosquitto tells nobody that it listens, so it has to be tried
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return True
    return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""


def _why(directory: Path, log: Path, returncode: int | None) -> str:
    how = "did not come up in time" if returncode is None else f"ended with {returncode}"
    said = "\n".join(filter(None, [_tail(directory / "mosquitto.out"), _tail(log)]))
    return f"mosquitto {how}; its log {log} ends:\n{said}"
