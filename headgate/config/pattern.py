"""Patterns of series names: `device/tag` with the wildcards of a shell in either part."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from headgate.config.reader import Section, describe

_ALLOWED = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,128}/[A-Za-z0-9_.*?\[\]!-]{1,128}")
HINT = "like device/tag, each part with *, ? and [abc] as in a shell: meter-*/energy_*"


@dataclass(frozen=True, slots=True)
class Pattern:
    """`*` stands for any part of a device's or tag's name, never for the slash between them."""

    text: str

    def matches(self, name: str) -> bool:
        """Whether it is one of those series."""
        device, _, tag = name.partition("/")
        device_form, _, tag_form = self.text.partition("/")
        return fnmatch.fnmatchcase(device, device_form) and fnmatch.fnmatchcase(tag, tag_form)


def patterns(section: Section, key: str) -> tuple[Pattern, ...]:
    """One pattern or a list of them; notes what is none."""
    value = section.value(key)
    if value is None:
        section.fault(key, "is missing", HINT)
        return ()
    found = []
    for i, text in enumerate(value if isinstance(value, list) else [value]):
        path = f"{section.at(key)}[{i}]" if isinstance(value, list) else section.at(key)
        if not isinstance(text, str) or not _ALLOWED.fullmatch(text):
            section.problems.add(path, f"{describe(text)} is no pattern of series", HINT)
        else:
            found.append(Pattern(text))
    return tuple(found)
