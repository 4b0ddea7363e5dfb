"""Judges a recipe's accessControl: known services and operations, resources that mean what they seem to."""

from __future__ import annotations

import re

from headgate.config.reader import Problems, Section, describe, unknown_keys

SERVICES = {
    "aws.greengrass.ipc.pubsub": ("aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"),
    "aws.greengrass.ipc.mqttproxy": ("aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"),
}
"""The services that both nuclei offer and this project uses, with their operations."""

_ESCAPE = re.compile(r"\$\{(.*?)\}")


def check_access_control(access: Section, component: str, problems: Problems) -> None:
    """Note every fault of `ComponentConfiguration.DefaultConfiguration.accessControl`."""
    policies = access.items()
    unknown_keys([service for service, _ in policies], SERVICES, access.path, problems)
    for service, value in policies:
        for name, policy in Section(value, access.at(service), problems).items():
            path = f"{access.at(service)}.{name}"
            if not re.fullmatch(re.escape(component) + r":[a-z-]+:[1-9][0-9]*", str(name)):
                problems.add(
                    path, "is no policy id of this project", f"like {component}:pubsub:1, with a revision"
                )
            _check_policy(policy, path, service, problems)


def _check_policy(value: object, path: str, service: str, problems: Problems) -> None:
    policy = Section(value, path, problems)
    policy.text("policyDescription")
    known = SERVICES.get(service, ())
    for at, operation in _texts(policy, "operations", problems):
        if known:
            unknown_values(operation, known, at, problems)
    for at, resource in _texts(policy, "resources", problems):
        _check_resource(resource, service, at, problems)
    policy.close()


def unknown_values(value: str, known: tuple[str, ...], path: str, problems: Problems) -> None:
    """Note `value` if it is not one of `known`, with the nearest known one as a hint."""
    found = Problems("")
    unknown_keys([value], known, "", found)
    for problem in found.found:
        problems.add(path, f"unknown {value!r}", problem.hint)


def _check_resource(resource: str, service: str, path: str, problems: Problems) -> None:
    for escaped in _ESCAPE.findall(resource):
        if escaped not in {"*", "?", "$"}:
            problems.add(path, f"${{{escaped}}} is no escape", "${*}, ${?} and ${$} are")
    plain = _ESCAPE.sub("", resource)
    if plain in {"*", "#"}:
        problems.add(path, f"{resource!r} allows everything", "name the topics that the component uses")
    if "{" in plain:
        problems.add(
            path, f"{resource!r} holds a variable", "not every nucleus fills it in; use + for its level"
        )
    for level in plain.split("/"):
        if service.endswith("pubsub") and ("+" in level or "#" in level):
            problems.add(path, f"{level!r} is taken literally in pubsub", "* matches any run of characters")
        elif level not in {"+", "#"} and ("+" in level or "#" in level):
            problems.add(path, f"{level!r} is no wildcard", "+ and # must be whole levels")


def _texts(policy: Section, key: str, problems: Problems) -> list[tuple[str, str]]:
    """The texts of a list that must hold at least one, each with its path."""
    if not policy.has(key):
        policy.fault(key, "is missing")
        return []
    value = policy.value(key)
    if not isinstance(value, list) or not value:
        policy.fault(key, f"expected a list of texts, found {describe(value)}")
        return []
    found = []
    for index, item in enumerate(value):
        path = f"{policy.at(key)}[{index}]"
        if isinstance(item, str):
            found.append((path, item))
        else:
            problems.add(path, f"expected text, found {describe(item)}")
    return found
