"""The stand-in's outages as commands of the control socket."""

from __future__ import annotations

from gateway_sim.cloud.control import Command
from gateway_sim.cloud.s3.server import S3Server


def commands(s3: S3Server) -> dict[str, Command]:
    """`s3_serve` ends what the others began; URLs that expired stay so."""

    def refuse() -> dict[str, object]:
        s3.faults.refusing = True
        return {}

    def cut() -> dict[str, object]:
        s3.cut()
        return {}

    def cut_part() -> dict[str, object]:
        s3.faults.cut_parts += 1
        return {}

    def slow() -> dict[str, object]:
        s3.faults.slow = True
        return {}

    def expire() -> dict[str, object]:
        s3.expire()
        return {}

    def serve() -> dict[str, object]:
        s3.serve()
        return {}

    return {
        "s3_refuse": refuse,
        "s3_cut": cut,
        "s3_cut_part": cut_part,
        "s3_slow": slow,
        "s3_expire": expire,
        "s3_serve": serve,
    }
