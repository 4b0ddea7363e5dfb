"""The nucleus put together: root directory, IPC, cloud link, components; from start to orderly stop."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from gateway_sim.nucleus import deployment_file
from gateway_sim.nucleus.cloud_link import CloudLink
from gateway_sim.nucleus.config_store import ConfigStore, write_atomically
from gateway_sim.nucleus.deployer import Deployer
from gateway_sim.nucleus.deployment_file import Deployment
from gateway_sim.nucleus.errors import InputError
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.options import Options
from gateway_sim.nucleus.process import Leash
from gateway_sim.nucleus.router import Router, SubscriptionCount
from gateway_sim.nucleus.server import IpcServer
from gateway_sim.nucleus.services import Services
from gateway_sim.nucleus.supervisor import Settings, Supervisor
from gateway_sim.nucleus.tap import Tap
from gateway_sim.nucleus.variables import Places

log = logging.getLogger("nucleus")


def lock(root: Path) -> TextIO:
    """Hold the root for this process; raise InputError if another nucleus has it."""
    file = (root / "nucleus.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(root, "", "another nucleus runs here", "stop it, or choose another --root") from None
    return file


class Nucleus:
    """One gateway's nucleus."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; raise InputError for what cannot be started."""
        root = self._options.root
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        with ExitStack() as stack:
            stack.enter_context(lock(root))
            (root / "status.json").unlink(missing_ok=True)
            leash = Leash(orphans=self._options.orphans)
            stack.callback(leash.close)
            tap = stack.enter_context(Tap(self._options.tap))
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._serve(leash, tap, tasks)
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from group

    async def _serve(self, leash: Leash, tap: Tap, tasks: asyncio.TaskGroup) -> None:
        options, root = self._options, self._options.root
        places = Places(root, options.broker.thing, slash=options.profile.lite)
        settings = Settings(options.profile, places, options.region, options.broker.ca, options.broken_after)
        config = ConfigStore(root / "config", options.profile)
        supervisor = Supervisor(settings, config, leash, tasks)
        deployer = Deployer(settings, config, supervisor, options.build, set(options.externals))
        link = CloudLink(options.broker, options.profile)
        server = IpcServer(
            root / options.profile.socket_name,
            Services(
                profile=options.profile,
                config=config,
                router=Router(options.profile),
                subscriptions=SubscriptionCount(options.profile.max_subscriptions),
                cloud=link,
                components=supervisor,
                deployments=deployer,
                tap=tap,
            ),
        )
        supervisor.on_revoked = server.disconnect
        supervisor.extra_status = lambda: {"deployment": deployer.state, "cloud": dict(link.state())}
        link.on_change = supervisor.write_status
        background = [tasks.create_task(link.run(), name="cloud link")]
        try:
            await server.start()
            await self._first_deployment(deployer)
            self._write_externals(supervisor, server)
            background.append(tasks.create_task(deployer.run(), name="deployments"))
            supervisor.publish_status(root / "status.json")
            log.info("nucleus %s of %s serves %s", options.profile.name, places.thing, server.path)
            await self._stop.wait()
            log.info("stopping")
        finally:
            await supervisor.stop_all()
            await server.close()
            for task in background:
                task.cancel()
            supervisor.close()

    async def _first_deployment(self, deployer: Deployer) -> None:
        options = self._options
        deployer.load()
        if options.deployment is not None:
            await deployer.deploy(deployment_file.read(options.deployment, options.profile))
        elif options.externals:
            await deployer.deploy(Deployment("externals", "--external", {}, replaces_all=False))
        else:
            await deployer.restore()

    def _write_externals(self, supervisor: Supervisor, server: IpcServer) -> None:
        folder = self._options.root / "external"
        folder.mkdir(exist_ok=True)
        for name in self._options.externals:
            body: Object = {
                "component": name,
                "socket": str(server.path),
                "svcuid": supervisor.external_token(name),
                "thing": self._options.broker.thing,
                "region": self._options.region,
                "profile": self._options.profile.name,
            }
            file = folder / f"{name}.json"
            file.touch(mode=0o600)
            write_atomically(file, json.dumps(body, indent=1), durable=False)
