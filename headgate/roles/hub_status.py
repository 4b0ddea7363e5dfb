"""The hub's status in words: what its parts have counted, for the log."""

from __future__ import annotations

from headgate.requests.desk import DeskCounters
from headgate.roles.hub_accounts import Accounts
from headgate.roles.hub_intake import Intake
from headgate.roles.hub_pipeline import PipelineCounters
from headgate.store.store import Store
from headgate.uplink.sender import Uplink


def of_data(taken: PipelineCounters, intake: Intake) -> str:
    """Batches and what became of them."""
    return (
        f"batches {taken.batches}, values {taken.samples}, windows {taken.windows}, "
        f"corrected {taken.corrected}, late {taken.late}, duplicates {intake.duplicates}, "
        f"refused {intake.refused}, malformed {intake.malformed}, marked {taken.marked}"
    )


def of_uplink(store: Store, uplink: Uplink) -> str:
    """Envelopes that wait, and that went."""
    (count, size_bytes), sent = store.outbox, uplink.planner.counters
    return (
        f"outbox {count} envelopes {size_bytes} B, sent {sent.sent}, again {sent.resent}, "
        f"acknowledged {sent.acknowledged}, unacknowledged {uplink.planner.unacknowledged_bytes} B, "
        f"refused {sent.refused}, offline {sent.offline}; journal {store.journal.size_bytes} B"
    )


def of_requests(asked: DeskCounters) -> str:
    """What the cloud asked for."""
    return (
        f"requests ok {asked.ok}, refused {asked.refused}, failed {asked.failed}, "
        f"expired {asked.expired}, repeated {asked.repeated}"
    )


def of_costs(accounts: Accounts) -> str:
    """What the day and the month took of the connection."""
    today = accounts.today()
    return (
        f"today {today.messages} messages {today.size_bytes} B, {today.units} units, {today.usd:.4f} USD, "
        f"this month {today.month_usd:.4f} USD, budget step {accounts.step}"
    )
