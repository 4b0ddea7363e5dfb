"""The hub's component configuration, and the site document: fetched, validated whole, accepted or left."""

from __future__ import annotations

import hashlib
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headgate.alarm import config as alarms
from headgate.alarm.config import AlarmsConfig
from headgate.ble import config as ble
from headgate.config.accepted import read_accepted, store_accepted
from headgate.config.reader import Problems, Section, describe
from headgate.config.site import load_document, parse_sections
from headgate.config.stateroot import DEFAULT, StateRoot
from headgate.errors import Reject, Retry
from headgate.files import config as files
from headgate.local import config as local
from headgate.local.config import LocalConfig
from headgate.modbus import config as modbus
from headgate.requests import permits
from headgate.requests.directory import devices_of
from headgate.roles.site_reading import read_site
from headgate.store import config as store
from headgate.store.config import StoreConfig
from headgate.threads import in_thread
from headgate.uplink import config as uplink
from headgate.uplink import health_config as health
from headgate.uplink.config import UplinkConfig
from headgate.uplink.health_config import HealthConfig
from headgate.window import config as windows
from headgate.window.config import WindowsConfig

log = logging.getLogger(__name__)

SCHEMA = 1
MAX_INLINE_BYTES = 2_048
"""A nucleus lite reads at most 9,000 B of configuration, of which site documents are only a part."""
MAX_SITE_BYTES = 1024 * 1024
FETCH_TIMEOUT_S = 20.0
DEFAULT_COMMIT_MS = 1_000
MAX_COMMIT_MS = 10_000
SCHEMES = ("file", "http", "https")


@dataclass(frozen=True, slots=True)
class SiteRef:
    """Where the site document is, and which one it must be."""

    uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class HubConfig:
    """The component's configuration. At most one of `site` and `inline` (a document as bytes) is set.

    `commit_ms`: how long batches may wait to be made durable, and acknowledged, together; 0: each at once.
    """

    state_root: Path
    site: SiteRef | None = None
    inline: bytes | None = None
    commit_ms: int = DEFAULT_COMMIT_MS


@dataclass(frozen=True, slots=True)
class Site:
    """An accepted site document, as far as the hub itself needs it. `devices`: name -> its bridge's name.

    `writes`: whether the cloud may write to devices, where their tags allow it.
    """

    sha256: str
    windows: WindowsConfig = field(default_factory=WindowsConfig)
    alarms: AlarmsConfig = ()
    devices: Mapping[str, str] = field(default_factory=dict)
    writes: bool = False
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    local: LocalConfig = field(default_factory=LocalConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    health: HealthConfig = field(default_factory=HealthConfig)


def parse_config(values: Mapping[str, Any]) -> HubConfig:
    """Read the component's configuration. Raises Reject with every fault."""
    problems = Problems("configuration of headgate.Hub")
    top = Section(values, "", problems)
    if top.integer("schema", SCHEMA, low=0, high=1 << 31) != SCHEMA:
        top.fault("schema", "is not known here", f"this version reads schema {SCHEMA}")
    root = Path(top.text("stateRoot", str(DEFAULT)))
    if not root.is_absolute():
        top.fault("stateRoot", f"{str(root)!r} is no absolute path", f"for example {DEFAULT}")
    site = _site_ref(top) if top.has("site") else None
    inline = _inline(values.get("inline"), top) if top.has("inline") else None
    if site is not None and inline is not None:
        top.fault("inline", "stands beside site", "keep one of the two")
    commit_ms = top.integer("commitMs", DEFAULT_COMMIT_MS, low=0, high=MAX_COMMIT_MS)
    top.close()
    problems.reject_if_any()
    return HubConfig(root, site, inline, commit_ms)


def state_root_of(values: Mapping[str, Any]) -> Path:
    """The state root of a configuration that may be faulty elsewhere."""
    found = values.get("stateRoot")
    return Path(found) if isinstance(found, str) and Path(found).is_absolute() else DEFAULT


def commit_ms_of(values: Mapping[str, Any]) -> int | None:
    """`commitMs` of a configuration that may be faulty elsewhere; None where there is none that is valid."""
    problems = Problems("configuration of headgate.Hub")
    top = Section(values, "", problems)
    if not top.has("commitMs"):
        return None
    found = top.integer("commitMs", low=0, high=MAX_COMMIT_MS)
    return None if problems.found else found


def parse_site(data: bytes, source: str) -> Site:
    """Validate a whole site document. Raises Reject with every fault of every section."""
    document = load_document(data, source)
    sections = parse_sections(document, source, OWNERS, whole=True)
    return Site(
        hashlib.sha256(data).hexdigest(),
        sections["windows"],
        sections["alarms"],
        devices_of(document),
        sections["requests"].writes,
        sections["uplink"],
        sections["local"],
        sections["store"],
        sections["health"],
    )


class SiteStore:
    """The accepted site documents below a state root: `config/<sha256>`, and `config/current` names one."""

    def __init__(self, root: StateRoot) -> None:
        self._root = root

    async def current(self) -> Site | None:
        """The document in force; None where there is none that can be used (which is logged)."""
        try:
            accepted = read_accepted(self._root)
            if accepted is not None:
                source = str(self._root.config / accepted.digest)
                return await read_site(parse_site, accepted.text, source)
        except Reject as error:
            log.error("accepted site document cannot be used: %s", error)
        return None

    def held(self, sha256: str) -> bytes | None:
        """A document by its digest, where it was accepted before."""
        try:
            data = (self._root.config / sha256).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def accept(self, data: bytes) -> None:
        """Store a document that was read, and put it in force."""
        store_accepted(self._root, data)


async def fetch_site(ref: SiteRef) -> bytes:
    """The document's bytes. Raises Retry where it cannot be had now, Reject where it is another one."""
    data = await in_thread(lambda _: _read_uri(ref.uri), "fetch site document", end_s=0)
    digest = hashlib.sha256(data).hexdigest()
    if digest != ref.sha256:
        raise Reject(f"{ref.uri}: its SHA-256 is {digest}, site.sha256 wants {ref.sha256}")
    return data


def _site_ref(top: Section) -> SiteRef:
    section = top.section("site")
    uri = section.text("uri")
    digest = section.text("sha256", pattern="[0-9a-fA-F]{64}", hint="64 hex digits, as sha256sum prints them")
    if uri and urlsplit(uri).scheme not in SCHEMES:
        section.fault("uri", f"{uri!r} cannot be fetched", "file://, http:// or https://")
    section.close()
    return SiteRef(uri, digest.lower())


def _inline(value: object, top: Section) -> bytes:
    if isinstance(value, str):
        data = value.encode()
    else:
        if not isinstance(value, Mapping):
            top.fault(
                "inline", f"expected a mapping or text, found {describe(value)}", "a small site document"
            )
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    if len(data) > MAX_INLINE_BYTES:
        top.fault("inline", f"has {len(data)} B, at most {MAX_INLINE_BYTES} fit", "use site: {uri, sha256}")
    return data


OWNERS = {
    "windows": windows.parse,
    "alarms": alarms.parse,
    "modbus": modbus.parse,
    "ble": ble.parse,
    "files": files.parse,
    "requests": permits.parse,
    "uplink": uplink.parse,
    "local": local.parse,
    "store": store.parse,
    "health": health.parse,
}
"""Who reads which section of the site document; the hub accepts it only when all of them do."""


def _read_uri(uri: str) -> bytes:
    try:
        with urllib.request.urlopen(uri, timeout=FETCH_TIMEOUT_S) as answer:
            data: bytes = answer.read(MAX_SITE_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise Retry(f"{uri}: {error}") from error
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise Retry(f"{uri}: {error}") from error
    if len(data) > MAX_SITE_BYTES:
        raise Reject(f"{uri}: more than {MAX_SITE_BYTES} B are no site document")
    return data
