"""The courier's role: the files of configured folders between disk, hub and cloud."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from headgate.bridge.calls import serve_calls
from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.errors import Fatal, Retry
from headgate.files import config as files
from headgate.files.courier import Courier, CourierTuning, Outside
from headgate.roles import process
from headgate.roles.site_follower import ComponentConfig, SiteFollower, first_config
from headgate.roles.site_reading import read_files

NAME = "files"
"""Of the site document's section, and part of the topics."""
HUB_TOPIC = "hg/v1/local/hub"
REPORT_TOPIC = "hg/v1/local/report"
NEWS_TOPIC = "hg/v1/local/file"
REPORT_TIMEOUT_S = 10.0
STATUS_MS = 30_000

log = logging.getLogger(__name__)


async def run(
    bus: Bus,
    clock: Clock,
    stop: asyncio.Event,
    *,
    thing: str | None = None,
    tuning: CourierTuning | None = None,
) -> None:
    """Run until `stop` is set; an upload under way goes on where it was after the next start.

    `thing` is the gateway's name, from AWS_IOT_THING_NAME unless given. Raises Fatal (no thing name, a system
    that cannot open files safely) and OSError (the disk fails).
    """
    if os.open not in os.supports_dir_fd:
        raise Fatal(
            "headgate.FileCourier needs a system that opens files relative to a directory, as Linux does"
        )
    name = thing or os.environ.get("AWS_IOT_THING_NAME")
    if not name:
        raise Fatal("AWS_IOT_THING_NAME is not set: start this as a Greengrass component")
    component = await first_config("headgate.FileCourier", bus, stop)
    if component is not None:
        await _Courier(bus, clock, name, component, tuning or CourierTuning()).run(stop)


class _Courier:
    """One run of the role."""

    def __init__(
        self, bus: Bus, clock: Clock, thing: str, component: ComponentConfig, tuning: CourierTuning
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._thing = thing
        root = self._root = component.root
        self._site = SiteFollower("headgate.FileCourier", component, bus, read_files, self._apply)
        outside = Outside(clock, self._say_up, self._report, self._tell)
        self._courier = Courier(root.path, root.replies, root.courier, outside, tuning)

    async def run(self, stop: asyncio.Event) -> None:
        self._root.create()
        await self._courier.start()
        self._courier.configure(files.FilesConfig())
        await self._site.look()
        with (
            self._bus.subscribe_cloud(f"hg/v1/{self._thing}/dn/file", self._on_file),
            self._bus.subscribe(HUB_TOPIC, self._on_hub),
            serve_calls(self._bus, NAME, self._courier, self._clock),
        ):
            async with asyncio.TaskGroup() as group:
                work = [
                    group.create_task(self._courier.run(), name="courier"),
                    group.create_task(self._site.follow(), name="courier configuration"),
                    group.create_task(self._report_regularly(), name="courier status"),
                ]
                await stop.wait()
                for task in work:
                    task.cancel()

    async def _on_file(self, topic: str, payload: bytes) -> None:
        self._courier.heard(payload)

    async def _on_hub(self, topic: str, payload: bytes) -> None:
        self._site.wake()

    async def _say_up(self, message: bytes) -> None:
        await self._bus.publish_cloud(f"hg/v1/{self._thing}/up/file", message)

    async def _report(self, report: Mapping[str, Any]) -> None:
        payload = json.dumps(report, separators=(",", ":")).encode()
        answer = await self._bus.request(REPORT_TOPIC, payload, timeout_s=REPORT_TIMEOUT_S)
        if json.loads(answer) != {"ok": True}:
            raise Retry(f"the hub answered {answer[:80]!r}")

    async def _tell(self, file_id: str, state: str) -> None:
        await self._bus.publish(NEWS_TOPIC, json.dumps({"file_id": file_id, "state": state}).encode())

    def _apply(self, config: files.FilesConfig, source: str) -> str:
        self._courier.configure(config)
        return "sources " + (", ".join(source.name for source in config.sources) or "none")

    async def _report_regularly(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.boot_ms() + STATUS_MS)
            log.info("status: %s", self._courier.status())


if __name__ == "__main__":
    sys.exit(process.main("courier", run))
