"""The sensors' encoders against the vectors that the formats' authors publish."""

from __future__ import annotations

import pytest

from gateway_sim.ble import bthome, ess, ruuvi
from gateway_sim.ble.sensors import building

RUUVI_ADDRESS = bytes.fromhex("CBB8334C884F")


def test_bthome_plain() -> None:
    """https://bthome.io/format: 25.00 °C, 50.55 %."""
    raws = {"humidity": 5055, "temperature": 2500}
    assert bthome.service_data(raws).hex() == "4002c40903bf13"


@pytest.mark.parametrize(
    ("counter", "sent"),
    [(0x33221100, "41a47266c95f730011223378237214"), (0x00112233, "41e445f3c9962b332211006c7c4519")],
)
def test_bthome_encrypted(counter: int, sent: str) -> None:
    """https://bthome.io/encryption: 25.06 °C, 50.55 %; its older and its newer example."""
    key, address = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932"), bytes.fromhex("5448e68f80a5")
    raws = {"temperature": 2506, "humidity": 5055}
    assert bthome.encrypted_service_data(raws, key=key, address=address, counter=counter).hex() == sent


def ruuvi_raws(*values: int) -> dict[str, int]:
    tags = ("temperature", "humidity", "pressure", *ruuvi.AXES, "battery_voltage", "tx_power")
    return dict(zip((*tags, "movement_counter", "measurement_sequence"), values, strict=True))


@pytest.mark.parametrize(
    ("raws", "sent"),
    [
        (
            ruuvi_raws(24_300, 534_900, 100_044, 4, -4, 1036, 2977, 4, 66, 205),
            "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F",
        ),
        (
            ruuvi_raws(163_835, 1_638_350, 115_534, 32_767, 32_767, 32_767, 3646, 20, 254, 65_534),
            "057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F",
        ),
        (
            ruuvi_raws(-163_835, 0, 50_000, -32_767, -32_767, -32_767, 1600, -40, 0, 0),
            "058001000000008001800180010000000000CBB8334C884F",
        ),
    ],
    ids=["valid", "maximum", "minimum"],
)
def test_ruuvi(raws: dict[str, int], sent: str) -> None:
    """https://docs.ruuvi.com, data format 5, test vectors."""
    assert ruuvi.manufacturer_data(raws, RUUVI_ADDRESS).hex().upper() == sent


def test_ess() -> None:
    """GATT Specification Supplement: sint16, uint16, uint32, little-endian."""
    assert ess.value("temperature", -1).hex() == "ffff"
    assert ess.value("humidity", 5055).hex() == "bf13"
    assert ess.value("pressure", 1_013_250).hex() == "02760f00"


@pytest.mark.parametrize("seed", [1, 7, 99])
def test_every_measurement_of_two_days_can_be_sent(seed: int) -> None:
    for sensor in building(seed):
        for count in range(0, 172_800, 601):
            raws = sensor.measure(count, float(count))
            tags = [tag.name for tag in sensor.device.tags]
            assert list(raws)[: len(tags)] == tags  # the tank's texts are not judged
            sensor.advertise(count, raws)
            if sensor.connectable:
                assert all(ess.value(tag, raw) for tag, raw in raws.items())
