"""What a role reads in a site document: its own section, checked, as plain objects; pure.

A large document is read in a process of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headgate.apart import apart
from headgate.config.site import load_document, parse_sections
from headgate.errors import Reject, Retry
from headgate.files import config as files
from headgate.modbus import config as modbus

LARGE_BYTES = 100_000
"""From here on a document is read apart. As YAML it takes half a second of a large machine's CPU per MB, and
memory of ten times its size."""

T = TypeVar("T")
Read = Callable[[bytes, str], T]
"""From a document's text and what to call it to what a role needs of it. Raises Reject with all faults."""

log = logging.getLogger(__name__)


async def read_site(read: Read[T], text: bytes, source: str) -> T:
    """`read` a document, apart from this process where that pays. Raises Reject."""
    if len(text) >= LARGE_BYTES:
        try:
            found: T = await apart(read, text, source)
            return found
        except Retry as error:
            log.warning("%s: %s; it is read here", source, error)
    return read(text, source)


def read_modbus(text: bytes, source: str) -> modbus.ModbusConfig:
    """The Modbus bridge's section."""
    section = _section(text, source, "modbus")
    try:
        return modbus.parse_mapping(section)
    except Reject as error:
        raise Reject(f"{source}, {error.args[0]}", error.problems) from error


def read_ble(text: bytes, source: str) -> Mapping[str, Any]:
    """The BLE bridge's section, as it is spelled: it is never large."""
    return _section(text, source, "ble")


def read_files(text: bytes, source: str) -> files.FilesConfig:
    """The courier's section."""
    document = load_document(text, source)
    found: files.FilesConfig = parse_sections(document, source, {"files": files.parse}, whole=False)["files"]
    return found


def _section(text: bytes, source: str, name: str) -> Mapping[str, Any]:
    document = load_document(text, source)
    parse_sections(document, source, {}, whole=False)
    section = document.get(name)
    return {} if section is None else section
