"""Whether a register or coil may be written, as the site document says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from headgate.config.reader import Section
from headgate.modbus.encode import encode, unwritable
from headgate.modbus.types import Form
from headgate.write_rule import WriteRule, read_write_keys

WRITABLE_TABLES = ("coil", "holding")


@dataclass(frozen=True, slots=True)
class RegisterRule(WriteRule):
    """`multiple`: written by functions 15 and 16 also where one coil or register is written."""

    multiple: bool = False


def read_write_rule(section: Section, form: Form, table: str) -> RegisterRule | None:
    """`write` of a tag; None where it may not be written, which is how it is where nothing is said."""
    if not section.has("write"):
        return None
    write = section.section("write")
    not_a_number = f"type {form.type} as this tag has it" if form.kind in ("bool", "text") else ""
    allow, rule = read_write_keys(write, lambda value: encode(form, value), not_a_number)
    multiple = write.boolean("multiple", False)
    write.close()
    if allow and table not in WRITABLE_TABLES:
        write.fault("allow", f"table {table} cannot be written", "coil and holding can")
    elif allow and (why := unwritable(form)):
        write.fault("allow", why, "a mask within one register can be written")
    return _shared(RegisterRule(rule.low, rule.high, rule.clamp, rule.verify, multiple)) if allow else None


@lru_cache(1024)
def _shared(rule: RegisterRule) -> RegisterRule:
    return rule
