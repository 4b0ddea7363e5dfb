"""Finds units on transports: whoever answers, and be it with an exception, is alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.clock import Clock
from headgate.errors import Retry
from headgate.modbus.client import ExceptionReply, NotConnected, OutOfReach, WrongReply
from headgate.modbus.commissioning.asker import Asker, Timing
from headgate.modbus.commissioning.identity import Identity, identify, map_json, sunspec_map
from headgate.modbus.commissioning.settings import settings
from headgate.modbus.commissioning.trial import Trial, try_profiles
from headgate.modbus.sunspec.walk import Map
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Transport
from headgate.modbus.work import Ask

MANY, MOST = 4, 32
"""So many units on a network that all answer alike may be one device that ignores unit ids; more than MOST,
the devices of a bus (TIA-485-A, unit loads), are: one of them is shown for all."""


@dataclass(frozen=True, slots=True)
class FoundUnit:
    """A unit that answered: how, what it says of itself, and which profiles look plausible."""

    transport: Transport
    unit: int
    answer: str
    identity: Identity
    sunspec: Map | None
    trials: tuple[Trial, ...]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "transport": settings(self.transport),
            "unit": self.unit,
            "answer": self.answer,
            "identity": self.identity.as_json()["objects"],
            "sunspec": map_json(self.sunspec),
            "plausible_profiles": [
                {"profile": each.profile, "telling": each.verdict.telling, "refused": each.refused}
                for each in self.trials
            ],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What to scan: each transport for each unit, asked for one of `probes`; then profiles are tried."""

    transports: Sequence[Transport]
    units: Sequence[int]
    probes: Sequence[Ask]
    profiles: Sequence[str]
    timing: Timing
    deep_timing: Timing
    """How long a unit that is known to be there is waited for."""


@dataclass(slots=True)
class Outcome:
    """What was found so far; a scan that is interrupted keeps it.

    `noise`: where a unit should have answered and something else did; `lost`: transports that failed.
    `any_unit`: one unit stands for all that were asked, because all answered alike.
    `asked` counts the units that were asked, `done` those that need not be asked any more.
    """

    found: list[FoundUnit] = field(default_factory=list)
    noise: list[tuple[Transport, int, str]] = field(default_factory=list)
    lost: list[tuple[Transport, OutOfReach]] = field(default_factory=list)
    any_unit: bool = False
    asked: int = 0
    done: int = 0


Advance = Callable[[int, int, str], None]
"""Told how many of how many probes are done, and what is going on."""


async def scan(plan: Plan, clock: Clock, outcome: Outcome, advance: Advance) -> None:
    """Fill `outcome`, transport by transport; one that cannot be opened, or is lost, is among its `lost`."""
    total = len(plan.transports) * len(plan.units)
    for number, transport in enumerate(plan.transports, 1):
        try:
            await _scan_one(plan, transport, clock, outcome, advance)
        except OutOfReach as error:
            # A port may not know each of the baud rates: the others are scanned all the same.
            outcome.lost.append((transport, error))
        outcome.done = number * len(plan.units)
    advance(total, total, "")


async def _scan_one(
    plan: Plan, transport: Transport, clock: Clock, outcome: Outcome, advance: Advance
) -> None:
    """Ask every unit on one transport, then look closer at those that answered. Raises OutOfReach."""
    total = len(plan.transports) * len(plan.units)
    heard: list[tuple[int, str]] = []
    async with Asker(transport, plan.timing, clock) as asker:
        for unit in plan.units:
            so_far = f"unit {unit}, {described(transport)}, {len(outcome.found)} found"
            advance(outcome.done, total, so_far)
            answer = await _probe(asker, unit, plan.probes, outcome)
            outcome.asked += 1
            outcome.done += 1
            if answer:
                heard.append((unit, answer))
                outcome.found.append(FoundUnit(transport, unit, answer, Identity(), None, ()))
    if len(heard) > MOST and len(heard) == len(plan.units) and _alike(transport, heard):
        outcome.any_unit = True
        del heard[1:], outcome.found[-len(plan.units) + 1 :]
    if heard:
        await _look_closer(plan, transport, heard, clock, outcome, advance)


async def _look_closer(
    plan: Plan,
    transport: Transport,
    heard: Sequence[tuple[int, str]],
    clock: Clock,
    outcome: Outcome,
    advance: Advance,
) -> None:
    """Identify what answered on a transport, and try profiles at it."""
    total = len(plan.transports) * len(plan.units)
    async with Asker(transport, plan.deep_timing, clock) as asker:
        for unit, answer in heard:
            advance(outcome.done, total, f"trying profiles at unit {unit}")
            identity = await identify(asker, unit, quick=True)
            sunspec = await sunspec_map(asker, unit)
            trials = await try_profiles(asker, unit, plan.profiles)
            at = next(
                i for i, each in enumerate(outcome.found) if (each.transport, each.unit) == (transport, unit)
            )
            outcome.found[at] = FoundUnit(transport, unit, answer, identity, sunspec, tuple(trials))


async def _probe(asker: Asker, unit: int, probes: Sequence[Ask], outcome: Outcome) -> str:
    """How a unit answers; empty where it does not. Raises OutOfReach."""
    for ask in probes:
        try:
            await asker.read(unit, ask)
        except ExceptionReply as error:
            return str(error)
        except OutOfReach:
            raise
        except (NotConnected, WrongReply) as error:  # some gateways hang up on a unit that is not there
            outcome.noise.append((asker.transport, unit, str(error)))
        except Retry:
            continue
        else:
            return "answers"
    return ""


def described(transport: Transport) -> str:
    """What may differ between the transports of a scan: a line's parameters; else where it is."""
    if isinstance(transport, Rtu | Ascii):
        bits = transport.bytesize if isinstance(transport, Ascii) else 8
        return f"{transport.baudrate} {bits}{transport.parity}{transport.stopbits}"
    return str(transport)


def likeliest(trials: Sequence[Trial]) -> list[Trial]:
    """Those plausible profiles of which the unit refused least; they come first."""
    return [each for each in trials if each.refused == trials[0].refused]


def one_device_for_all(found: Sequence[FoundUnit], units: Sequence[int]) -> bool:
    """Whether everything that was asked answered, alike: a device on a network that ignores the unit id."""
    if len(units) < MANY or len(found) != len(units):
        return False
    answers = [(each.unit, f"{each.answer} {each.identity.objects}") for each in found]
    return _alike(found[0].transport, answers)


def _alike(transport: Transport, heard: Sequence[tuple[int, str]]) -> bool:
    """Whether units on a network answered the same; on a bus, each answer is a device's own."""
    serial = isinstance(transport, Rtu | Ascii | RtuOverTcp)
    return not serial and len({answer for _, answer in heard}) == 1
