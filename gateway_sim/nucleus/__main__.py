"""Start a nucleus: `python -m gateway_sim.nucleus --root DIR ...`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from gateway_sim.nucleus.errors import InputError
from gateway_sim.nucleus.nucleus import Nucleus
from gateway_sim.nucleus.options import Options, parse

EX_CONFIG = 78  # sysexits.h: something in the configuration is wrong


def set_up_logging(directory: Path) -> None:
    """Lines on standard error and in greengrass.log, in UTC."""
    directory.mkdir(parents=True, exist_ok=True)
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ [%(levelname)s] %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    form.converter = time.gmtime
    file = RotatingFileHandler(directory / "greengrass.log", maxBytes=10 * 1024 * 1024, backupCount=3)
    for handler in (logging.StreamHandler(sys.stderr), file):
        handler.setFormatter(form)
        logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)


async def _run(options: Options) -> None:
    await Nucleus(options).run()
    # All is stopped and closed, but a TLS handshake with a silent broker may hold a thread for the whole
    # keepalive time, and the interpreter would wait for it.
    logging.shutdown()
    os._exit(0)


def main() -> int:
    """Run until told to stop; 78 means that something the nucleus was given is wrong."""
    options = parse()
    set_up_logging(options.root / "logs")
    try:
        asyncio.run(_run(options))
    except InputError as error:
        logging.getLogger("nucleus").error("%s", error)
        return EX_CONFIG
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
