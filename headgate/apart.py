"""A pure function carried out in a process of its own: what it takes, in memory and time, is gone with it.

Python gives little memory back: what is kept lies scattered between what was not. And while a large document
is parsed nothing else runs.
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from headgate.errors import Reject, Retry
from headgate.threads import Cancel, in_thread

DIED = "the process that should have done it"


async def apart(function: Callable[..., Any], *args: object) -> Any:
    """What a module's function returns for `args`; all of it can be pickled.

    Raises Reject as the function does, and Retry where its process could not be started or did not end well.
    """
    task = pickle.dumps((function.__module__, function.__qualname__, args))
    said = await in_thread(lambda cancel: _asked(task, cancel), f"apart {function.__qualname__}")
    result, refusal = pickle.loads(said)
    if refusal is not None:
        raise refusal
    return result


def _asked(task: bytes, cancel: Cancel) -> bytes:
    path = os.pathsep.join(filter(None, sys.path))
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "headgate.apart"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError as error:
        raise Retry(f"{DIED} could not be started: {error.strerror}") from error
    with process:
        cancel.ends_with(process.kill)
        said, _ = process.communicate(task)
    cancel.check()
    if process.returncode:
        raise Retry(f"{DIED} ended with {process.returncode}")
    return said


def _carry_out(task: bytes) -> bytes:
    module, name, args = pickle.loads(task)
    function = getattr(importlib.import_module(module), name)
    try:
        return pickle.dumps((function(*args), None))
    except Reject as error:
        return pickle.dumps((None, error))


if __name__ == "__main__":
    sys.stdout.buffer.write(_carry_out(sys.stdin.buffer.read()))
