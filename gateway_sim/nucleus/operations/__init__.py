"""Every IPC operation: the provided ones by name, and those that the model knows but nobody provides."""

from __future__ import annotations

from gateway_sim.nucleus.operations import configuration, iotcore, lifecycle, pubsub
from gateway_sim.nucleus.profiles import Profile
from gateway_sim.nucleus.services import Operation

_PROVIDED = {
    **pubsub.OPERATIONS,
    **iotcore.OPERATIONS,
    **configuration.OPERATIONS,
    **lifecycle.OPERATIONS,
}

# Modelled (awsiotsdk 1.31), but served by components that are not here: shadows, secrets, devices, the CLI.
_UNPROVIDED = frozenset(
    {
        "AuthorizeClientDeviceAction",
        "CancelLocalDeployment",
        "CreateDebugPassword",
        "DeleteThingShadow",
        "GetClientDeviceAuthToken",
        "GetComponentDetails",
        "GetLocalDeploymentStatus",
        "GetSecretValue",
        "GetThingShadow",
        "ListComponents",
        "ListLocalDeployments",
        "ListNamedShadowsForThing",
        "StopComponent",
        "SubscribeToCertificateUpdates",
        "SubscribeToIoTCoreConnectionStatus",
        "UpdateThingShadow",
        "VerifyClientDeviceIdentity",
    }
)


def find(profile: Profile, name: str) -> Operation | None:
    """The operation as this nucleus provides it, or None."""
    operation = _PROVIDED.get(name)
    return None if operation is None or (profile.lite and not operation.lite) else operation


def is_modelled(name: str) -> bool:
    """Whether the IPC model knows the name at all."""
    return name in _PROVIDED or name in _UNPROVIDED
