"""`headgate list`: what a gateway has."""

from __future__ import annotations

from headgate_cloud.cli.commands.read import run

__all__ = ["run"]
