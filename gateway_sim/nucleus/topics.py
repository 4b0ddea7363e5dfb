"""Topic names and filters: which are valid, and which filter matches which topic."""

from __future__ import annotations

from gateway_sim.nucleus.errors import InvalidArgumentsError

MAX_TOPIC_BYTES = 256  # AWS IoT Core, and local topics alike
MAX_SLASHES = 7  # AWS IoT Core; the three levels of $aws/rules/<rule>/ do not count
_BASIC_INGEST = "$aws/rules/"


def check_topic(topic: str, *, cloud: bool) -> None:
    """Raise InvalidArgumentsError unless one can publish on it."""
    if "+" in topic or "#" in topic:
        raise InvalidArgumentsError(f"topic {topic!r} must not contain wildcards")
    _check_size(topic, cloud=cloud)


def check_filter(pattern: str, *, cloud: bool) -> None:
    """Raise InvalidArgumentsError unless one can subscribe: + and # only as whole levels, # only last."""
    levels = pattern.split("/")
    for position, level in enumerate(levels):
        if ("+" in level and level != "+") or ("#" in level and level != "#"):
            raise InvalidArgumentsError(f"topic filter {pattern!r}: a wildcard must be a whole level")
        if level == "#" and position != len(levels) - 1:
            raise InvalidArgumentsError(f"topic filter {pattern!r}: # must be the last level")
    _check_size(pattern, cloud=cloud)


def _check_size(topic: str, *, cloud: bool) -> None:
    if not topic or "\0" in topic:
        raise InvalidArgumentsError("topic must not be empty")
    counted = topic
    if cloud and topic.startswith(_BASIC_INGEST):
        counted = topic.removeprefix(_BASIC_INGEST).partition("/")[2]
    if len(counted.encode()) > MAX_TOPIC_BYTES:
        raise InvalidArgumentsError(f"topic of {len(counted.encode())} B; the limit is {MAX_TOPIC_BYTES} B")
    if cloud and counted.count("/") > MAX_SLASHES:
        raise InvalidArgumentsError(f"topic {topic!r} has more than {MAX_SLASHES} slashes")


def is_wildcard(pattern: str) -> bool:
    """Whether a valid filter has a wildcard level."""
    return "+" in pattern or "#" in pattern


def matches(pattern: str, topic: str) -> bool:
    """Whether a valid filter matches a topic, as MQTT 3.1.1 (4.7) says."""
    if topic.startswith("$") and pattern[:1] in {"+", "#"}:
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(levels) or level not in ("+", levels[position]):
            return False
    return len(wanted) == len(levels)
