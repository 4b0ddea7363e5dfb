"""A virtual gateway in one directory: simulated cloud, plant, a proxy to cut the line, and the nucleus.

Everything is a process of its own; this starts them, hurts them and reads what they say of themselves.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from gateway_sim.ble import blefile
from gateway_sim.ble.site import ble_section
from gateway_sim.devices import plantfile
from gateway_sim.devices.site import site_document
from gateway_sim.faults.control import command
from gateway_sim.runs.processes import NotStarted, Processes
from gateway_sim.runs.rundir import RunDir
from gateway_sim.runs.usage import usage

Profile = Literal["classic", "lite"]
HUB, ALL_IN_ONE = "headgate.Hub", "headgate.AllInOne"
COMPONENTS = ("headgate.Runtime", HUB, "headgate.ModbusBridge")
BLE_BRIDGE, COURIER = "headgate.BleBridge", "headgate.FileCourier"
FILE_SOURCE = "records"
"""The source that a plan with files configures; its folder is `RunDir.files`."""
KEEPALIVE_S = 3
"""A short MQTT keepalive, so that a silent line is found within the demo's patience."""
STATUS_PAUSE_S = 0.1
SETTLED = ("RUNNING", "FINISHED")
"""States of a component that does its work, or has done it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start: the nucleus's profile, the gateway's thing name, the plant's options.

    `ble` starts a radio with sensors, `files` configures a folder to be offered; the components for them are
    deployed beside `components`. `all_in_one` deploys one component in place of all of these. `writes`: the
    cloud may write the devices' settings. `codec`: of the envelopes.
    """

    profile: Profile = "classic"
    thing: str = "gw-demo"
    plant: Sequence[str] = ()
    window_s: int = 10
    components: Sequence[str] = COMPONENTS
    build: Path | None = None
    """Where the components are staged; the repository's `greengrass-build` unless given."""
    ble: bool = False
    files: bool = False
    all_in_one: bool = False
    writes: bool = False
    codec: str = "json"


class VirtualGateway:
    """One running gateway with its plant and cloud. Raises NotStarted when a part does not come up."""

    def __init__(self, plan: Plan, processes: Processes, repository: Path) -> None:
        self.plan = plan
        self.processes = processes
        self.repository = repository
        self.cloud: dict[str, Any] = {}
        self.build = plan.build or repository / "greengrass-build"
        self._proxy_address = ""

    @property
    def run(self) -> RunDir:
        return self.processes.run

    @property
    def components(self) -> Sequence[str]:
        """What is deployed."""
        if self.plan.all_in_one:
            return ("headgate.Runtime", ALL_IN_ONE)
        opted = ((BLE_BRIDGE, self.plan.ble), (COURIER, self.plan.files))
        return (*self.plan.components, *(name for name, wanted in opted if wanted))

    @property
    def hub(self) -> str:
        """The component in which the hub runs."""
        return ALL_IN_ONE if self.plan.all_in_one else HUB

    @property
    def courier(self) -> str:
        """The component in which the courier runs."""
        return ALL_IN_ONE if self.plan.all_in_one else COURIER

    async def start(self) -> None:
        """Start everything; returns when the nucleus runs its components."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._start_cloud(), name="cloud")
            group.create_task(self._start_plant(), name="plant")
            if self.plan.ble:
                group.create_task(self._start_radio(), name="radio")
        await self._start_proxy()
        self.write_deployment(self.site())
        await self.start_nucleus(deploy=True)

    async def start_nucleus(self, *, deploy: bool = False) -> None:
        """Start the nucleus; without `deploy` it goes on with what its root remembers."""
        root, thing, keys = self.run.gateway, self.plan.thing, self.cloud["things"][self.plan.thing]
        argv = [sys.executable, "-m", "gateway_sim.nucleus", "--root", str(root)]
        argv += ["--profile", self.plan.profile, "--thing", thing, "--region", "eu-west-1"]
        argv += ["--broker", self._proxy_address, "--keepalive-s", str(KEEPALIVE_S)]
        argv += ["--ca", self.cloud["ca"], "--cert", keys["cert"], "--key", keys["key"]]
        argv += ["--build", str(self.build), "--broken-after", "99"]
        argv += ["--tap", str(self.tap)]
        if deploy:
            argv += ["--deployment", str(self.run.path / "deployment.json")]
        bus = {"DBUS_SYSTEM_BUS_ADDRESS": self._radio().bus_address} if self.plan.ble else {}
        await self.processes.start("nucleus", argv, ready=root / "status.json", environment=bus)
        await self.wait_running()

    async def stop_nucleus(self) -> int:
        """An orderly stop, as of a service manager; returns the exit code."""
        return await self.processes.stop("nucleus")

    async def wait_running(self, *, timeout_s: float = 60) -> None:
        """Wait until every component with a process runs. Raises NotStarted, naming what does not."""
        waiting: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    states = self.status()["components"]
                    waiting = [n for n in self.components if states.get(n, {}).get("state") not in SETTLED]
                    if not waiting:
                        return
                    if name := self.processes.exited():
                        raise NotStarted(f"{name} ended; see {self.run.logs / name}.log")
                    await asyncio.sleep(STATUS_PAUSE_S)
        except TimeoutError:
            logs = self.run.gateway / "logs"
            raise NotStarted(f"not running after {timeout_s:g} s: {', '.join(waiting)}; see {logs}") from None

    def kill(self, component: str) -> int:
        """SIGKILL a component's process; returns its pid."""
        pid = int(self.status()["components"][component]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    async def line(self, mode: Literal["pass", "reset", "silence"]) -> None:
        """Cut the line between nucleus and broker, or mend it."""
        answer = await command(self.run.control / "proxy.socket", mode=mode)
        if not answer["ok"]:
            raise NotStarted(f"the proxy refused {mode}: {answer}")

    def status(self) -> dict[str, Any]:
        """The nucleus's own account of its components."""
        value: dict[str, Any] = json.loads((self.run.gateway / "status.json").read_text())
        return value

    @property
    def tap(self) -> Path:
        """The nucleus's record of local messages (one JSON line each)."""
        return self.run.path / "gateway" / "local.jsonl"

    def pss_mb(self) -> dict[str, float]:
        """Proportional set size of each component's processes, MB."""
        sizes = {}
        for name, state in self.status()["components"].items():
            if state.get("pid"):
                sizes[name] = round(usage(int(state["pid"])).pss_mb, 1)
        return sizes

    async def _start_cloud(self) -> None:
        argv = [sys.executable, "-m", "gateway_sim.cloud", "--dir", str(self.run.cloud)]
        ready = self.run.cloud / "cloud.json"
        await self.processes.start("cloud", [*argv, "--things", self.plan.thing], ready=ready)
        self.cloud = json.loads(ready.read_text())

    async def _start_plant(self) -> None:
        argv = [sys.executable, "-m", "gateway_sim.devices", "--dir", str(self.run.plant), *self.plan.plant]
        await self.processes.start("plant", argv, ready=self.run.plant / "plant.json")

    async def _start_radio(self) -> None:
        argv = [sys.executable, "-m", "gateway_sim.ble", "--dir", str(self.run.ble)]
        await self.processes.start("radio", argv, ready=self.run.ble / blefile.FILE_NAME)

    def _radio(self) -> blefile.Radio:
        return blefile.read(self.run.ble)

    async def _start_proxy(self) -> None:
        broker, control = self.cloud["broker"], self.run.control / "proxy.socket"
        argv = [sys.executable, "-m", "gateway_sim.faults.proxy", "--control", str(control)]
        argv += ["--target", f"127.0.0.1:{broker['port']}"]
        await self.processes.start("proxy", argv, ready=control)
        listen = (await command(control))["listen"]
        assert isinstance(listen, list)
        self._proxy_address = "{}:{}".format(*listen)

    def site(self) -> dict[str, Any]:
        """The site document that reads all of the plant, hears the radio, sends from the folder."""
        plan = self.plan
        document = site_document(plantfile.read(self.run.plant), window_s=plan.window_s, writes=plan.writes)
        if plan.codec != "json":
            document["uplink"] = {"codec": plan.codec}
        if self.plan.ble:
            document["ble"] = ble_section(self._radio())
        if self.plan.files:
            document["files"] = self.files_section()
        return document

    def files_section(self) -> dict[str, Any]:
        """The folder of files of this run; they are stable quickly, and their parts are small."""
        sources = [{"name": FILE_SOURCE, "path": str(self.run.files)}]
        return {"stable_s": 0.5, "scan_s": 1, "part_size_bytes": 5 * 1024**2, "sources": sources}

    def write_deployment(self, document: Mapping[str, Any]) -> None:
        """Write the site document and the deployment that names it; `start_nucleus(deploy=True)` takes it."""
        text = yaml.safe_dump(document, sort_keys=False).encode()
        site = self.run.path / "site.yaml"
        site.write_bytes(text)
        state = {"stateRoot": str(self.run.state)}
        where = {"uri": site.as_uri(), "sha256": hashlib.sha256(text).hexdigest()}
        merges = {"headgate.Runtime": {}, self.hub: {**state, "site": where}}
        components = {
            name: {
                "componentVersion": self._version(name),
                "configurationUpdate": {"merge": merges.get(name, state)},
            }
            for name in self.components
        }
        deployment = {"deploymentName": self.plan.thing, "components": components}
        (self.run.path / "deployment.json").write_text(json.dumps(deployment, indent=1))

    def _version(self, component: str) -> str:
        versions = self.build / "artifacts" / component
        return max((path.name for path in versions.iterdir()), key=lambda v: [int(p) for p in v.split(".")])
