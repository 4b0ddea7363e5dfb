"""`headgate mute`: gateways that may be silent, because they were taken out of service."""

from __future__ import annotations

import argparse

from headgate_cloud.cli.asking import things
from headgate_cloud.cli.cloud import chosen
from headgate_cloud.cli.errors import DONE
from headgate_cloud.cli.output import Output
from headgate_cloud.gateways import Gateways


def run(given: argparse.Namespace) -> int:
    cloud = chosen(given)
    gateways = Gateways(cloud.client("dynamodb"), cloud.table("Gateways"))
    out = Output(as_json=given.json)
    for thing in things(given.gateway):
        gateways.mute(thing, muted=not given.off)
        if given.json:
            out.record({"thing": thing, "muted": not given.off})
        else:
            out.note(f"headgate: {thing} {'is watched again' if given.off else 'may be silent from now on'}")
    return DONE
