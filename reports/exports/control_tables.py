"""Which kill criteria, alerts, rules and changes leave as a file? Those of the page."""

from collections.abc import Sequence
from datetime import datetime

from o10.access.keys import Caller
from policies import facade as policies
from reports.core.table import Kind, Table, TableColumn, Value
from reports.exports.current_table import current_table

Columns = Sequence[tuple[str, str, Kind]]
ROWS_MOST = 10_000
PAGE = 200
CHANGES_MOST = 1_000


def criterion_table(_: datetime, caller: Caller) -> Table:
    """Which criteria are there, how near is each to its trigger?"""
    screen = policies.get_kill_list()
    slugs = caller.use_case_slugs
    rows = [
        (
            view.id,
            view.name,
            screen.names[view.id],
            view.state,
            view.spec.metric,
            view.signal,
            view.action,
            view.last.value or "",
            view.last.evidence,
            view.last.sample,
            view.last.progress_ppm,
            view.spec.owner,
            view.spec.review_by.isoformat() if view.spec.review_by else "",
            view.last.at,
            view.tripped_at,
        )
        for view in screen.views
        if slugs is None or (view.scope.kind == "use_case" and view.scope.slug in slugs)
    ]
    columns = (
        ("criterion", "Criterion", Kind.TEXT),
        ("name", "Name", Kind.TEXT),
        ("watches", "Watches", Kind.TEXT),
        ("state", "State", Kind.TEXT),
        ("metric", "Metric", Kind.TEXT),
        ("signal", "If", Kind.TEXT),
        ("action", "Then", Kind.TEXT),
        ("value", "Now", Kind.TEXT),
        ("evidence", "Evidence", Kind.TEXT),
        ("sample", "Sample", Kind.COUNT),
        ("progress_ppm", "Of the way, ppm", Kind.COUNT),
        ("owner", "Owner", Kind.TEXT),
        ("review_by", "Look again by", Kind.TEXT),
        ("looked_at", "Looked at", Kind.INSTANT),
        ("tripped_at", "Tripped", Kind.INSTANT),
    )
    return _table("kill-criteria", "Kill criteria", columns, rows)


def history_table(criterion: str, now: datetime) -> Table:
    """What happened to one criterion, newest first?"""
    screen = policies.get_kill_screen(criterion=criterion, now=now)
    rows = [
        (
            each.at,
            each.kind,
            each.before,
            each.after,
            _value(each.inputs, screen),
            each.version,
            screen.people.get(each.actor, each.actor),
            each.reason,
            str(each.entry_uid or ""),
        )
        for each in screen.events
    ]
    columns = (
        ("at", "At", Kind.INSTANT),
        ("what", "What", Kind.TEXT),
        ("before", "Before", Kind.TEXT),
        ("after", "Then", Kind.TEXT),
        ("value", "Value", Kind.TEXT),
        ("version", "Version", Kind.COUNT),
        ("by", "By", Kind.TEXT),
        ("reason", "Reason", Kind.TEXT),
        ("entry", "Entry", Kind.TEXT),
    )
    return _table(criterion, f"History of {screen.view.name}", columns, rows)


def alert_table(now: datetime, caller: Caller) -> Table:
    """Which alerts were raised, newest first, in every state?"""
    rows: list[tuple[Value, ...]] = []
    cursor = ""
    while len(rows) < ROWS_MOST:
        page = policies.list_alerts(
            now=now, slugs=caller.use_case_slugs, cursor=cursor, limit=PAGE
        )
        rows += [
            (
                each.id,
                each.title,
                each.kind,
                each.severity,
                each.state,
                each.subject,
                each.window,
                each.use_case or "",
                each.raised_at,
                each.state_at,
                each.state_by,
                each.state_reason,
            )
            for each in page.items
        ]
        cursor = page.next or ""
        if not cursor:
            break
    columns = (
        ("alert", "Alert", Kind.TEXT),
        ("title", "What", Kind.TEXT),
        ("kind", "Kind", Kind.TEXT),
        ("severity", "Severity", Kind.TEXT),
        ("state", "State", Kind.TEXT),
        ("subject", "Subject", Kind.TEXT),
        ("window", "Window", Kind.TEXT),
        ("use_case", "Use case", Kind.TEXT),
        ("raised_at", "Raised", Kind.INSTANT),
        ("state_at", "Since", Kind.INSTANT),
        ("by", "By", Kind.TEXT),
        ("reason", "Reason", Kind.TEXT),
    )
    return _table("alerts", "Alerts", columns, rows, more=bool(cursor))


def rule_table(_: datetime, __: Caller) -> Table:
    """Which rules watch, and when did each speak last?"""
    rows = [
        (
            each.id,
            each.name,
            each.kind,
            each.scope_slug or each.scope_kind,
            each.threshold or each.default_threshold or "",
            each.unit,
            each.window,
            each.severity,
            each.state,
            each.last_fired_at,
            each.open_alerts,
        )
        for each in policies.list_alert_rules().items
    ]
    columns = (
        ("rule", "Rule", Kind.TEXT),
        ("name", "Name", Kind.TEXT),
        ("kind", "Kind", Kind.TEXT),
        ("scope", "Scope", Kind.TEXT),
        ("threshold", "Threshold", Kind.TEXT),
        ("unit", "Unit", Kind.TEXT),
        ("window", "Window", Kind.TEXT),
        ("severity", "Severity", Kind.TEXT),
        ("state", "State", Kind.TEXT),
        ("last_fired_at", "Fired last", Kind.INSTANT),
        ("open_alerts", "Open", Kind.COUNT),
    )
    return _table("alert-rules", "Alert rules", columns, rows)


def change_table(_: datetime, caller: Caller) -> Table:
    """Which changes were first seen, and who signed each?"""
    found = policies.list_changes(slugs=caller.use_case_slugs, limit=CHANGES_MOST)
    rows = [
        (
            each.use_case,
            each.dimension,
            each.value,
            each.before,
            each.seen_at,
            each.seq,
            each.signed_by or "nobody",
            each.signed_ref,
            each.weighing,
            each.alert or "",
        )
        for each in found
    ]
    columns = (
        ("use_case", "Use case", Kind.TEXT),
        ("dimension", "What", Kind.TEXT),
        ("value", "Value", Kind.TEXT),
        ("before", "Before", Kind.TEXT),
        ("seen_at", "First seen", Kind.INSTANT),
        ("seq", "Ledger position", Kind.COUNT),
        ("signed_by", "Signed by", Kind.TEXT),
        ("signed_ref", "Request", Kind.TEXT),
        ("weighing", "Cost of a call", Kind.TEXT),
        ("alert", "Alert", Kind.TEXT),
    )
    return _table("alert-changes", "Changes", columns, rows, more=len(found) == CHANGES_MOST)


def _value(inputs: dict[str, object], screen: policies.KillScreen) -> str:
    value = policies.fraction_of(inputs)
    return policies.value_text(screen.metric, value, currency=screen.currency) if value else ""


def _table(
    name: str,
    title: str,
    columns: Columns,
    rows: Sequence[tuple[Value, ...]],
    *,
    more: bool = False,
) -> Table:
    named = [TableColumn(*each) for each in columns]
    return current_table(name, title, named, rows, more=more)
