"""The nucleus's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway_sim.nucleus.cloud_link import BrokerOptions
from gateway_sim.nucleus.profiles import PROFILES, Profile


@dataclass(frozen=True, slots=True)
class Options:
    """Everything the nucleus is told at its start."""

    root: Path
    profile: Profile
    region: str
    broker: BrokerOptions
    build: Path
    deployment: Path | None
    externals: frozenset[str]
    broken_after: int
    orphans: bool
    tap: Path | None


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; exits with usage on a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m gateway_sim.nucleus", description=__doc__)
    add = parser.add_argument
    add(
        "--root",
        type=Path,
        required=True,
        help="directory of this nucleus; keep it short (socket path <= 107 B)",
    )
    add("--profile", choices=sorted(PROFILES), default="classic")
    add("--thing", "--name", required=True, help="thing name, also the MQTT client id")
    add("--region", default="eu-west-1")
    add("--broker", type=_address, required=True, metavar="HOST:PORT")
    add("--ca", type=_file, required=True, help="root CA of the broker")
    add("--cert", type=_file, required=True, help="the gateway's certificate")
    add("--key", type=_file, required=True, help="the gateway's private key")
    add(
        "--keepalive-s", type=int, default=30, help="MQTT keepalive; a silent link is found within twice this"
    )
    add("--reconnect-cap-s", type=float, default=10.0, help="longest wait between attempts to connect")
    add("--build", type=Path, default=Path("greengrass-build"), help="folder with recipes/ and artifacts/")
    add("--deployment", type=Path, help="deployment file; without it, what was deployed last is started")
    add("--external", action="append", default=[], metavar="NAME", help="a component that someone else runs")
    add("--broken-after", type=int, default=3, help="errors within an hour until a component is BROKEN")
    add("--orphans", action="store_true", help="components outlive a nucleus that is killed")
    add("--tap", type=Path, metavar="FILE", help="record of local messages, one JSON line each")
    given = parser.parse_args(arguments)
    host, port = given.broker
    return Options(
        root=given.root.absolute(),
        profile=PROFILES[given.profile],
        region=given.region,
        broker=BrokerOptions(
            thing=given.thing,
            host=host,
            port=port,
            ca=given.ca,
            cert=given.cert,
            key=given.key,
            keepalive_s=given.keepalive_s,
            reconnect_cap_s=given.reconnect_cap_s,
        ),
        build=given.build.absolute(),
        deployment=given.deployment,
        externals=frozenset(given.external),
        broken_after=given.broken_after,
        orphans=given.orphans,
        tap=given.tap,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _file(text: str) -> Path:
    path = Path(text).absolute()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no file {text}")
    return path
