"""GreengrassBus on a simulated nucleus with mosquitto behind it, for suites over buses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from headgate.bus.api import Bus
from headgate.bus.greengrass import Environment, GreengrassBus
from tests.support.certificates import Authority
from tests.support.processes import Broker, NucleusProcess, running, until

COMPONENTS = ("headgate.Left", "headgate.Right")
_SERVICES = {
    "aws.greengrass.ipc.pubsub": ["aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"],
    "aws.greengrass.ipc.mqttproxy": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
}


def access_control(resources: Sequence[str] = ("*",)) -> dict[str, Any]:
    """Policies that allow messages on these topics."""
    return {
        service: {f"{service}:1": {"operations": operations, "resources": list(resources)}}
        for service, operations in _SERVICES.items()
    }


@contextmanager
def gateway(directory: Path, profile: str, resources: Sequence[str] = ("*",)) -> Iterator[NucleusWorld]:
    """A nucleus, connected to a broker, with two components that the test plays."""
    merge = {"greeting": "hello", "accessControl": access_control(resources)}
    update = {"componentVersion": "0.0.0", "configurationUpdate": {"merge": merge}}
    deployment = directory / "deployment.json"
    deployment.write_text(
        json.dumps({"deploymentName": "test", "components": dict.fromkeys(COMPONENTS, update)})
    )
    authority = Authority(directory)
    broker = Broker(directory / "broker", authority)
    extra = [word for name in COMPONENTS for word in ("--external", name)]
    identity = authority.issue("gw-1")
    nucleus = NucleusProcess(
        directory / "n", broker, broker.ca, identity, profile, *extra, "--deployment", str(deployment)
    )
    with running(broker, nucleus):
        nucleus.until_connected()
        yield NucleusWorld(nucleus, broker)


class NucleusWorld:
    """Each bus is one of the two components."""

    thing = "gw-1"

    def __init__(self, nucleus: NucleusProcess, broker: Broker) -> None:
        self.nucleus = nucleus
        self.broker = broker

    def until_cloud(self, connected: bool) -> None:
        """Wait until the nucleus has, or has lost, the broker."""
        until(lambda: self.nucleus.status()["cloud"]["connected"] is connected, f"cloud {connected}")

    def environment(self, component: str = COMPONENTS[0]) -> Environment:
        """What the nucleus would put into the component's environment."""
        given = self.nucleus.external(component)
        return Environment(given["socket"], given["svcuid"], given["thing"])

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        async with GreengrassBus(self.environment()) as bus:
            yield bus

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Bus, Bus]]:
        left, right = (GreengrassBus(self.environment(name)) for name in COMPONENTS)
        async with left, right:
            yield left, right

    async def configure(self, bus: Bus, merge: Mapping[str, Any]) -> None:
        """Through the component's own UpdateConfiguration."""
        assert isinstance(bus, GreengrassBus)
        await bus.client.update_configuration([], merge, utc_s=4e9)
