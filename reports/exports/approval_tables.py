"""Which requests leave as a file? Those of one box of the inbox of whoever asks."""

from collections.abc import Callable
from datetime import datetime

from ledger import facade as ledger
from o10.access.keys import Caller
from policies import facade as policies
from reports.core.table import Kind, Table, TableColumn

Rows = tuple[policies.ApprovalView, ...]
ForCaller = Callable[[datetime, Caller], Table]
_COLUMNS = (
    TableColumn("request", "Request", Kind.TEXT),
    TableColumn("title", "What", Kind.TEXT),
    TableColumn("kind", "Kind", Kind.TEXT),
    TableColumn("subject", "Subject", Kind.TEXT),
    TableColumn("state", "State", Kind.TEXT),
    TableColumn("effect_a_month", "Effect a month", Kind.MONEY),
    TableColumn("raised_by", "Raised by", Kind.TEXT),
    TableColumn("reason", "Reason", Kind.TEXT),
    TableColumn("waits_for", "Waits for", Kind.TEXT),
    TableColumn("agreed", "Agreed", Kind.TEXT),
    TableColumn("raised_at", "Raised", Kind.INSTANT),
    TableColumn("expires_at", "Expires", Kind.INSTANT),
    TableColumn("decided_at", "Decided", Kind.INSTANT),
    TableColumn("hash", "Hash of the change", Kind.TEXT),
)


def waiting_table(now: datetime, caller: Caller) -> Table:
    """What waits for this caller."""
    return _table("approvals", policies.inbox(caller=caller, now=now).mine)


def raised_table(now: datetime, caller: Caller) -> Table:
    """What this caller asked for and nobody has decided."""
    return _table("approvals-raised", policies.inbox(caller=caller, now=now).raised)


def others_table(now: datetime, caller: Caller) -> Table:
    """What waits for other people."""
    return _table("approvals-open", policies.inbox(caller=caller, now=now).others)


def done_table(now: datetime, caller: Caller) -> Table:
    """What was decided lately; the API lists all of it."""
    inbox = policies.inbox(caller=caller, now=now)
    return _table("approvals-done", inbox.done, more=inbox.done_count > len(inbox.done))


def _table(name: str, views: Rows, *, more: bool = False) -> Table:
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id)
    return Table(
        name=name,
        title="Approvals",
        currency=company.currency,
        columns=_COLUMNS,
        rows=tuple(
            (
                view.id,
                view.text.title,
                view.kind,
                view.subject,
                view.state,
                None if view.text.money_nanos is None else int(view.text.money_nanos),
                view.maker.name,
                view.reason,
                ", ".join(view.needs),
                ", ".join(party.name for party in view.approved_by),
                view.raised_at,
                view.expires_at,
                view.decided_at,
                view.change_hash,
            )
            for view in views
        ),
        position=position.seq,
        position_at=position.at,
        view="",
        more=more,
    )
