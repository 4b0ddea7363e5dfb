"""What the cloud's `scan` hears: the bridge's own scan is overheard for a while, no other is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from headgate.ble.adapter import Adapter
from headgate.ble.adapters import DEFAULT_ADAPTER
from headgate.ble.config import BleConfig
from headgate.ble.decoders.quantity import Profile
from headgate.ble.survey import Survey
from headgate.clock import Clock
from headgate.driver import Refused, Request, answer_by_ms
from headgate.errors import Retry
from headgate.scans import Findings, Row, Work, number_of, refuse_others

SECONDS, MAX_SECONDS = 10, 60


def plan_scan(
    request: Request, config: BleConfig, adapters: Mapping[str, Adapter], clock: Clock, source: str
) -> Work:
    """The scan that is asked for. Raises Refused."""
    refuse_others(request.args, ("seconds", "adapter"))
    if request.args.get("source") != source:
        raise Refused("bad_request", f"scan: source must be {source} here")
    seconds = number_of(request.args, "seconds", SECONDS, 1, MAX_SECONDS)
    name = request.args.get("adapter", next(iter(adapters), DEFAULT_ADAPTER))
    adapter = adapters.get(name) if isinstance(name, str) else None
    if adapter is None:
        used = ", ".join(adapters) or "none"
        raise Refused("unknown_device", f"scan: no adapter {name!r} is used here; in use: {used}")
    begun_ms = clock.boot_ms()
    end_ms = begun_ms + round(seconds * 1000)
    answer_ms = answer_by_ms(request, clock)
    if answer_ms is not None:
        end_ms = min(end_ms, answer_ms)
    named: dict[str, list[str]] = {}
    for device in config.devices:
        named.setdefault(device.address, []).append(device.name)

    def told(survey: Survey) -> Findings:
        offset_ms = clock.utc_ms() - clock.boot_ms()
        rows: list[Row] = []
        for each in survey.found():
            row = each.as_json(offset_ms)
            rows.append({**row, "devices": named[each.address]} if each.address in named else row)
        took_s = round((clock.boot_ms() - begun_ms) / 1000, 1)
        summary = {"source": source, "adapter": name, "seconds": took_s, "adverts": survey.adverts}
        return Findings(rows, {**summary, "missed": survey.missed} if survey.missed else summary)

    survey = Survey(_formats(config), brands=False)
    return Work(lambda: _overhear(adapter, survey, end_ms, clock, told), end_ms)


async def _overhear(
    adapter: Adapter, survey: Survey, end_ms: int, clock: Clock, told: Callable[[Survey], Findings]
) -> Findings:
    with adapter.overheard(survey.hear):
        await clock.sleep_until(end_ms)
    if not survey.adverts and not adapter.up:
        raise Retry(f"adapter {adapter.config.name} is not there, or switched off")
    return told(survey)


def _formats(config: BleConfig) -> Sequence[Profile]:
    """Advertised formats that the site describes itself."""
    own = {device.format.name: device.format for device in config.devices if device.own is not None}
    return [profile for profile in own.values() if profile.make_decode is not None]
