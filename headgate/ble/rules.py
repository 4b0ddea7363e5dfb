"""Whether a value of a characteristic may be written, as the site document says."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.ble.decoders.encode import encode_field
from headgate.ble.decoders.fields import Field
from headgate.config.reader import Section
from headgate.write_rule import WriteRule, read_write_keys


@dataclass(frozen=True, slots=True)
class CharacteristicRule(WriteRule):
    """`response`: the device confirms the write; else it is sent and nothing is heard of it."""

    response: bool = True


def read_write_rule(section: Section, field: Field, *, advertised: bool) -> CharacteristicRule | None:
    """`write` of a value; None where it may not be written, which is how it is where nothing is said."""
    if not section.has("write"):
        return None
    write = section.section("write")
    not_a_number = f"type {field.type} as this value has it"
    if field.quantity.kind not in ("bool", "text"):
        not_a_number = ""
    allow, rule = read_write_keys(write, lambda value: encode_field(field, value), not_a_number)
    response = write.boolean("response", True)
    write.close()
    if advertised:
        section.fault(
            "write", "does not go with an advertisement", "values of a characteristic can be written"
        )
    elif not (response or rule.verify):
        write.fault("response", "nothing would tell whether it was written", "it goes with verify: true")
    return CharacteristicRule(rule.low, rule.high, rule.clamp, rule.verify, response) if allow else None
