"""Which rows leave as a file? Exactly those of the page, by the same query.

Each screen with a list has one builder; `.csv`, `.xlsx` or `.json` after its path reaches it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from ledger import facade as ledger
from o10.access.checks import check
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel.viewquery import PageGrammar, ViewQuery, to_text
from policies import facade as policies
from reports.core.table import Kind, Table, TableColumn
from reports.exports.approval_tables import (
    ForCaller,
    done_table,
    others_table,
    raised_table,
    waiting_table,
)
from reports.exports.close_tables import (
    bill_table,
    close_table,
    import_table,
    invoice_table,
    month_table,
    reject_table,
)
from reports.exports.control_tables import (
    alert_table,
    change_table,
    criterion_table,
    history_table,
)
from reports.exports.control_tables import rule_table as rule_table_of_alerts
from reports.exports.cost_tables import (
    amount_table,
    case_table,
    component_table,
    rule_table,
    unit_table,
    value_table,
)
from reports.exports.driver_tables import driver_table, machine_table, volume_table
from reports.exports.price_tables import (
    commitment_table,
    fx_table,
    price_table,
    proposal_table,
    quarantine_table,
    revaluation_table,
)
from reports.queries.cost_page import COST_GRAMMAR
from reports.queries.use_cases import USE_CASE_GRAMMAR, read_use_case_table

ROWS_MOST: Final = 10_000
_PAGE: Final = 1_000
_NO_FILTERS: Final = PageGrammar(columns=(), by=(), filters=())


def build_table(*, screen: str, query: ViewQuery, caller: Caller, now: datetime) -> Table:
    """Which rows does this screen show for this view?

    Raises: Forbidden (`forbidden`) when the caller may not open the screen; KeyError for a
    screen that is not in EXPORTS.
    """
    if screen in OWN_EXPORTS:
        return OWN_EXPORTS[screen](now, caller)
    export = EXPORTS[screen]
    check(caller=caller, action=export.action)
    return export.build(query, now)


class Export:
    """How does one screen become a table, and who may have it?"""

    __slots__ = ("action", "build", "grammar")

    def __init__(
        self,
        build: Callable[[ViewQuery, datetime], Table],
        grammar: PageGrammar,
        action: Action,
    ) -> None:
        self.build = build
        self.grammar = grammar
        self.action = action


def _use_cases(query: ViewQuery, now: datetime) -> Table:
    found = read_use_case_table(query=query, now=now)
    columns = (
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("slug", "Slug", Kind.TEXT),
        TableColumn("department", "Department", Kind.TEXT),
        TableColumn("owner", "Owner", Kind.TEXT),
        TableColumn("mode", "Mode", Kind.TEXT),
        TableColumn("spent", "Spent", Kind.MONEY),
        TableColumn("plan_to_date", "Plan to date", Kind.MONEY),
        TableColumn("delta_plan", "ΔPL", Kind.MONEY),
        TableColumn("plan", "Plan of the period", Kind.MONEY),
        TableColumn("cap", "Cap", Kind.MONEY),
        TableColumn("held", "Held", Kind.MONEY),
        TableColumn("unsettled", "Unsettled", Kind.MONEY),
        TableColumn("left", "Left", Kind.MONEY),
        TableColumn("calls", "Calls", Kind.COUNT),
        TableColumn("denied", "Denied", Kind.COUNT),
        TableColumn("tokens", "Tokens", Kind.COUNT),
        TableColumn("cost_per_call", "Per call", Kind.MONEY),
        TableColumn("cost_per_outcome", "Per outcome", Kind.MONEY),
    )
    rows = tuple(
        (
            line.name,
            line.slug,
            line.row.department if line.row else "",
            line.row.owner if line.row else "",
            line.row.mode if line.row else "",
            line.spent,
            line.plan,
            line.variance.delta,
            line.plan_whole,
            line.envelope.cap if line.envelope else None,
            line.envelope.held if line.envelope else None,
            line.envelope.unsettled if line.envelope else None,
            line.envelope.available if line.envelope else None,
            line.calls,
            line.denials,
            line.tokens,
            line.cost_per_call,
            line.unit.cost.per_outcome if line.unit else None,
        )
        for line in found.lines
    )
    return Table(
        name="use-cases",
        title=f"Use cases {found.period.label}",
        currency=found.currency,
        columns=columns,
        rows=rows,
        position=found.position.seq,
        position_at=found.position.at,
        view=to_text(query, page=USE_CASE_GRAMMAR),
        totals={"spent": found.total.actual},
    )


def _envelopes(query: ViewQuery, now: datetime) -> Table:
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id)
    lines = policies.list_envelope_lines(now=now)
    columns = (
        TableColumn("envelope", "Envelope", Kind.TEXT),
        TableColumn("id", "Id", Kind.TEXT),
        TableColumn("parent", "Parent", Kind.TEXT),
        TableColumn("scope", "Scope", Kind.TEXT),
        TableColumn("period", "Period", Kind.TEXT),
        TableColumn("resets_at", "Resets", Kind.INSTANT),
        TableColumn("time_zone", "Zone", Kind.TEXT),
        TableColumn("cap", "Cap", Kind.MONEY),
        TableColumn("spent", "Spent", Kind.MONEY),
        TableColumn("unguarded", "of it unguarded", Kind.MONEY),
        TableColumn("held", "Held", Kind.MONEY),
        TableColumn("lent", "Lent", Kind.MONEY),
        TableColumn("unsettled", "Unsettled", Kind.MONEY),
        TableColumn("left", "Left", Kind.MONEY),
        TableColumn("binding", "Binding limit", Kind.TEXT),
        TableColumn("health", "Health", Kind.TEXT),
        TableColumn("state", "State", Kind.TEXT),
        TableColumn("version", "Version", Kind.COUNT),
    )
    rows = tuple(
        (
            line.name,
            line.public,
            line.parent,
            line.scope_kind,
            line.period_label,
            line.period.end if line.period else None,
            line.time_zone,
            line.cap,
            line.settled,
            line.unguarded,
            line.held,
            line.lent,
            line.unsettled,
            line.available,
            line.binding.name if line.binding else "",
            line.health.value,
            line.state,
            line.version,
        )
        for line in lines
    )
    return Table(
        name="envelopes",
        title="Envelopes",
        currency=company.currency,
        columns=columns,
        rows=rows,
        position=position.seq,
        position_at=position.at,
        view="",
    )


def _ledger(query: ViewQuery, now: datetime) -> Table:
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id, as_of=query.as_of)
    where = ledger.line_filter_of(query, time_zone=company.time_zone)
    lines: list[ledger.EntryLine] = []
    cursor: str | None = None
    while len(lines) < ROWS_MOST:
        page = ledger.list_entry_lines(where=where, cursor=cursor, limit=_PAGE)
        lines += page.items
        cursor = page.next
        if cursor is None:
            break
    columns = (
        TableColumn("seq", "Entry", Kind.COUNT),
        TableColumn("id", "Id", Kind.TEXT),
        TableColumn("effective_at", "Effective", Kind.INSTANT),
        TableColumn("recorded_at", "Recorded", Kind.INSTANT),
        TableColumn("kind", "Kind", Kind.TEXT),
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("envelope", "Envelope", Kind.TEXT),
        TableColumn("model", "Model", Kind.TEXT),
        TableColumn("venue", "Venue", Kind.TEXT),
        TableColumn("amount", "Amount", Kind.MONEY),
        TableColumn("held", "Held", Kind.MONEY),
        TableColumn("unsettled", "Unsettled", Kind.MONEY),
        TableColumn("calls", "Calls", Kind.COUNT),
        TableColumn("input_tokens", "Input, uncached", Kind.COUNT),
        TableColumn("cache_read_tokens", "Input, cache read", Kind.COUNT),
        TableColumn("cache_write_tokens", "Input, cache write", Kind.COUNT),
        TableColumn("cache_write_1h_tokens", "Input, cache write 1 h", Kind.COUNT),
        TableColumn("output_tokens", "Output, text", Kind.COUNT),
        TableColumn("reasoning_tokens", "Output, reasoning", Kind.COUNT),
        TableColumn("price_version", "Price version", Kind.COUNT),
        TableColumn("policy_version", "Policy version", Kind.COUNT),
        TableColumn("reservation", "Reservation", Kind.TEXT),
        TableColumn("marks", "Flags", Kind.TEXT),
        TableColumn("leaf", "Leaf", Kind.TEXT),
        TableColumn("chain", "Chain", Kind.TEXT),
    )
    rows = tuple(
        (
            line.seq,
            line.public,
            line.effective_at,
            line.recorded_at,
            line.kind,
            line.use_case_slug,
            line.envelope,
            line.model,
            line.venue,
            line.amount,
            line.held,
            line.unsettled,
            line.calls,
            line.tok_in,
            line.tok_cache_read,
            line.tok_cache_write,
            line.tok_cache_write_1h,
            line.tok_out,
            line.tok_reasoning,
            line.price_version,
            line.policy_version,
            line.reservation,
            " ".join(line.marks),
            line.leaf,
            line.chain,
        )
        for line in lines
    )
    return Table(
        name="ledger",
        title="Ledger entries",
        currency=company.currency,
        columns=columns,
        rows=rows,
        position=position.seq,
        position_at=position.at,
        view=to_text(query, page=ledger.LEDGER_GRAMMAR),
        more=cursor is not None,
        totals={"amount": sum(line.amount for line in lines)},
    )


def _decisions(query: ViewQuery, now: datetime) -> Table:
    company = ledger.ledger_of_company()
    position = ledger.position_of(ledger_id=company.id)
    where = policies.decision_filter_of(query, now=now, time_zone=company.time_zone)
    found: list[policies.DecisionRow] = []
    cursor: str | None = None
    while len(found) < ROWS_MOST:
        page = policies.list_decision_rows(where=where, cursor=cursor, limit=_PAGE)
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    columns = (
        TableColumn("id", "Decision", Kind.TEXT),
        TableColumn("decided_at", "Decided", Kind.INSTANT),
        TableColumn("use_case", "Use case", Kind.TEXT),
        TableColumn("decision", "Decision", Kind.TEXT),
        TableColumn("would_decision", "Would be", Kind.TEXT),
        TableColumn("mode", "Mode", Kind.TEXT),
        TableColumn("reasons", "Reasons", Kind.TEXT),
        TableColumn("model", "Model", Kind.TEXT),
        TableColumn("worst_case", "Worst case", Kind.MONEY),
        TableColumn("reservation", "Reservation", Kind.TEXT),
        TableColumn("policy_version", "Policy version", Kind.COUNT),
        TableColumn("price_version", "Price version", Kind.COUNT),
    )
    rows = tuple(
        (
            row.public,
            row.decided_at,
            row.use_case,
            row.outcome,
            row.would,
            row.mode,
            " ".join(row.codes),
            row.model,
            row.worst,
            row.reservation,
            row.policy_version,
            row.price_version,
        )
        for row in found
    )
    return Table(
        name="decisions",
        title="Decisions",
        currency=company.currency,
        columns=columns,
        rows=rows,
        position=position.seq,
        position_at=position.at,
        view=to_text(query, page=policies.DECISION_GRAMMAR),
        more=cursor is not None,
    )


EXPORTS: Final[Mapping[str, Export]] = MappingProxyType(
    {
        "use-cases": Export(_use_cases, USE_CASE_GRAMMAR, Action.READ_SPEND),
        "cost": Export(component_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/use-cases": Export(case_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/amounts": Export(amount_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/rules": Export(rule_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/hardware": Export(machine_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/drivers/volumes": Export(volume_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/drivers": Export(driver_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/outcomes": Export(unit_table, COST_GRAMMAR, Action.READ_SPEND),
        "cost/outcomes/values": Export(value_table, COST_GRAMMAR, Action.READ_SPEND),
        "prices": Export(price_table, policies.PRICE_GRAMMAR, Action.READ_SPEND),
        "prices/quarantine": Export(quarantine_table, _NO_FILTERS, Action.READ_SPEND),
        "prices/proposals": Export(proposal_table, _NO_FILTERS, Action.READ_SPEND),
        "prices/revaluations": Export(revaluation_table, _NO_FILTERS, Action.READ_SPEND),
        "fx-rates": Export(fx_table, _NO_FILTERS, Action.READ_SPEND),
        "commitments": Export(commitment_table, _NO_FILTERS, Action.READ_SPEND),
        "imports": Export(import_table, _NO_FILTERS, Action.READ_SPEND),
        "imports/bills": Export(bill_table, _NO_FILTERS, Action.READ_SPEND),
        "close": Export(month_table, _NO_FILTERS, Action.READ_SPEND),
        "envelopes": Export(_envelopes, _NO_FILTERS, Action.READ_SPEND),
        "ledger": Export(_ledger, ledger.LEDGER_GRAMMAR, Action.READ_LEDGER),
        "policies/decisions": Export(
            _decisions, policies.DECISION_GRAMMAR, Action.READ_DECISIONS
        ),
    }
)
"""Path of a screen to how it leaves as a file."""

OWN_EXPORTS: Final[Mapping[str, ForCaller]] = MappingProxyType(
    {
        "approvals": waiting_table,
        "approvals/raised": raised_table,
        "approvals/open": others_table,
        "approvals/done": done_table,
        "policies/kill-criteria": criterion_table,
        "alerts": alert_table,
        "alerts/rules": rule_table_of_alerts,
        "alerts/changes": change_table,
    }
)
"""Path of a screen that is another one for everybody to how it leaves; readers of spend may."""

EXPORTS_OF_ONE: Final[Mapping[str, Callable[[str, datetime], Table]]] = MappingProxyType(
    {
        "imports": reject_table,
        "invoices": invoice_table,
        "close": close_table,
        "policies/kill-criteria": history_table,
    }
)
"""Path before the id of one thing to how its page leaves as a file; whoever reads spend may."""
