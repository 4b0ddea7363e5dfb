"""How large a message each nucleus takes; checked before sending, because lite just drops the connection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Profile = Literal["classic", "lite"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest binary payloads in bytes: `local` of PublishToTopic, `cloud` of PublishToIoTCore."""

    local_bytes: int
    cloud_bytes: int


LITE = Limits(local_bytes=7302, cloud_bytes=7202)
"""Measured on nucleus lite 2.6: above it, the connection is closed with no error."""

CLASSIC = Limits(local_bytes=1024 * 1024, cloud_bytes=128 * 1024)
"""Local: our own bound, far below the 24 MiB of a frame. Cloud: AWS IoT Core's largest MQTT payload."""


def limits_for(socket_path: str, profile: Profile | None = None) -> Limits:
    """The limits of the nucleus behind `socket_path`, which classic names `ipc.socket` and lite `gg-
    ipc.socket`.

    An unknown name gets lite's, which hold everywhere. (GGC_VERSION does not tell: both count 2.x.)
    """
    if profile is None:
        profile = "classic" if PurePath(socket_path).name == "ipc.socket" else "lite"
    return CLASSIC if profile == "classic" else LITE
