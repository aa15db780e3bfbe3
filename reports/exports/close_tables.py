"""Which rows of imports, bills and closes leave as a file? Those of the page."""

from datetime import datetime
from typing import Final

from ledger import facade as ledger
from o10.kernel.viewquery import ViewQuery
from reports.core.table import Kind, Table, TableColumn, Value
from reports.exports.current_table import current_table
from reports.queries.close_checklist import list_period_states, read_checklist

ROWS_MOST: Final = 10_000
FILES_MOST: Final = 1_000


def import_table(query: ViewQuery, now: datetime) -> Table:
    """Which files came in, the newest first?"""
    columns = (
        TableColumn("id", "Import", Kind.TEXT),
        TableColumn("file", "File", Kind.TEXT),
        TableColumn("source", "Source", Kind.TEXT),
        TableColumn("kind", "Kind", Kind.TEXT),
        TableColumn("state", "State", Kind.TEXT),
        TableColumn("rows", "Rows", Kind.COUNT),
        TableColumn("new", "New", Kind.COUNT),
        TableColumn("known", "Known", Kind.COUNT),
        TableColumn("rejected", "Rejected", Kind.COUNT),
        TableColumn("amount", "Money in the file", Kind.MONEY),
        TableColumn("booked", "Booked", Kind.MONEY),
        TableColumn("first_seq", "First entry", Kind.COUNT),
        TableColumn("last_seq", "Last entry", Kind.COUNT),
        TableColumn("file_hash", "SHA-256 of the file", Kind.TEXT),
        TableColumn("entries_hash", "Hash of the entries", Kind.TEXT),
        TableColumn("made_at", "Came in", Kind.INSTANT),
        TableColumn("finished_at", "Finished", Kind.INSTANT),
    )
    found = ledger.list_imports(limit=FILES_MOST + 1)
    rows: list[tuple[Value, ...]] = [
        (
            row.id,
            row.file_name,
            row.source,
            row.kind,
            row.state,
            row.rows_total,
            row.rows_new,
            row.rows_known,
            row.rows_rejected,
            row.amount_nanos,
            row.booked_nanos,
            row.first_seq,
            row.last_seq,
            row.file_hash,
            row.entries_hash,
            row.made_at,
            row.finished_at,
        )
        for row in found[:FILES_MOST]
    ]
    return current_table("imports", "Imports", columns, rows, more=len(found) > FILES_MOST)


def bill_table(query: ViewQuery, now: datetime) -> Table:
    """How does each bill stand to the ledger now?"""
    columns = (
        TableColumn("id", "Bill", Kind.TEXT),
        TableColumn("venue", "Venue", Kind.TEXT),
        TableColumn("number", "Number", Kind.TEXT),
        TableColumn("period", "Month", Kind.TEXT),
        TableColumn("source", "Source", Kind.TEXT),
        TableColumn("lines", "Lines", Kind.COUNT),
        TableColumn("late_lines", "Late lines", Kind.COUNT),
        TableColumn("billed", "On the bill", Kind.MONEY),
        TableColumn("spent", "In the ledger", Kind.MONEY),
        TableColumn("booked", "Booked as difference", Kind.MONEY),
        TableColumn("unexplained", "Unexplained", Kind.MONEY),
        TableColumn("unexplained_ppm", "Unexplained, ppm", Kind.COUNT),
        TableColumn("state", "State", Kind.TEXT),
        TableColumn("received_at", "Received", Kind.INSTANT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            each.invoice.public,
            each.invoice.venue,
            each.invoice.number,
            each.invoice.period,
            each.invoice.source,
            each.invoice.lines,
            each.invoice.late_lines,
            each.matching.billed,
            each.matching.spent,
            each.matching.booked,
            each.matching.unexplained,
            each.matching.unexplained_ppm,
            "agrees" if each.is_settled else "differs",
            each.invoice.received_at,
        )
        for each in ledger.reconcile_invoices(ledger.list_invoices())
    ]
    return current_table("bills", "Bills", columns, rows)


def month_table(query: ViewQuery, now: datetime) -> Table:
    """How do the months stand?"""
    columns = (
        TableColumn("period", "Month", Kind.TEXT),
        TableColumn("state", "State", Kind.TEXT),
        TableColumn("booked", "Booked", Kind.MONEY),
        TableColumn("later", "Came in later", Kind.MONEY),
        TableColumn("bills", "Bills", Kind.COUNT),
        TableColumn("starts_at", "From", Kind.INSTANT),
        TableColumn("ends_at", "To", Kind.INSTANT),
        TableColumn("closed_at", "Closed", Kind.INSTANT),
    )
    rows: list[tuple[Value, ...]] = [
        (
            line.period,
            line.status,
            line.amount_nanos,
            line.later_nanos,
            line.bills,
            line.starts_at,
            line.ends_at,
            line.closed_at,
        )
        for line in list_period_states(now=now)
    ]
    return current_table("months", "Months", columns, rows)


def reject_table(public: str, now: datetime) -> Table:
    """Which rows of this import were not taken?

    Raises: NotFound (`not_found`).
    """
    row = ledger.get_import(public)
    columns = (
        TableColumn("row", "Row", Kind.COUNT),
        TableColumn("code", "Code", Kind.TEXT),
        TableColumn("reason", "Reason", Kind.TEXT),
        TableColumn("content", "Begins with", Kind.TEXT),
    )
    found = ledger.list_rejects(public, limit=ROWS_MOST)
    rows: list[tuple[Value, ...]] = [
        (each.row, each.code, each.message, each.content) for each in found
    ]
    more = row.rows_rejected > len(found)
    return current_table(
        f"{public}-rejects", f"Rejected rows of {row.file_name}", columns, rows, more=more
    )


def invoice_table(public: str, now: datetime) -> Table:
    """How does each line of this bill stand to the ledger?

    Raises: NotFound (`not_found`).
    """
    stands = ledger.reconcile_invoices([ledger.get_invoice(public)])[0]
    columns = (
        TableColumn("day", "Day", Kind.DAY),
        TableColumn("last_day", "To", Kind.DAY),
        TableColumn("model", "Model", Kind.TEXT),
        TableColumn("tier", "Tier", Kind.TEXT),
        TableColumn("account", "Account", Kind.TEXT),
        TableColumn("billed_tokens", "Tokens billed", Kind.COUNT),
        TableColumn("spent_tokens", "Tokens here", Kind.COUNT),
        TableColumn("billed", "On the bill", Kind.MONEY),
        TableColumn("spent", "In the ledger", Kind.MONEY),
        TableColumn("booked", "Booked", Kind.MONEY),
        TableColumn("difference", "Difference", Kind.MONEY),
        TableColumn("class", "Class", Kind.TEXT),
        TableColumn("open", "Open", Kind.TEXT),
    )
    lines = stands.matching.lines
    rows: list[tuple[Value, ...]] = [
        (
            line.key.day,
            line.key.last_day,
            line.key.model,
            line.key.tier,
            line.key.account,
            line.billed_quantity,
            line.spent_quantity,
            line.billed,
            line.spent,
            line.booked,
            line.difference,
            line.found.value,
            "yes" if line.is_open else "no",
        )
        for line in lines[:ROWS_MOST]
    ]
    name = f"bill-{stands.invoice.venue}-{stands.invoice.period}"
    title = f"Bill of {stands.invoice.venue}, {stands.invoice.period}"
    return current_table(name, title, columns, rows, more=len(lines) > ROWS_MOST)


def close_table(period: str, now: datetime) -> Table:
    """What says the page of a month: conditions, what is booked, accruals, later lines?

    Raises: ValidationFailed (`validation_failed`) for what is no month.
    """
    listed = read_checklist(period=period, now=now)
    row = listed.period
    columns = (
        TableColumn("section", "Section", Kind.TEXT),
        TableColumn("what", "What", Kind.TEXT),
        TableColumn("state", "State", Kind.TEXT),
        TableColumn("amount", "Amount", Kind.MONEY),
        TableColumn("entries", "Entries", Kind.COUNT),
        TableColumn("seq", "Entry", Kind.COUNT),
        TableColumn("text", "Text", Kind.TEXT),
    )
    rows: list[tuple[Value, ...]] = [
        ("condition", each.key, "met" if each.ok else "open", None, None, None, each.found)
        for each in listed.conditions
    ]
    parts = ledger.list_period_parts(starts_at=row.starts_at, ends_at=row.ends_at)
    rows += [
        ("booked", str(part.part), row.status, part.amount_nanos, part.entries, None, "")
        for part in parts
    ]
    total = listed.sums.amount_nanos
    rows.append(("booked", "total", row.status, total, listed.sums.entries, None, ""))
    rows += [
        ("accrual", each.venue, "booked", each.amount_nanos, 2, None, each.reason)
        for each in listed.accruals
    ]
    if listed.restated is not None:
        rows += [
            (
                "prior-period line",
                line.about_at[:10],
                "booked",
                line.amount_nanos,
                1,
                line.seq,
                "",
            )
            for line in listed.restated.lines[:ROWS_MOST]
        ]
        later = len(listed.restated.lines)
        rows.append(("restated", "total", "", listed.restated.restated_nanos, later, None, ""))
    return current_table(f"close-{period}", f"Close of {period}", columns, rows)
