"""One device's packets: what becomes a frame, and what is said of the rest, once."""

from __future__ import annotations

from gateway_sim.ble import bthome as sensor
from headgate.ble.config import parse_mapping
from headgate.ble.decoders.quantity import Advert
from headgate.ble.listener import Listener
from headgate.model import Frame, Quality

ADDRESS = "CB:B8:33:4C:88:4F"
KEY = bytes(range(16))
RUUVI = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")


class Heard:
    """A listener of one device, and what it said."""

    def __init__(self, profile: str, **more: object) -> None:
        self.said: list[str] = []
        device = {"name": "d", "address": ADDRESS, "profile": profile, **more}
        (parsed,) = parse_mapping({"devices": [device]}).devices
        assert parsed.format.make_decode is not None
        self.listener = Listener(
            parsed, parsed.format.make_decode, range(len(parsed.tags)), self.said.append, 0
        )

    def bthome(self, data: bytes, at_ms: int = 0) -> bool:
        advert = Advert(ADDRESS, at_ms, -60, {sensor.SERVICE_UUID: data})
        return self.hear(advert) is not None

    def hear(self, advert: Advert) -> Frame | None:
        wanted = self.listener.wanted(advert)
        return None if wanted is None else self.listener.hear(wanted, advert.boot_ms, advert.rssi_dbm)

    def sealed(self, counter: int, key: bytes = KEY) -> bool:
        mac = bytes.fromhex(ADDRESS.replace(":", ""))
        raws = {"temperature": counter % 100}
        return self.bthome(sensor.encrypted_service_data(raws, key=key, address=mac, counter=counter))


def test_a_wrong_key_is_said_once_and_gives_nothing() -> None:
    heard = Heard("bthome", bind_key=KEY.hex())
    assert [heard.sealed(n, bytes(16)) for n in (1, 2, 3)] == [False] * 3
    assert heard.said == ["d: BTHome: the packet does not open with this bind_key"]
    assert heard.listener.undecoded == 3
    assert heard.sealed(4)


def test_a_replay_is_said_once_and_gives_nothing() -> None:
    heard = Heard("bthome", bind_key=KEY.hex())
    assert [heard.sealed(n) for n in (5, 6, 5, 4, 7)] == [True, True, False, False, True]
    assert len(heard.said) == 1
    assert heard.said[0].startswith("d: its counter went down")
    assert heard.listener.freshness.replays == 2


def test_a_forged_packet_does_not_move_the_counter() -> None:
    heard = Heard("bthome", bind_key=KEY.hex())
    assert [heard.sealed(5), heard.sealed(1 << 31, bytes(16)), heard.sealed(6)] == [True, False, True]


def test_objects_that_are_not_known_are_said_and_what_came_before_is_good() -> None:
    heard = Heard("bthome")
    assert heard.bthome(bytes.fromhex("4002ca09ee01"))
    assert heard.said == ["d: object 0xee and what follows is unknown"]
    last = heard.listener.last("temperature")
    assert last is not None
    assert (last.value, last.quality) == (25.06, Quality.GOOD)


def test_a_packet_of_another_sender_is_said_and_uncertain() -> None:
    heard = Heard("ruuvi5")
    assert heard.hear(Advert(ADDRESS, 0, -60, {}, {0x0499: RUUVI})) is not None
    assert heard.said == []
    other = RUUVI[:17] + b"\xce" + RUUVI[18:-1] + b"\x00"
    frame = heard.hear(Advert(ADDRESS, 9, -60, {}, {0x0499: other}))
    assert frame is not None
    assert set(frame.quality) == {Quality.UNCERTAIN}
    assert heard.said == ["d: it names cb:b8:33:4c:88:00 as its sender"]


def test_a_number_that_stays_for_longer_than_one_may_be_silent_is_said_and_makes_uncertain() -> None:
    heard = Heard("bthome", gone_s=300)
    packet, later = bytes.fromhex("40000702ca09"), bytes.fromhex("40000802ca09")
    taken = [heard.bthome(packet, at_ms) for at_ms in range(0, 700_000, 50_000)]
    assert [at for at, new in enumerate(taken) if new] == [0, 6]
    assert heard.listener.stuck
    assert heard.said == ["d: for 300 s its packets keep their number: it sends, and measures no more"]
    last = heard.listener.last("temperature")
    assert last is not None
    assert (last.value, last.quality, last.boot_ms) == (25.06, Quality.UNCERTAIN, 300_000)
    assert heard.bthome(later, 700_000)
    assert not heard.listener.stuck
    last = heard.listener.last("temperature")
    assert last is not None
    assert last.quality == Quality.GOOD


def test_who_is_stuck_and_was_silent_is_uncertain_when_it_is_back() -> None:
    heard = Heard("bthome")
    packet = bytes.fromhex("40000702ca09")
    assert [heard.bthome(packet, at_ms) for at_ms in (0, 300_000, 310_000)] == [True, True, False]
    heard.listener.silence.marked(700_000, Quality.BAD_COMM)
    assert heard.bthome(packet, 800_000)
    last = heard.listener.last("temperature")
    assert last is not None
    assert last.quality == Quality.UNCERTAIN
    assert len(heard.said) == 1
