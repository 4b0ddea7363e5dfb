"""The simulated nucleus's link to the broker: found dead when it falls silent, nothing of classic's lost."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.nucleus.observer import Observer
from tests.contract.nucleus.wire import Wire
from tests.support.certificates import Authority
from tests.support.component import Build, allow
from tests.support.processes import Broker, NucleusProcess, Proxy, running, until

ME = "test.External"
ACCESS = allow("ipc.mqttproxy", ["PublishToIoTCore", "SubscribeToIoTCore"], ["t/#"])


@dataclass(frozen=True)
class Rig:
    """Observer, broker, proxy and a nucleus behind it."""

    proxy: Proxy
    nucleus: NucleusProcess
    observer: Observer

    def connected(self) -> bool:
        return bool(self.nucleus.status()["cloud"]["connected"])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    authority, build = Authority(tmp_path), Build(tmp_path / "build")
    broker = Broker(tmp_path / "broker", authority)
    proxy = Proxy(broker.port)
    update = {"configurationUpdate": {"merge": {"accessControl": ACCESS}}}
    deployment = build.deployment({ME: update})
    options = ("--build", str(build.path), "--external", ME, "--deployment", str(deployment))
    nucleus = NucleusProcess(
        tmp_path / "g", proxy, broker.ca, authority.issue("gw-1"), "classic", *options, "--keepalive-s", "1"
    )
    watcher = authority.issue("observer")
    with running(broker, proxy, nucleus):
        nucleus.until_connected()
        observer = Observer(f"127.0.0.1:{broker.port}", str(broker.ca), str(watcher.cert), str(watcher.key))
        yield Rig(proxy, nucleus, observer)
        observer.close()


def test_a_silent_link_is_found_and_what_was_in_flight_is_sent_again(rig: Rig) -> None:
    rig.observer.subscribe("t/up")
    given = rig.nucleus.external(ME)
    sent = [b"%d" % number for number in range(60)]
    with Wire(given["socket"]) as connection:
        connection.connect(given["svcuid"])
        connection.receive()
        rig.proxy.silence()
        for number, payload in enumerate(sent, start=1):
            body = {"topicName": "t/up", "qos": "1", "payload": base64.b64encode(payload).decode()}
            connection.asked(number, "PublishToIoTCore", body)
        until(lambda: not rig.connected(), "the nucleus finds its link dead")
        assert rig.nucleus.status()["cloud"]["spooled"] >= len(sent) - 1
        rig.proxy.heal()
        arrived: list[bytes] = []
        while not arrived or arrived[-1] != sent[-1]:
            arrived.append(rig.observer.next()[1])
    assert list(dict.fromkeys(arrived)) == sent
    until(rig.connected, "the link is back")


def test_an_orderly_stop_does_not_wait_for_a_silent_broker(rig: Rig) -> None:
    rig.proxy.silence()
    until(lambda: not rig.connected(), "the nucleus finds its link dead")
    rig.nucleus.stop()
    assert rig.nucleus.process is not None
    assert rig.nucleus.process.returncode == 0
