"""Requests through the real hub and both real bridges, of a plant and a radio that record what they serve."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.ble import radio as air
from gateway_sim.ble.blefile import sent_path, settings_path
from gateway_sim.ble.sensors import building, room_thermostat
from gateway_sim.ble.site import ble_section
from gateway_sim.devices import plant
from gateway_sim.devices.layout import plant_room
from gateway_sim.devices.plantfile import served_path
from gateway_sim.devices.site import site_document
from headgate.bridge.handover import Options
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.roles import hub
from headgate.roles.bridge import bridge

BOILER = {"device": "boiler", "table": "holding", "address": 103, "count": 4}
BEYOND = {"device": "meter-b", "table": "holding", "address": 60_000, "count": 2}


class Gateway:
    """Hub, both bridges, plant and radio; `cloud` is the cloud's side of the one bus."""

    def __init__(self, tmp_path: Path) -> None:
        self.plant, self.radio, self.state = (tmp_path / name for name in ("plant", "radio", "state"))
        self.cloud = MemoryCloud()
        self.deadlines: dict[str, int] = {}
        self.replies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def read(self, request_id: str, *, wait_s: float = 30.0, **args: Any) -> dict[str, Any]:
        return await self.ask("read", request_id, args, wait_s)

    async def write(self, request_id: str, **values: Any) -> dict[str, Any]:
        rows = [{"series": f"thermostat/{tag}", "value": value} for tag, value in values.items()]
        return await self.ask("write", request_id, {"values": rows}, 30.0)

    async def ask(self, op: str, request_id: str, args: dict[str, Any], wait_s: float) -> dict[str, Any]:
        # The same id with another deadline would be another request.
        deadline_ms = self.deadlines.setdefault(request_id, SystemClock().utc_ms() + round(wait_s * 900))
        request = {"v": 1, "id": request_id, "op": op, "args": args, "deadline_ms": deadline_ms}
        topic = "write" if op == "write" else "read"
        self.cloud.route(f"hg/v1/gw/dn/req/{topic}", json.dumps(request).encode())
        async with asyncio.timeout(wait_s):
            while (reply := await self.replies.get())["id"] != request_id:
                pass  # of a request that was given up
        return reply

    def served(self, device: str) -> list[dict[str, Any]]:
        """Reads that were no poll of a whole group, as the plant recorded them."""
        return [row for row in _lines(served_path(self.plant, device)) if row["group"] is None]

    def sent(self, device: str, characteristic: str) -> list[dict[str, Any]]:
        """GATT reads of one characteristic, as the radio recorded them."""
        return [
            row
            for row in _lines(sent_path(self.radio, device))
            if row["kind"] == "read" and row["characteristic"] == characteristic
        ]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@asynccontextmanager
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    async with (
        plant.running(plant_room(1), made.plant) as running_plant,
        air.running([*building(1), room_thermostat(1)], made.radio, seed=1) as (radio, _),
    ):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", radio.bus_address)
        site = {**site_document(running_plant.plant), "ble": ble_section(radio), "requests": {"writes": True}}
        root = StateRoot.at(str(made.state))
        root.create()
        store_accepted(root, json.dumps(site).encode())  # as the hub left it when it ran before
        config = {"schema": 1, "stateRoot": str(made.state)}
        stop, clock = asyncio.Event(), SystemClock()
        options = Options(flush_ms=50, stop_wait_ms=500)

        def take(topic: str, payload: bytes) -> None:
            made.replies.put_nowait(json.loads(payload))

        async def bridging(name: str) -> None:
            await bridge(name, options=options)(bus, clock, stop)

        async with MemoryBus(cloud=made.cloud, config=config) as bus:
            with made.cloud.attached("hg/v1/gw/up/reply", take):
                async with asyncio.TaskGroup() as group:
                    group.create_task(hub.run(bus, clock, stop, thing="gw"))
                    for name in ("modbus", "ble"):
                        group.create_task(bridging(name))
                    try:
                        await _settled(made)
                        yield made
                    finally:
                        stop.set()


async def _settled(made: Gateway) -> None:
    """Until the hub listens and both bridges answer for their devices."""
    for number in range(100):
        try:
            reply = await made.read(f"up-{number}", wait_s=1, series=["meter-a/power", "office/temperature"])
        except TimeoutError:
            continue
        if reply["status"] == "ok" and all("value" in row for row in reply["result"]["values"]):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the bridges do not answer: {reply}")


async def test_one_request_reads_both_buses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway(tmp_path, monkeypatch) as made:
        asked_ms = SystemClock().utc_ms()
        before = {name: len(made.served(name)) for name in ("meter-a", "boiler")}
        reply = await made.read(
            "both",
            series=["meter-a/voltage_l1", "workshop/temperature"],
            registers=[BOILER],
            characteristics=[{"device": "workshop", "characteristic": "2A6F"}],
        )
        assert (reply["status"], reply["code"]) == ("ok", "ok")
        result = reply["result"]
        served = {name: made.served(name)[count:] for name, count in before.items()}
        temperatures, humidities = made.sent("workshop", "2a6e"), made.sent("workshop", "2a6f")

    values = {row["series"]: row for row in result["values"]}
    voltage, temperature = values["meter-a/voltage_l1"], values["workshop/temperature"]
    (of_meter,) = served["meter-a"]
    assert [voltage["value"], voltage["unit"], voltage["quality"]] == [of_meter["registers"][0] / 10, "V", 0]
    assert asked_ms <= of_meter["t_ms"] <= voltage["t"]

    (range_,) = result["registers"]
    (of_boiler,) = served["boiler"]
    assert (of_boiler["table"], of_boiler["address"]) == ("holding", 103)
    assert range_["values"] == of_boiler["registers"]
    assert len(range_["values"]) == 4
    assert asked_ms <= of_boiler["t_ms"] <= range_["t"]

    def between(rows: list[dict[str, Any]], t_ms: int) -> list[int]:
        return [next(iter(row["raw"].values())) for row in rows if asked_ms <= row["t_ms"] <= t_ms]

    assert round(temperature["value"] * 100) in between(temperatures, temperature["t"])
    (characteristic,) = result["characteristics"]
    assert (characteristic["device"], characteristic["characteristic"]) == ("workshop", "2A6F")
    assert "error" not in characteristic, characteristic
    raw = int.from_bytes(bytes.fromhex(characteristic["hex"]), "little")
    assert raw in between(humidities, characteristic["t"])


async def test_what_a_bus_cannot_give_stands_beside_what_the_other_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as made:
        reply = await made.read(
            "part",
            registers=[BEYOND, BOILER],
            characteristics=[{"device": "workshop", "characteristic": "2a19"}],
        )
        assert reply["status"] == "ok"
        refused, good = reply["result"]["registers"]
        assert refused == {**BEYOND, "error": "exception 2, illegal data address"}
        assert len(good["values"]) == 4
        (missing,) = reply["result"]["characteristics"]
        assert "no characteristic" in missing["error"]
        for changes, code in (
            ({"device": "nobody"}, "unknown_device"),
            ({"count": 126}, "bad_request"),
            ({"table": "flash"}, "bad_request"),
            ({"address": 65_534}, "bad_request"),
            ({"device": "workshop"}, "bad_request"),
        ):
            reply = await made.read(
                f"no-{code}-{len(changes)}-{next(iter(changes))}", registers=[BOILER | changes]
            )
            assert (reply["status"], reply["code"]) == ("refused", code), reply


async def test_a_write_of_a_ble_device_goes_through_the_hub_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as made:
        reply = await made.write("set", setpoint=21.5, locked=True)
        again = await made.write("set", setpoint=21.5, locked=True)
        refused = await made.write("beyond", setpoint=99)
        never = await made.write("measured", temperature=20)
    assert (reply["status"], again) == ("ok", reply)
    assert [(row["outcome"], row["old"]) for row in reply["result"]["writes"]] == [
        ("verified", 20.5),
        ("verified", False),
    ]
    assert (refused["status"], refused["code"], never["code"]) == ("refused", "out_of_range", "writes_off")
    served = _lines(settings_path(made.radio, "thermostat"))
    assert [row["hex"] for row in served if row["kind"] == "write"] == ["d7000180", "d7000181"]
    audit = [row for path in (made.state / "audit").iterdir() for row in _lines(path) if row["id"] == "set"]
    assert [row["code"] for row in audit] == ["started", "ok"]
    assert audit[1]["result"] == reply["result"]


async def test_both_buses_are_scanned_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as made:
        heard = await made.ask("scan", "s-ble", {"source": "ble", "seconds": 2}, 30.0)
        wanted = {"source": "modbus", "device": "meter-a", "last": 6}
        found = await made.ask("scan", "s-modbus", wanted, 30.0)
        assert (heard["status"], found["status"]) == ("ok", "ok"), (heard, found)
        rows = {row["name"]: row for row in heard["result"]["found"]}
        assert set(rows) == {sensor.device.name for sensor in [*building(1), room_thermostat(1)]}
        assert all(row["devices"] == [name] for name, row in rows.items())
        assert rows["tank"]["profiles"][0]["profile"] == "tank-level"
        units = {row["unit"]: row for row in found["result"]["found"]}
        assert [name for row in units.values() for name in row.get("devices", ())].count("meter-a") == 1
        assert found["result"]["asked"] == 6
