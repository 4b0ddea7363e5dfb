"""A private dbus-daemon in place of the system's: bleak finds it through DBUS_SYSTEM_BUS_ADDRESS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from xml.sax.saxutils import escape

from gateway_sim.ble.blefile import BleError
from gateway_sim.cloud import child

SOCKET_NAME = "bus"
SOCKET_PATH_LIMIT = 107
"""`sun_path` holds 108 B with the closing NUL (unix(7))."""
START_TIMEOUT_S = 10.0
CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
  <!-- The system bus's own limit: who leaks connections finds out here, not in the field. -->
  <limit name="max_connections_per_user">256</limit>
</busconfig>
"""


def socket_path(directory: Path, name: str) -> Path:
    """Where a Unix socket of the radio lies; raises BleError when the system could not bind it there."""
    path = directory / name
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT or set(str(path)) & set(",;%"):
        told = f"a Unix socket's path has at most {SOCKET_PATH_LIMIT} B and none of , ; %"
        raise BleError(f"{path} cannot be a socket ({told}): give --dir a shorter, plain path")
    return path


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[str]:
    """Run a bus until the block is left and give its address; raises BleError."""
    program = shutil.which("dbus-daemon")
    if program is None:
        raise BleError("dbus-daemon is not installed (Debian: apt-get install dbus-daemon)")
    socket = socket_path(directory, SOCKET_NAME)
    socket.unlink(missing_ok=True)
    config, log = directory / "bus.conf", directory / "bus.log"
    config.write_text(CONFIG.format(socket=escape(str(socket))))
    command = [program, f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1"]
    process = await child.start(command, output=log, piped=True)
    try:
        await _listens(process, log)
        yield f"unix:path={socket}"
    finally:
        await child.stop(process)
        socket.unlink(missing_ok=True)


async def _listens(process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait for the address on its standard output, which it prints when it listens."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            if await process.stdout.readline():
                return
            await process.wait()
    except TimeoutError:
        raise BleError(f"dbus-daemon said nothing for {START_TIMEOUT_S:g} s; see {log}") from None
    raise BleError(f"dbus-daemon ended with {process.returncode}: {log.read_text().strip()}")
