"""Every IPC client that is installed here, found by looking for modules that define ADAPTER."""

from __future__ import annotations

import importlib
import pkgutil

from tests.contract.nucleus.adapters.api import Adapter


def found() -> tuple[dict[str, Adapter], dict[str, str]]:
    """Adapters by name, and why others were left out."""
    adapters: dict[str, Adapter] = {}
    missing: dict[str, str] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "api":
            continue
        try:
            adapter: Adapter = importlib.import_module(f"{__name__}.{module.name}").ADAPTER
        except ModuleNotFoundError as error:
            missing[module.name] = f"{error.name} is not installed"
        else:
            adapters[adapter.name] = adapter
    return adapters, missing
