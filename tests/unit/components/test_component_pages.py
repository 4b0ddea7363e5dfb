"""The components' pages say what the code accepts: every key, every permission, valid examples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from headgate.alarm.config import parse_mapping as parse_alarms
from headgate.ble.config import parse_mapping as parse_ble
from headgate.ble.decoders.fields import TYPES as FIELD_TYPES
from headgate.ble.decoders.quantity import RSSI
from headgate.ble.decoders.registry import PROFILES
from headgate.config.site import load_document
from headgate.errors import Reject
from headgate.files.config import parse_mapping as parse_files
from headgate.local.config import parse_mapping as parse_local
from headgate.modbus.config import parse_mapping
from headgate.modbus.forms import LETTERS, Orders
from headgate.modbus.sunspec.definitions import index as sunspec_index
from headgate.modbus.transports import KINDS
from headgate.modbus.types import TYPES
from headgate.roles import hub_config
from headgate.roles.site_follower import parse_component
from headgate.store.config import parse_mapping as parse_store
from headgate.uplink.config import parse_mapping as parse_uplink
from headgate.window.config import parse_mapping as parse_windows

ROOT = Path(__file__).resolve().parents[3]
COMPONENTS = sorted(path.parent.name for path in (ROOT / "components").glob("*/README.md"))
HEADINGS = [
    "Versions",
    "Type",
    "Requirements",
    "Dependencies",
    "Configuration",
    "Permissions",
    "Local log file",
]
NO_SUCH_KEY = "00000000"

Parse = Callable[[Mapping[str, Any]], object]


def page(component: str) -> str:
    return (ROOT / "components" / component / "README.md").read_text("utf-8")


def section(text: str, heading: str, level: str = "##") -> str:
    """What stands below a heading, up to the next one of any level."""
    found = re.search(rf"(?ms)^{level} {re.escape(heading)}[^\n]*\n(.*?)(?=^##|\Z)", text)
    assert found, f"no section {heading}"
    return found[1]


def keys(text: str) -> set[str]:
    """The first column of a table."""
    return set(re.findall(r"(?m)^\| `([^`]+)` \|", text))


def every_key(text: str) -> set[str]:
    """The keys in the first column of a table, where a row may name several."""
    rows = re.findall(r"(?m)^\| (`[^|]+`) \|", text)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def accepted(parse: Parse, document: Mapping[str, Any]) -> set[str]:
    """The keys that a parser knows where the document has NO_SUCH_KEY."""
    with pytest.raises(Reject) as refused:
        parse(document)
    (hint,) = [p.hint for p in refused.value.problems if p.path.endswith(NO_SUCH_KEY)]
    return set(hint.removeprefix("known are ").split(", "))


def bridge(values: Mapping[str, Any]) -> object:
    return parse_component(values, "test")


def hub(values: Mapping[str, Any]) -> object:
    return hub_config.parse_config(values)


PARSERS = [
    ("headgate.ModbusBridge", bridge),
    ("headgate.BleBridge", bridge),
    ("headgate.FileCourier", bridge),
    ("headgate.Hub", hub),
    ("headgate.AllInOne", hub),
]


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_page_has_every_section(component: str) -> None:
    for heading in HEADINGS:
        assert section(page(component), heading).strip()


@pytest.mark.parametrize(("component", "parse"), PARSERS)
def test_every_configuration_key_is_documented_and_accepted(component: str, parse: Parse) -> None:
    documented = {key.partition(".")[0] for key in keys(section(page(component), "Configuration"))}
    assert documented - {"accessControl"} == accepted(parse, {"schema": 1, NO_SUCH_KEY: 1})


def test_every_key_of_the_site_reference_is_documented_and_accepted() -> None:
    documented = keys(section(page("headgate.Hub"), "Configuration"))
    expected = accepted(hub, {"schema": 1, "site": {"uri": "file:///x", "sha256": "0" * 64, NO_SUCH_KEY: 1}})
    assert {key.partition(".")[2] for key in documented if key.startswith("site.")} == expected


def test_every_section_of_the_site_document_is_documented_and_accepted() -> None:
    documented = keys(section(page("headgate.Hub"), "Site document", "###"))
    assert {key.partition(".")[0] for key in documented} == {"schema", *hub_config.OWNERS}


def modbus_document(place: str) -> dict[str, Any]:
    """A section `modbus` with an unknown key at one place."""
    tag: dict[str, Any] = {"name": "t", "table": "holding", "address": 0, "type": "uint16"}
    group: dict[str, Any] = {"name": "g", "interval_s": 1, "tags": [tag]}
    transport: dict[str, Any] = {"kind": "tcp", "host": "h"}
    if place in KINDS:
        transport = {"kind": place}
    device: dict[str, Any] = {"name": "d", "transport": transport, "groups": [group]}
    document: dict[str, Any] = {"devices": [device]}
    write: dict[str, Any] = {"allow": True}
    if place == "write":
        tag["write"] = write
    sunspec: dict[str, Any] = {"interval_s": 1}
    if place == "sunspec":
        device["sunspec"] = sunspec
    places = {"": document, "sunspec": sunspec, "device": device, "group": group, "tag": tag, "write": write}
    at = places.get(place, transport)
    at[NO_SUCH_KEY] = 1
    return document


def test_every_key_of_a_modbus_device_is_documented_and_accepted() -> None:
    documented = keys(section(page("headgate.ModbusBridge"), "Site document", "###"))
    prefixes: dict[str, str] = {
        "": "",
        "device": "devices[].",
        "sunspec": "devices[].sunspec.",
        **dict.fromkeys(KINDS, "devices[].transport."),
        "group": "devices[].groups[].",
        "tag": "devices[].groups[].tags[].",
        "write": "devices[].groups[].tags[].write.",
    }
    known = {
        prefix + key
        for place, prefix in prefixes.items()
        for key in accepted(parse_mapping, modbus_document(place))
    }
    assert documented == known - {"devices[].transport", "devices[].sunspec"}


def test_every_family_of_sunspec_models_is_documented() -> None:
    told: dict[str, set[int]] = {}
    text = section(page("headgate.ModbusBridge"), "SunSpec", "###")
    for words, numbers in re.findall(r"(?m)^\| (`.+?) \| ([\d, ]+) \|", text):
        families, models = re.findall(r"`([^`]+)`", words), [int(number) for number in numbers.split(", ")]
        for i, model in enumerate(models):
            told.setdefault(families[i if len(families) > 1 else 0], set()).add(model)
    known: dict[str, set[int]] = {}
    for number, entry in sunspec_index().items():
        known.setdefault(entry.family, set()).add(number)
    assert told == known


def test_every_key_of_a_ble_device_is_documented_and_accepted() -> None:
    documented = keys(section(page("headgate.BleBridge"), "Site document", "###")) - set(PROFILES)
    device = {"name": "d", "address": "AA:BB:CC:DD:EE:FF", "profile": "ess", NO_SUCH_KEY: 1}
    known = accepted(parse_ble, {NO_SUCH_KEY: 1})
    known |= {f"devices[].{key}" for key in accepted(parse_ble, {"devices": [device]})}
    adapter = {"name": "hci0", NO_SUCH_KEY: 1}
    known |= {f"adapters[].{key}" for key in accepted(parse_ble, {"adapters": [adapter]})}
    del device[NO_SUCH_KEY]
    rule = {"deadband": 1, NO_SUCH_KEY: 1}
    keys_of_rule = accepted(parse_ble, {"devices": [device | {"report": [rule]}]})
    known |= {f"devices[].report[].{key}" for key in keys_of_rule}
    assert documented == known


def test_every_key_of_an_own_ble_format_is_documented_and_accepted() -> None:
    documented = keys(section(page("headgate.BleBridge"), "Own formats", "####"))
    known = set()
    for value in ({"type": "uint8"}, {"type": "bit", "bit": 1}, {"type": "string", "length": 1}):
        values = [{"name": "v", **value, NO_SUCH_KEY: 1}]
        fields = accepted(parse_ble, {"formats": [{"name": "f", "company": 1, "values": values}]})
        known |= {f"formats[].values[].{key}" for key in fields}
    written = {"name": "v", "type": "uint8", "characteristic": "2A19", "write": {NO_SUCH_KEY: 1}}
    keys_of_write = accepted(parse_ble, {"formats": [{"name": "f", "values": [written]}]})
    known |= {f"formats[].values[].write.{key}" for key in keys_of_write}
    values = [{"name": "v", "type": "uint8"}]
    own = {"name": "f", "company": 1, "values": values, NO_SUCH_KEY: 1}
    known |= {f"formats[].{key}" for key in accepted(parse_ble, {"formats": [own]})}
    assert documented == known


def test_every_ble_profile_type_and_tag_is_documented() -> None:
    text = section(page("headgate.BleBridge"), "Site document", "###")
    rows = dict(re.findall(r"(?m)^\| (`\w+`(?:, `\w+`)*) \| (.*) \|$", text))
    told = {name: row for names, row in rows.items() for name in re.findall(r"`(\w+)`", names)}
    for profile in PROFILES.values():
        if "bthome" not in profile.name:
            named = set(re.findall(r"`(\w+)`", told[profile.name]))
            tags = {tag for tag in profile.quantities if not re.search(r"_[2-6yz]$", tag)} - {RSSI.tag}
            assert tags <= named
    named = set(re.findall(r"`([a-z]+\d*)`", section(page("headgate.BleBridge"), "Own formats", "####")))
    assert {name for name in FIELD_TYPES if not name.startswith("int")} <= named


def test_the_example_of_a_ble_section_is_accepted() -> None:
    (example,) = re.findall(r"(?s)```yaml\n(.*?)```", page("headgate.BleBridge"))
    devices = parse_ble(load_document(example, "README.md")["ble"]).devices
    ours = {name for name, profile in PROFILES.items() if not profile.package}
    assert {device.profile for device in devices} == {*ours, "tank-level", "flow-meter"}


def test_every_key_of_the_files_section_is_documented_and_accepted() -> None:
    documented = keys(section(page("headgate.FileCourier"), "Site document", "###"))
    known = accepted(parse_files, {NO_SUCH_KEY: 1})
    source = {"name": "logs", "path": "/data/logs", NO_SUCH_KEY: 1}
    known |= {f"sources[].{key}" for key in accepted(parse_files, {"sources": [source]})}
    assert documented == known


def test_the_example_of_a_files_section_is_accepted() -> None:
    (example,) = re.findall(r"(?s)```yaml\n(.*?)```", page("headgate.FileCourier"))
    assert [source.delete for source in parse_files(yaml.safe_load(example)["files"]).sources] == [
        False,
        True,
    ]


def test_every_key_of_the_windows_section_is_documented_and_accepted() -> None:
    documented = every_key(section(page("headgate.Hub"), "Windows", "####"))
    known = accepted(parse_windows, {NO_SUCH_KEY: 1})
    rule = {"match": "a/b", NO_SUCH_KEY: 1}
    known |= {f"series[].{key}" for key in accepted(parse_windows, {"series": [rule]})}
    assert documented == known


def test_every_key_of_the_alarms_section_is_documented_and_accepted() -> None:
    documented = every_key(section(page("headgate.Hub"), "Alarms", "####"))
    rule = {"name": "n", "series": "a/b", "above": 1, NO_SUCH_KEY: 1}
    known = {f"rules[].{key}" for key in accepted(parse_alarms, {"rules": [rule]})}
    assert documented == known


def test_every_key_of_the_store_section_is_documented_and_accepted() -> None:
    documented = every_key(section(page("headgate.Hub"), "Store", "####"))
    assert documented == accepted(parse_store, {NO_SUCH_KEY: 1})


def test_every_key_of_the_uplink_is_documented_and_accepted() -> None:
    table, _ = section(page("headgate.Hub"), "Uplink", "####").split("| Mode |")
    known = accepted(parse_uplink, {NO_SUCH_KEY: 1})
    for name in ("shares", "metered", "prices", "budget"):
        known |= {f"{name}.{key}" for key in accepted(parse_uplink, {name: {NO_SUCH_KEY: 1}})} - {name}
        known -= {name}
    assert every_key(table) == known


def test_the_examples_of_windows_alarms_and_store_are_accepted() -> None:
    windows, alarms, store = re.findall(r"(?s)```yaml\n(.*?)```", page("headgate.Hub"))
    assert parse_store(yaml.safe_load(store)["store"]).keep_days == 90
    assert len(parse_windows(yaml.safe_load(windows)["windows"]).rules) == 4
    assert len(parse_alarms(yaml.safe_load(alarms)["alarms"])) == 4


def test_every_key_of_the_local_section_is_documented_and_accepted() -> None:
    documented = every_key(section(page("headgate.Hub"), "Local topics", "####"))
    known = accepted(parse_local, {NO_SUCH_KEY: 1}) - {"live", "windows"}
    for name in ("live", "windows"):
        given = {name: {"series": "*/*", NO_SUCH_KEY: 1}}
        known |= {f"{name}.{key}" for key in accepted(parse_local, given)}
    assert documented == known


def test_the_page_on_local_topics_shows_the_example_as_it_is() -> None:
    text = (ROOT / "docs/local.md").read_text("utf-8")
    site, policy = re.findall(r"(?s)```yaml\n(.*?)```", text)
    assert parse_local(yaml.safe_load(site)["local"]).alarms
    (program,) = re.findall(r"(?s)```python\n(.*?)```", text)
    example = ROOT / "examples/headgate.example.PrintLive"
    assert (example / "main.py").read_text("utf-8").endswith(program)
    recipe = yaml.safe_load((example / "recipe.yaml").read_text("utf-8"))
    assert recipe["ComponentConfiguration"]["DefaultConfiguration"]["accessControl"] == yaml.safe_load(policy)


@pytest.mark.parametrize(("component", "parse"), PARSERS)
def test_the_example_of_a_configuration_update_is_accepted(component: str, parse: Parse) -> None:
    (example,) = re.findall(
        r"(?s)```json\n(.*?)```", section(page(component), "Example: configuration update")
    )
    assert parse({"schema": 1, **json.loads(example)})


def test_the_example_of_a_site_document_is_accepted() -> None:
    example, with_profile, with_sunspec = re.findall(r"(?s)```yaml\n(.*?)```", page("headgate.ModbusBridge"))
    assert len(parse_mapping(load_document(example, "README.md")["modbus"]).devices) == 1
    (device,) = parse_mapping({"devices": yaml.safe_load(with_profile)}).devices
    assert [len(group.tags) for group in device.groups] == [1, 1]
    (device,) = parse_mapping({"devices": yaml.safe_load(with_sunspec)}).devices
    assert device.sunspec is not None


def test_every_modbus_type_and_order_is_documented_with_its_registers_and_series() -> None:
    text = page("headgate.ModbusBridge")
    told = {}
    for names, sizes, kinds in re.findall(
        r"(?m)^\| (`.+?`) \| (.+?) \| (.+?) \|", section(text, "Types", "####")
    ):
        words = re.findall(r"`([^`]+)`", names)
        for i, name in enumerate(words):
            size, kind = sizes.split(", "), kinds.split(", ")
            told[name] = (size[i % len(size)], kind[i % len(kind)])
    known = {name: (str(each.registers or "`length`"), each.kind) for name, each in TYPES.items()}
    assert told == known | {"bool": ("-", "bool")}
    orders = re.findall(
        r"(?m)^\| `(\w{4})` \| `(\w+)` \| `(\w+)` \| `(\w{8})` \|", section(text, "Orders", "####")
    )
    assert {name: Orders(byte, word) for name, byte, word, _ in orders} == {
        name: each for name, each in LETTERS.items() if len(name) == 4
    }
    assert all(LETTERS[name] == LETTERS[long] for name, _, _, long in orders)


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_permissions_are_the_recipe_s(component: str) -> None:
    recipe = yaml.safe_load((ROOT / f"recipes/{component}.yaml").read_text("utf-8"))
    access = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {}).get("accessControl", {})
    granted = {
        (service, operation.partition("#")[2], resource)
        for service, policies in access.items()
        for policy in policies.values()
        for operation in policy["operations"]
        for resource in policy["resources"]
    }
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (\w+) \| (.*) \|$", section(page(component), "Permissions"))
    told = {
        (service, operation, r) for service, operation, cell in rows for r in re.findall(r"`([^`]+)`", cell)
    }
    assert told == granted


@pytest.mark.parametrize(
    ("component", "root"),
    [
        ("headgate.ModbusBridge", parse_component({}, "test").root.path),
        ("headgate.FileCourier", parse_component({}, "test").root.path),
        ("headgate.Hub", hub_config.parse_config({}).state_root),
    ],
)
def test_the_default_state_root_is_the_one_that_is_told(component: str, root: Path) -> None:
    told = dict(re.findall(r"(?m)^\| `(\w+)` \| `([^`]+)` \|", section(page(component), "Configuration")))
    assert told["stateRoot"] == str(root)
