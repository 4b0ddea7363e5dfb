"""In what the two nuclei differ, as one table; measured on nucleus lite 2.6 or read in classic 2.18."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway_sim.nucleus.frames import MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """What lite's fixed decoding arena holds; above any of it the connection is closed."""

    list_items: int = 192
    object_keys: int = 101
    depth: int = 20  # the real one takes 24 s here and twice that for each further level


@dataclass(frozen=True, slots=True)
class ConfigLimits:
    """How much configuration lite holds for a component, and gives out in one read."""

    read_bytes: int = 9_000
    children: int = 64
    keys: int = 256
    objects: int = 200


@dataclass(frozen=True, slots=True)
class InFlightLimits:
    """How much QoS 1 lite lets wait for its PUBACK; it has no spooler."""

    messages: int = 10
    size_bytes: int = 15_000


@dataclass(frozen=True, slots=True)
class Profile:
    """One nucleus. None for a limit means there is none that matters."""

    name: Literal["classic", "lite"]
    version: str
    socket_name: str
    max_frame_bytes: int
    max_topic_payload_bytes: int | None  # above: closed without an answer
    max_cloud_payload_bytes: int | None
    max_connections: int | None
    max_subscriptions: int | None
    max_downlink_bytes: int | None  # a larger MQTT packet never arrives
    max_deployment_bytes: int | None
    json_limits: JsonLimits | None
    config_limits: ConfigLimits | None
    in_flight: InFlightLimits | None  # None: there is a spooler
    write_buffer_bytes: int  # a reader this far behind is disconnected

    @property
    def lite(self) -> bool:
        """Whether this is nucleus lite."""
        return self.name == "lite"


CLASSIC = Profile(
    name="classic",
    version="2.18.0",
    socket_name="ipc.socket",
    max_frame_bytes=MAX_MESSAGE_BYTES,
    max_topic_payload_bytes=None,
    max_cloud_payload_bytes=None,
    max_connections=None,
    max_subscriptions=None,
    max_downlink_bytes=None,
    max_deployment_bytes=None,
    json_limits=None,
    config_limits=None,
    in_flight=None,
    write_buffer_bytes=8 * 1024 * 1024,
)
LITE = Profile(
    name="lite",
    version="2.6.0",
    socket_name="gg-ipc.socket",
    max_frame_bytes=10_512,  # its 10,000 B and room for the longest topic, so that the payload limits decide
    max_topic_payload_bytes=7_302,
    max_cloud_payload_bytes=7_202,
    max_connections=50,
    max_subscriptions=100,
    max_downlink_bytes=5_000,
    max_deployment_bytes=4_096,
    json_limits=JsonLimits(),
    config_limits=ConfigLimits(),
    in_flight=InFlightLimits(),
    write_buffer_bytes=1024 * 1024,
)
PROFILES = {profile.name: profile for profile in (CLASSIC, LITE)}
