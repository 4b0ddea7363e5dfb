"""Tries profiles at a unit: reads some of their registers and weighs whether the values look right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.errors import HeadgateError, Retry
from headgate.modbus.client import ExceptionReply, OutOfReach
from headgate.modbus.commissioning.asker import Asker, Reader
from headgate.modbus.commissioning.plausible import Verdict, judge, worth_reading
from headgate.modbus.commissioning.reading import Limits, of_device, read_tags
from headgate.modbus.commissioning.tagspec import Spec
from headgate.modbus.config import Device, parse_mapping
from headgate.modbus.work import Ask

TRIED_TAGS = 12
"""Most tags of a profile that a trial reads: a few requests."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying one profile; `refused`: tags that the unit did not give."""

    profile: str
    verdict: Verdict
    refused: int

    @property
    def plausible(self) -> bool:
        """What was read looks right."""
        return self.verdict.plausible


def device_of(profile: str) -> Device:
    """A device as the profile describes it, nowhere in particular. Raises Reject: there is none."""
    nowhere = {"kind": "tcp", "host": "nowhere"}
    row = {"name": profile or "x", "profile": profile, "transport": nowhere}
    (device,) = parse_mapping({"devices": [row]}, "profile").devices
    return device


async def try_profiles(asker: Asker, unit: int, names: Sequence[str]) -> list[Trial]:
    """The plausible ones of the named profiles, the likeliest first. Raises OutOfReach.

    Of those that some tags speak for, all tags are read: what is refused then counts against them.
    """
    reader = _Remembering(asker)
    found = []
    for name in names:
        device = device_of(name)
        specs = of_device(device)
        tags = worth_reading([spec.tag for spec in specs if spec.tag is not None], TRIED_TAGS)
        first = await _try(reader, unit, device, [spec for spec in specs if spec.tag in tags])
        if first is None or first.refused or not first.plausible:
            continue
        trial = await _try(reader, unit, device, specs)
        if trial is not None and trial.plausible:
            found.append(trial)
    return sorted(found, key=lambda trial: (trial.refused, -trial.verdict.telling, trial.profile))


async def _try(reader: Reader, unit: int, device: Device, specs: Sequence[Spec]) -> Trial | None:
    """A trial of a profile with some of its tags; None where the unit did not answer."""
    try:
        readings = await read_tags(reader, unit, specs, Limits.of(device))
    except OutOfReach:
        raise
    except Retry:
        return None
    good = [
        (reading.spec.tag, reading.value)
        for reading in readings
        if not reading.error and reading.spec.tag is not None
    ]
    verdict = judge([tag for tag, _ in good], [value for _, value in good])
    return Trial(device.name, verdict, len(readings) - len(good))


class _Remembering:
    """Asks for the same only once: profiles of one maker overlap."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._heard: dict[tuple[int, Ask], Sequence[int] | HeadgateError] = {}

    async def read(self, unit: int, ask: Ask) -> Sequence[int]:
        """See `Reader.read`."""
        key = (unit, ask)
        if key not in self._heard:
            try:
                self._heard[key] = await self._asker.read(unit, ask)
            except OutOfReach:
                raise
            except (ExceptionReply, Retry) as error:
                self._heard[key] = error
        heard = self._heard[key]
        if isinstance(heard, HeadgateError):
            raise heard
        return heard
