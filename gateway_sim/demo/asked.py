"""Steps of what the cloud asks: by job, directly, history, and what must be refused.

The operator's own command asks; the records of the devices and the gateway's audit say whether it was right.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway_sim.ble import blefile, ess
from gateway_sim.ble.blefile import BleDevice
from gateway_sim.checker.arrived import decode
from gateway_sim.checker.groups import EARLY_MS, LATE_MS
from gateway_sim.checker.served import FORMAT, ServedRecords
from gateway_sim.checker.telemetry import Telemetry
from gateway_sim.demo.operator import Record, Told
from gateway_sim.demo.story import StepFailed, Story, now_ms
from gateway_sim.devices import plantfile
from gateway_sim.devices.plantfile import WIDTH, Device, Group, Plant, Tag, served_path
from gateway_sim.runs.gateway import FILE_SOURCE

CHARACTERISTIC = "temperature"
"""What is read of the sensor that answers GATT reads."""
REGISTERS = 4
HISTORY_MS = 30_000
ON_ITS_WAY_MS = 2_000
"""A bridge gathers for a second and the hub commits once a second: what is younger may not be history yet."""
QUERY_LIMIT = 50_000
AUDIT_PATIENCE_S = 5.0


async def job_read(story: Story) -> str:
    """A job reads raw registers and a characteristic."""
    device, group, sensor = _meter(story), _fast(story), _sensor(story)
    since_ms, address = now_ms(), group.tags[1].address
    words = ["--register", f"{device.name}:{group.table}:{address}:{REGISTERS}", *_characteristic(sensor)]
    told = await story.operator.run("jobs", "create", "read", *words, "--wait", "--timeout", "60s")
    job = _only(told)
    if job["status"] != "SUCCEEDED":
        raise StepFailed(f"job {job['job']} ended {job['status']}: {job['details']}")
    result = _result(job["reply"])
    served = [row for row in _reads(story, device, since_ms) if row["address"] == address]
    _equal("registers", result["registers"][0].get("values"), [row["registers"] for row in served])
    _check_characteristic(story, sensor, result, since_ms)
    return (
        f"{job['job']} SUCCEEDED: {REGISTERS} registers of {device.name}, {CHARACTERISTIC} of {sensor.name};"
        " equal to what they served"
    )


async def direct_read(story: Story) -> str:
    """The direct topic reads series and the characteristic again, now, of a device by profile too."""
    device, bought, sensor = _meter(story), _profiled(story), _sensor(story)
    since_ms = now_ms()
    asked = [(device, tag) for tag in _fast(story).tags[1:3]] + [(bought, bought.groups[0].tags[0])]
    names = [f"{where.name}/{tag.name}" for where, tag in asked]
    told = await story.operator.run("read", *names, *_characteristic(sensor))
    answer = _only(told)
    result = _result(answer["reply"])
    values = {row["series"]: row.get("value") for row in result["values"]}
    for name, (where, tag) in zip(names, asked, strict=True):
        served = [value for row in _reads(story, where, since_ms) for value in _value_in(row, tag)]
        _equal(name, values.get(name), served)
    _check_characteristic(story, sensor, result, since_ms)
    return (
        f"{len(names)} series ({names[-1]} by profile {bought.profile}) and a characteristic in"
        f" {answer['latency_ms']} ms, before the polls; equal to what was served"
    )


async def written(story: Story) -> str:
    """The operator writes a device's settings; the device's record says what was written, and how often."""
    device, since_ms = _settable(story), now_ms()
    names = [f"{device.name}/{name}" for name in ("setpoint", "pump")]
    told = await story.operator.run("write", f"{names[0]}=21.5", f"{names[1]}=true")
    answer = _only(told)
    outcomes = [row["outcome"] for row in _result(answer["reply"])["writes"]]
    if outcomes != ["verified", "verified"]:
        raise StepFailed(f"of two writes the gateway says {outcomes}")
    beyond = _only(await story.operator.run("write", f"{names[0]}=99"), code=1)["reply"]
    unlisted = _only(await story.operator.run("write", f"{_meter(story).name}/power=0"), code=1)["reply"]
    if (beyond["code"], unlisted["code"]) != ("out_of_range", "writes_off"):
        raise StepFailed(f"writes that may not be ended {beyond['code']}, {unlisted['code']}")
    rows = (json.loads(line) for line in _lines(served_path(story.gateway.run.plant, device.name)))
    found = [(row["function"], row["wrote"]) for row in rows if "wrote" in row and row["t_ms"] >= since_ms]
    if found != [(6, [215]), (5, [1])]:
        raise StepFailed(f"{device.name} should have been written 215 and 1; it says {found}")
    return (
        f"{names[0]} and {names[1]} in {answer['latency_ms']} ms, once and read back; 99 °C: out_of_range;"
        f" {_meter(story).name}/power: writes_off"
    )


async def history(story: Story) -> str:
    """The gateway's own history of the last 30 s equals the devices' record."""
    device, group = _meter(story), _fast(story)
    names = [f"{device.name}/{tag.name}" for tag in group.tags]
    end_ms = now_ms() - ON_ITS_WAY_MS
    start_ms = end_ms - HISTORY_MS
    span = ["--from", str(start_ms), "--to", str(end_ms), "--limit", str(QUERY_LIMIT), "--timeout", "60s"]
    told = await story.operator.run("query", *names, *span)
    reply = _only(told)["reply"]
    result = _result(reply)
    head = {"v": 1, "kind": "samples", "stream": "query", "epoch": "0", "seq": 1}
    columns = decode(json.dumps({**head, **result}).encode()).columns
    plant = Plant(0, 0, (Device(device.name, device.transport, device.unit, (group,)),))
    telemetry = Telemetry(plant)
    polls = ServedRecords(_plant(story), story.gateway.run.plant).new()
    telemetry.serve(poll for poll in polls if (poll.device, poll.group) == (device.name, group.name))
    telemetry.arrive(columns)
    found = telemetry.result(start_ms + EARLY_MS, end_ms - LATE_MS)
    if not found.ok or found.unknown or result["more"]:
        faults = "; ".join(words for told in found.examples.values() for words in told[:2])
        raise StepFailed(
            f"of {found.served:,} values {found.lost:,} were missing, {found.doubled} doubled, {found.wrong}"
            f" wrong, {len(found.unknown)} of nobody's series, cut off: {result['more']}; {faults}"
        )
    way = "through a file" if reply["file_id"] else "in one reply"
    return f"{sum(len(c.times) for c in columns):,} values of {len(names)} series {way}, equal to the record"


async def refused(story: Story) -> str:
    """What is too late, or outside the folders, is refused and leaves a line in the audit."""
    device, group = _meter(story), _fast(story)
    since_ms, before = now_ms(), len(_reads(story, device, 0))
    register = f"{device.name}:{group.table}:{group.tags[1].address}:{REGISTERS}"
    words = ["--register", register, "--deadline", "0s", "--wait", "--timeout", "60s"]
    job = _only(await story.operator.run("jobs", "create", "read", *words), code=1)
    if (job["status"], job["details"].get("code")) != ("FAILED", "expired"):
        raise StepFailed(f"a job past its deadline ended {job['status']}: {job['details']}")
    if len(_reads(story, device, 0)) != before:
        raise StepFailed(f"{device.name} was read for a job past its deadline")
    outside = await story.operator.run("fetch", f"{FILE_SOURCE}/../state/state.db")
    if outside.code != 1 or "outside_roots" not in outside.errors:
        raise StepFailed(f"a file outside the folders: exit code {outside.code}, {outside.errors!r}")
    await _audited(story, since_ms, {("read", "expired"), ("fetch", "outside_roots")})
    return "a job past its deadline: expired; ../state/state.db: outside_roots; both in the audit"


async def _audited(story: Story, since_ms: int, wanted: set[tuple[str, str]]) -> None:
    """Wait until the gateway's audit holds exactly one line of each (op, code) and none with another end."""
    folder = story.gateway.run.state / "audit"
    lines: list[tuple[str, str]] = []
    for _ in range(round(AUDIT_PATIENCE_S / 0.1)):
        rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in _lines(path)]
        lines = [(row["op"], row["code"]) for row in rows if row["t"] >= since_ms]
        if sorted(lines) == sorted(wanted):
            return
        await asyncio.sleep(0.1)
    raise StepFailed(f"{folder} should have gained {sorted(wanted)}; it gained {sorted(lines)}")


def _only(told: Told, *, code: int = 0) -> Record:
    """The one record of a command that ended with `code`. Raises StepFailed with what it said."""
    if told.code != code or len(told.records) != 1:
        raise StepFailed(f"headgate ended with {told.code}: {told.errors or list(told.records)}")
    return told.records[0]


def _result(reply: Record | None) -> Mapping[str, Any]:
    if reply is None or reply["status"] != "ok" or not isinstance(reply["result"], dict):
        raise StepFailed(f"the gateway replied {reply}")
    return reply["result"]


def _equal(what: str, answered: object, served: Sequence[object]) -> None:
    if answered is None or answered not in served:
        raise StepFailed(f"{what}: the gateway answered {answered!r}, served was {served!r}")


def _check_characteristic(story: Story, sensor: BleDevice, result: Mapping[str, Any], since_ms: int) -> None:
    path = blefile.sent_path(story.gateway.run.ble, sensor.name)
    sent = [
        ess.value(CHARACTERISTIC, row["raw"][CHARACTERISTIC]).hex()
        for row in map(json.loads, _lines(path))
        if row["kind"] == "read" and row["t_ms"] >= since_ms and CHARACTERISTIC in row["raw"]
    ]
    _equal(f"{sensor.name}:{CHARACTERISTIC}", result["characteristics"][0].get("hex"), sent)


def _characteristic(sensor: BleDevice) -> list[str]:
    return ["--characteristic", f"{sensor.name}:{ess.CHARACTERISTICS[CHARACTERISTIC][0]:04x}"]


def _reads(story: Story, device: Device, since_ms: int) -> list[dict[str, Any]]:
    """What the device says it answered besides its poll groups."""
    rows = (json.loads(line) for line in _lines(served_path(story.gateway.run.plant, device.name)))
    return [row for row in rows if row["group"] is None and row["t_ms"] >= since_ms]


def _value_in(row: Mapping[str, Any], tag: Tag) -> Iterator[float]:
    """A tag's value in what was answered, if it lies in it."""
    first, width = tag.address - row["address"], WIDTH[tag.type]
    registers = row["registers"][max(first, 0) : first + width]
    if first >= 0 and len(registers) == width:
        (raw,) = struct.unpack(">" + FORMAT[tag.type], struct.pack(f">{width}H", *registers))
        yield raw / 10 ** (tag.decimals or 0)


def _lines(path: Path) -> list[bytes]:
    """The whole lines of a record that is being written."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _plant(story: Story) -> Plant:
    return plantfile.read(story.gateway.run.plant)


def _meter(story: Story) -> Device:
    return _plant(story).devices[0]


def _fast(story: Story) -> Group:
    return _meter(story).groups[0]


def _settable(story: Story) -> Device:
    """The device that has settings."""
    return next(device for device in _plant(story).devices if device.settings)


def _profiled(story: Story) -> Device:
    """The device whose register map is that of one that is sold."""
    return next(device for device in _plant(story).devices if device.profile is not None)


def _sensor(story: Story) -> BleDevice:
    """The first sensor that answers GATT reads."""
    return next(device for device in blefile.read(story.gateway.run.ble).devices if device.profile == "ess")
