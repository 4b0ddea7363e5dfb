"""One simulated cloud for all tests of the courier."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.cloud_process import started, wait_until_ready
from tests.support.courier_cloud import Cloud

THINGS = 40


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    things = ",".join(f"gw-{n}" for n in range(1, THINGS + 1))
    with started(directory, "--parameter", "RetryAfterS=3", things=things) as process:
        wait_until_ready(process)
        # The handlers' log goes on to the same pipe; unread it would fill up and block.
        with ThreadPoolExecutor(1) as drain:
            assert process.stdout is not None
            drain.submit(process.stdout.read)
            try:
                yield Cloud(directory, json.loads((directory / "cloud.json").read_text()))
            finally:
                process.send_signal(signal.SIGTERM)
                returncode = process.wait(30)
    assert returncode == 0
