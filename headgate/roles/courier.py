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
from headgate.config.accepted import read_accepted
from headgate.config.site import load_document, parse_sections
from headgate.errors import Fatal, Reject, Retry
from headgate.files import config as files
from headgate.files.courier import Courier, CourierTuning, Outside
from headgate.roles import process
from headgate.roles.bridge import ComponentConfig, first_config, parse_component

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
        self._component = component
        self._digest = ""
        self._said = ""
        root = component.root
        outside = Outside(clock, self._say_up, self._report, self._tell)
        self._courier = Courier(root.path, root.replies, root.courier, outside, tuning)

    async def run(self, stop: asyncio.Event) -> None:
        self._component.root.create()
        await self._courier.start()
        self._courier.configure(files.FilesConfig())
        self._load()
        with (
            self._bus.subscribe_cloud(f"hg/v1/{self._thing}/dn/file", self._on_file),
            self._bus.subscribe(HUB_TOPIC, self._on_hub),
            serve_calls(self._bus, NAME, self._courier, self._clock),
        ):
            async with asyncio.TaskGroup() as group:
                work = [
                    group.create_task(self._courier.run(), name="courier"),
                    group.create_task(self._watch_config(), name="courier configuration"),
                    group.create_task(self._report_regularly(), name="courier status"),
                ]
                await stop.wait()
                for task in work:
                    task.cancel()

    async def _on_file(self, topic: str, payload: bytes) -> None:
        self._courier.heard(payload)

    async def _on_hub(self, topic: str, payload: bytes) -> None:
        self._load()

    async def _say_up(self, message: bytes) -> None:
        await self._bus.publish_cloud(f"hg/v1/{self._thing}/up/file", message)

    async def _report(self, report: Mapping[str, Any]) -> None:
        payload = json.dumps(report, separators=(",", ":")).encode()
        answer = await self._bus.request(REPORT_TOPIC, payload, timeout_s=REPORT_TIMEOUT_S)
        if json.loads(answer) != {"ok": True}:
            raise Retry(f"the hub answered {answer[:80]!r}")

    async def _tell(self, file_id: str, state: str) -> None:
        await self._bus.publish(NEWS_TOPIC, json.dumps({"file_id": file_id, "state": state}).encode())

    # Configuration.

    async def _watch_config(self) -> None:
        async for config in self._bus.configs():
            try:
                component = parse_component(config, "configuration of headgate.FileCourier")
            except Reject as error:
                log.error("%s", error)
                continue
            if component.root != self._component.root:
                log.error("stateRoot changed: restart the component to move to %s", component.root.path)
            elif component.inline != self._component.inline:
                self._component = component
                self._load()

    def _load(self) -> None:
        """Go over to the document in force. One that cannot be used is reported and changes nothing."""
        try:
            found = self._document()
            if found is None:
                self._say(logging.INFO, "no site document yet: waiting for the hub")
                return
            digest, source, document = found
            if digest == self._digest:
                return
            config = parse_sections(document, source, {NAME: files.parse}, whole=False)[NAME]
        except Reject as error:
            self._say(logging.ERROR, f"{error}\nthe site document before it stays in force")
            return
        self._courier.configure(config)
        self._digest, self._said = digest, ""
        log.info("%s: sources %s", source, ", ".join(s.name for s in config.sources) or "none")

    def _document(self) -> tuple[str, str, Mapping[str, Any]] | None:
        inline = self._component.inline
        if inline is not None:
            return repr(inline), "site document (inline)", inline
        accepted = read_accepted(self._component.root)
        if accepted is None:
            return None
        source = f"site document {accepted.digest[:12]}"
        return accepted.digest, source, load_document(accepted.text, source)

    def _say(self, level: int, text: str) -> None:
        """Log what holds until it changes, once: the hub's announcements repeat themselves."""
        if text != self._said:
            self._said = text
            log.log(level, "%s", text)

    async def _report_regularly(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.boot_ms() + STATUS_MS)
            log.info("status: %s", self._courier.status())


if __name__ == "__main__":
    sys.exit(process.main("courier", run))
