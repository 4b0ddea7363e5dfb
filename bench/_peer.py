"""ThingsBoard IoT Gateway, in an environment of its own, reading the plant and sending to a plain broker.

Configured as its documentation has it, with storage that survives its end (sqlite), QoS 1 and no limits.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from bench._peer_cloud import TELEMETRY
from bench._processes import Child, child
from bench.form import Figure
from gateway_sim.devices.plantfile import Group, Plant, Tag
from gateway_sim.runs.usage import usage

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements/peer.txt"
WARM_UP_S, MEASURED_S, PATIENCE_S = 20.0, 60.0, 60.0
MAX_COUNT = 125
Entries = Literal["ranges", "tags"]
ENTRIES: tuple[Entries, ...] = get_args(Entries)
"""How its configuration names registers: all of a group as one range (one request), or tag by tag."""


def peer_python() -> Path:
    """The Python of an environment with the locked packages, made from the package index on the first run."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    place = ROOT / ".cache" / f"peer-{digest}"
    if not place.exists():
        new = place.with_suffix(".new")
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(new)], check=True)
        command = [sys.executable, "-m", "pip", "--python", str(new / "bin/python"), "install", "-q"]
        subprocess.run([*command, "--require-hashes", "--no-deps", "-r", str(LOCK)], check=True)
        new.rename(place)
    return place / "bin" / "python"


def measure_peer(plant: Plant, folder: Path, port: int, entries: Entries) -> Mapping[str, Figure]:
    """What it costs to bring this plant's values to the broker on `port`, and how many of them arrive."""
    python = peer_python()
    _configure(plant, folder, port, entries)
    with child("bench._peer_cloud", str(port)) as cloud:
        cloud.line()
        with _running(python, folder) as pid:
            _wait_for_values(cloud, folder)
            time.sleep(WARM_UP_S)
            before, cpu_s, counted = time.monotonic(), usage(pid).cpu_s, json.loads(cloud.ask(""))
            written = usage(pid).written_bytes
            time.sleep(MEASURED_S)
            used, done = usage(pid), json.loads(cloud.ask(""))
            seconds = time.monotonic() - before
    values = max(1, done["values"] - counted["values"])
    return {
        "values_per_s": round(values / seconds, 1),
        "cpu_s_per_million": round((used.cpu_s - cpu_s) / values * 1e6, 2),
        "pss_mb": round(used.pss_mb, 1),
        "disk_bytes_per_value": round((used.written_bytes - written) / values, 1),
        "mqtt_bytes_per_value": round((done["bytes"] - counted["bytes"]) / values, 2),
    }


@contextlib.contextmanager
def plain_broker(folder: Path) -> Iterator[int]:
    """A mosquitto on loopback that asks nobody who he is; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n")
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise RuntimeError("mosquitto is not installed (Debian: apt-get install mosquitto)")
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _wait_for_values(cloud: Child, folder: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while json.loads(cloud.ask(""))["values"] == 0:
        if time.monotonic() > end:
            raise RuntimeError(f"the peer published nothing to {TELEMETRY} in {PATIENCE_S:g} s; see {folder}")
        time.sleep(0.5)


@contextlib.contextmanager
def _running(python: Path, folder: Path) -> Iterator[int]:
    environment = {**os.environ, "TB_GW_CONFIG_DIR": str(folder), "PYTHONPATH": ""}
    with (folder / "peer.out").open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "thingsboard_gateway.tb_gateway"],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait()


def _configure(plant: Plant, folder: Path, port: int, entries: Entries) -> None:
    folder.mkdir(parents=True)
    (folder / "logs").mkdir()
    (folder / "data").mkdir()
    files = {
        "tb_gateway.json": _gateway(folder, port),
        "modbus.json": {"logLevel": "WARNING", "master": {"slaves": _slaves(plant, entries)}},
        "logs.json": _LOGS,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def _gateway(folder: Path, port: int) -> dict[str, Any]:
    whole = ("messagesRateLimits", "rateLimits", "dpRateLimits")
    limits = (*whole, *(f"device{name[0].upper()}{name[1:]}" for name in whole))
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "security": {"type": "accessToken", "accessToken": "peer"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            **dict.fromkeys(limits, "0:0,"),
        },
        "storage": {"type": "sqlite", "data_file_path": str(folder / "data" / "data.db")},
        "grpc": {"enabled": False},
        "connectors": [{"type": "modbus", "name": "plant", "configuration": "modbus.json"}],
    }


def _slaves(plant: Plant, entries: Entries) -> list[dict[str, Any]]:
    return [
        {
            "host": device.host,
            "port": device.port,
            "type": "tcp",
            "method": "socket",
            "unitId": device.unit,
            "deviceName": device.name,
            "timeout": 5,
            "byteOrder": "BIG",
            "wordOrder": "BIG",
            "pollPeriod": round(group.interval_s * 1000),
            "attributes": [],
            "timeseries": _ranges(group)
            if entries == "ranges"
            else [_entry(group, tag) for tag in group.tags],
            "attributeUpdates": [],
            "rpc": [],
        }
        for device in plant.devices
        for group in device.groups
    ]


_TYPES = {
    "uint16": ("16uint", 1),
    "int16": ("16int", 1),
    "uint32": ("32uint", 2),
    "int32": ("32int", 2),
    "float32": ("32float", 2),
}


def _ranges(group: Group) -> list[dict[str, Any]]:
    """All of a group by one request. An entry has one type, so what arrives are registers, not tags."""
    entry = _entry(group, group.tags[0])
    span = f"{group.address}-{group.address + group.count - 1}"
    more = {"type": "16uint", "objectsCount": 1, "maxRegistersPerRequest": MAX_COUNT}
    return [{**entry, **more, "tag": "r${address}", "address": span}]


def _entry(group: Group, tag: Tag) -> dict[str, Any]:
    kind, registers = _TYPES[tag.type]
    function = 3 if group.table == "holding" else 4
    return {
        "tag": tag.name,
        "type": kind,
        "functionCode": function,
        "objectsCount": registers,
        "address": tag.address,
    }


_LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"class": "logging.Formatter", "format": "%(asctime)s %(levelname)s %(name)s %(message)s"}
    },
    "handlers": {
        "out": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stdout"}
    },
    "loggers": {
        name: {"handlers": ["out"], "level": "WARNING", "propagate": False}
        for name in ("service", "storage", "connector", "converter", "tb_connection", "extension", "database")
    },
}
