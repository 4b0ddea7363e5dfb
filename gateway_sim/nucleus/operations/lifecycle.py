"""Operations on components: report a state, check a token, restart, pause, deploy locally."""

from __future__ import annotations

from gateway_sim.nucleus import jsonvalue
from gateway_sim.nucleus.errors import (
    ComponentNotFoundError,
    InvalidArgumentsError,
    InvalidTokenError,
    ResourceNotFoundError,
    UnauthorizedError,
)
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.policy import CLI, LIFECYCLE
from gateway_sim.nucleus.services import Call, Operation


async def update_state(call: Call) -> Object:
    """The component says that it is RUNNING or ERRORED."""
    state = jsonvalue.text(call.body, "state")
    if state not in ("RUNNING", "ERRORED"):
        raise InvalidArgumentsError("state must be RUNNING or ERRORED")
    call.services.components.report(call.component, errored=state == "ERRORED")
    return {}


async def validate_token(call: Call) -> Object:
    """Whether a token belongs to a running component."""
    if call.services.components.holder(jsonvalue.text(call.body, "token")) is None:
        raise InvalidTokenError("the token belongs to no running component")
    return {"isValid": True}


async def restart(call: Call) -> Object:
    """Restart a component; the answer comes before it happens."""
    component = jsonvalue.text(call.body, "componentName")
    call.authorize(CLI, component)
    if not call.services.components.exists(component):
        raise ComponentNotFoundError(f"no component {component!r}")
    call.services.components.restart(component)
    return {"restartStatus": "SUCCEEDED"}


async def pause(call: Call) -> Object:
    """Freeze or thaw a component's processes (classic)."""
    component = jsonvalue.text(call.body, "componentName")
    call.authorize(LIFECYCLE, component)
    if not call.services.components.exists(component):
        raise ResourceNotFoundError(f"no component {component!r}")
    call.services.components.pause(component, paused=call.operation == "PauseComponent")
    return {}


async def create_deployment(call: Call) -> Object:
    """Start a local deployment; the answer comes before it happens."""
    call.authorize(CLI, "*")
    return {"deploymentId": call.services.deployments.create(call.body)}


async def put_metric(call: Call) -> Object:
    """Only for components of AWS (`aws.`), so never for ours."""
    if not call.component.startswith("aws."):
        raise UnauthorizedError(
            f"{call.component} may not put component metrics: only names starting with aws. may"
        )
    return {}


async def accept(call: Call) -> Object:
    """Accepted; this nucleus asks no component before it updates."""
    return {}


OPERATIONS = {
    "UpdateState": Operation(update_state),
    "ValidateAuthorizationToken": Operation(validate_token),
    "RestartComponent": Operation(restart),
    "CreateLocalDeployment": Operation(create_deployment),
    "PauseComponent": Operation(pause, lite=False),
    "ResumeComponent": Operation(pause, lite=False),
    "SubscribeToComponentUpdates": Operation(accept, event="ComponentUpdatePolicyEvents", lite=False),
    "DeferComponentUpdate": Operation(accept, lite=False),
    "PutComponentMetric": Operation(put_metric, lite=False),
}
