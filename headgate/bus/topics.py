"""MQTT topics and patterns: what is one, what matches, how long it may be."""

from __future__ import annotations

from headgate.errors import Reject

MAX_TOPIC_BYTES = 256
"""Of UTF-8; the limit of AWS IoT Core, which the local side shares."""

MAX_CLOUD_SLASHES = 7
"""In a topic or pattern of AWS IoT Core, not counting the prefix `$aws/rules/<rule>/` of Basic Ingest."""

_BASIC_INGEST = "$aws/rules/"


def check_topic(topic: str, *, cloud: bool = False) -> None:
    """Raise Reject unless messages can be published to `topic`."""
    _check_text("topic", topic)
    if "+" in topic or "#" in topic:
        raise Reject(f"topic {topic!r} holds a wildcard; + and # belong in patterns of subscriptions")
    if cloud:
        _check_depth("topic", topic)


def check_pattern(pattern: str, *, cloud: bool = False) -> None:
    """Raise Reject unless `pattern` is a topic or an MQTT pattern (`+` a whole level, `#` the last one)."""
    _check_text("pattern", pattern)
    levels = pattern.split("/")
    for at, level in enumerate(levels):
        if "+" in level and level != "+":
            raise Reject(f"pattern {pattern!r}: + must be a whole level, not a part of {level!r}")
        if "#" in level and (level != "#" or at != len(levels) - 1):
            raise Reject(f"pattern {pattern!r}: # must be a whole level and the last one")
    if cloud:
        _check_depth("pattern", pattern)


def has_wildcard(pattern: str) -> bool:
    """Whether more than one topic can match."""
    return "+" in pattern or "#" in pattern


def matches(pattern: str, topic: str) -> bool:
    """Whether `topic` falls under `pattern` as MQTT 3.1.1, section 4.7, says.

    `a/#` also matches `a`; a pattern that starts with a wildcard matches no topic that starts with `$`.
    """
    if pattern == topic:
        return True
    if topic.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted = pattern.split("/")
    given = topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(given) or level not in ("+", given[at]):
            return False
        if at == len(given) - 1 and wanted[at + 1 :] == ["#"]:
            return True
    return len(wanted) == len(given)


def too_large(operation: str, topic: str, size_bytes: int, limit_bytes: int) -> Reject:
    """The Reject that every bus raises for a payload beyond its limit."""
    return Reject(f"{operation} to {topic!r}: {size_bytes} B is too large, the limit is {limit_bytes} B")


def _check_text(what: str, text: str) -> None:
    if not text:
        raise Reject(f"an empty {what}")
    if "\0" in text:
        raise Reject(f"{what} {text!r} holds a NUL")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise Reject(f"{what} {text!r} is not valid Unicode") from None
    if size_bytes > MAX_TOPIC_BYTES:
        raise Reject(f"{what} {text[:60]!r}... has {size_bytes} B, the limit is {MAX_TOPIC_BYTES} B")


def _check_depth(what: str, text: str) -> None:
    counted = text.removeprefix(_BASIC_INGEST).partition("/")[2] if text.startswith(_BASIC_INGEST) else text
    if counted.count("/") > MAX_CLOUD_SLASHES:
        slashes = counted.count("/")
        raise Reject(f"{what} {text!r} has {slashes} slashes, AWS IoT Core takes {MAX_CLOUD_SLASHES}")
