"""How do imports and bills stand in their templates?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action
from o10.kernel import figures
from o10.kernel.pageview import Link
from reports import facade
from reports.web import shown

STATES = {
    "checked": ("looked at", "warn"),
    "confirmed": ("waiting", "accent"),
    "running": ("booking", "accent"),
    "done": ("booked", "favourable"),
    "failed": ("stopped", "adverse"),
    "discarded": ("discarded", "neutral"),
}
KINDS = {"usage": "Usage", "bill": "Bill"}


@dataclass(frozen=True, slots=True)
class Typed:
    """What was chosen in the first step?"""

    source: str = ""
    use_case: str = ""


def show_imports(
    *,
    syncs: Mapping[str, facade.ImportView],
    rows: Sequence[facade.ImportView],
    bills: Sequence[facade.InvoiceRow],
    open_bills: Sequence[facade.Reconciliation],
    caller: Caller,
    now: datetime,
) -> dict[str, Any]:
    """Which context has the page of imports?"""
    unexplained = sum(each.matching.unexplained for each in open_bills)
    waiting = [each for each in open_bills if not each.is_settled]
    currency = bills[0].currency if bills else ""
    if waiting:
        count = "1 bill differs" if len(waiting) == 1 else f"{len(waiting)} bills differ"
        headline = f"{count} by {figures.money(unexplained, currency).text} without a cause."
    elif bills:
        headline = "Every bill agrees with the ledger or has its causes."
    else:
        headline = "No bill has come in yet."
    may_import = can(caller=caller, action=Action.CORRECT_LEDGER)
    stands = {each.invoice.public: each for each in open_bills}
    return {
        "head": shown.Head(
            headline=headline,
            subline="Usage is booked once for each row; bills are evidence until two people "
            "book what differs.",
            crumbs=(Link("Overview", reverse("overview")), Link("Imports", "")),
        ),
        "may_import": may_import,
        "file_exports": shown.exports_of("imports"),
        "bill_exports": shown.exports_of("imports/bills"),
        "new_url": reverse("import-new"),
        "close_url": reverse("close"),
        "sources": [
            _source(each, syncs.get(each.name), now) for each in facade.SOURCES.values()
        ],
        "rows": [_row(row, now) for row in rows],
        "bills": [_bill(bill, stands.get(bill.public)) for bill in bills],
        "empty": {
            "title": "Nothing was imported yet.",
            "text": "Bring a provider's usage export or bill; it is looked at before it is "
            "booked.",
            "actions": [{"label": "Import a file", "url": reverse("import-new")}]
            if may_import
            else [],
        },
    }


def _source(source: Any, last: facade.ImportView | None, now: datetime) -> dict[str, Any]:
    return {
        "title": source.title,
        "name": source.name,
        "form": f"{source.form}, {source.unit}",
        "url": f"{reverse('import-new')}?source={source.name}",
        "last": figures.ago(last.finished_at, now=now) if last else "",
        "last_url": reverse("import", args=[last.id]) if last else "",
        "rows": figures.count_exact(last.rows_new) if last else "",
        "amount": figures.money(_amount(last), last.currency) if last else "",
    }


def _amount(row: facade.ImportView) -> int:
    return row.amount_nanos if row.kind == "bill" else row.booked_nanos


def _row(row: facade.ImportView, now: datetime) -> dict[str, Any]:
    word, tone = STATES[row.state]
    return {
        "url": reverse("import", args=[row.id]),
        "file": row.file_name,
        "source": facade.SOURCES[row.source].title,
        "kind": KINDS[row.kind],
        "rows": row.rows_total,
        "rejected": row.rows_rejected,
        "amount": figures.money(_amount(row), row.currency),
        "word": word,
        "tone": tone,
        "at": figures.ago(row.finished_at or row.made_at, now=now),
    }


def _bill(bill: facade.InvoiceRow, stands: facade.Reconciliation | None) -> dict[str, Any]:
    word, tone = "month closed", "neutral"
    gap: Any = ""
    if stands is not None:
        settled = stands.is_settled
        word, tone = ("agrees", "favourable") if settled else ("differs", "adverse")
        gap = figures.money(stands.matching.unexplained, bill.currency)
    return {
        "url": reverse("invoice", args=[bill.public]),
        "venue": bill.venue,
        "number": bill.number,
        "period": bill.period,
        "lines": bill.lines,
        "amount": figures.money(bill.amount_nanos, bill.currency),
        "gap": gap,
        "word": word,
        "tone": tone,
    }


def show_new(*, typed: Typed, problem: str, caller: Caller) -> dict[str, Any]:
    """Which context has the first step?"""
    return {
        "head": shown.Head(
            headline="Import a file",
            subline="It is looked at first: nothing is booked before you confirm.",
            crumbs=(Link("Imports", reverse("imports")), Link("Import a file", "")),
        ),
        "steps": _steps(0),
        "action": reverse("import-new"),
        "problem": problem,
        "sources": [
            {
                "name": each.name,
                "title": f"{each.title} ({each.form}, {each.unit})",
                "chosen": each.name == typed.source,
            }
            for each in facade.SOURCES.values()
        ],
        "use_case": typed.use_case,
        "may_import": can(caller=caller, action=Action.CORRECT_LEDGER),
    }


def show_import(
    *,
    row: facade.ImportView,
    rejects: Sequence[facade.RejectView],
    caller: Caller,
    now: datetime,
) -> dict[str, Any]:
    """Which context has one import?"""
    currency = row.currency
    word, tone = STATES[row.state]
    place = {"checked": 1, "failed": 2, "confirmed": 2, "running": 2, "done": 3}
    return {
        "head": shown.Head(
            headline=_headline(row),
            subline=f"{facade.SOURCES[row.source].title}, {row.file_name}",
            crumbs=(Link("Imports", reverse("imports")), Link(row.file_name, "")),
            status=shown.Status(word, tone),
        ),
        "steps": _steps(place.get(row.state, 1)),
        "row": row,
        "moving": row.is_moving,
        "poll_url": reverse("import", args=[row.id]),
        "may_confirm": row.state in ("checked", "failed")
        and can(caller=caller, action=Action.CORRECT_LEDGER),
        "has_news": row.rows_new > 0,
        "confirm_url": reverse("import-confirm", args=[row.id]),
        "discard_url": reverse("import-discard", args=[row.id]),
        "exports": shown.exports_of(f"imports/{row.id}"),
        "kpis": [
            {"label": "Rows", "value": figures.count_exact(row.rows_total)},
            {"label": "New", "value": figures.count_exact(row.rows_new)},
            {"label": "Known", "value": figures.count_exact(row.rows_known)},
            {"label": "Rejected", "value": figures.count_exact(row.rows_rejected)},
            {
                "label": "On the bill" if row.kind == "bill" else "Stated by the provider",
                "value": figures.money(row.amount_nanos, currency),
            },
        ],
        "progress": _progress(row, now) if row.is_moving else None,
        "receipt": _receipt(row) if row.state == "done" else None,
        "rejects": rejects,
        "more_rejects": max(0, row.rows_rejected - len(rejects)),
        "problem": row.problem,
    }


def _headline(row: facade.ImportView) -> str:
    total = f"{row.rows_new:,} of {row.rows_total:,} rows"
    match row.state:
        case "checked":
            return f"{total} are new; nothing is booked yet."
        case "confirmed":
            return "Confirmed: a worker takes it within seconds."
        case "running":
            return f"{row.rows_done:,} rows are booked."
        case "failed":
            return "Booking stopped; what was booked stays."
        case "discarded":
            return "This file was discarded; nothing was booked."
    return f"{total} were booked."


def _progress(row: facade.ImportView, now: datetime) -> dict[str, Any]:
    seconds = (now - row.started_at).total_seconds() if row.started_at else 0.0
    rate = int(row.rows_done / seconds) if seconds > 0 else 0
    left = (row.rows_total - row.rows_done) // rate if rate else 0
    return {
        "done": row.rows_done,
        "total": row.rows_total,
        "rate": f"{rate:,} rows/s" if rate else "",
        "left": f"{left} s" if left > 0 else "",
    }


def _receipt(row: facade.ImportView) -> list[dict[str, Any]]:
    where = f"{row.first_seq:,} to {row.last_seq:,}" if row.last_seq else "waits for the seal"
    items: list[dict[str, Any]] = [
        {"term": "Receipt", "code": row.id},
        {"term": "Booked", "text": figures.money_exact(row.booked_nanos, row.currency)},
    ]
    if row.entries_hash:
        items += [
            {
                "term": "Ledger range",
                "text": where,
                "href": reverse("ledger-entry", args=[row.first_seq]) if row.first_seq else "",
            },
            {"term": "Hash of the entries", "hash": row.entries_hash},
        ]
    items += [
        {"term": "Hash of the file", "hash": row.file_hash},
        {"term": "Finished", "text": figures.instant(row.finished_at)},
    ]
    if row.unpriced:
        items.append({"term": "Without a price", "text": figures.count_exact(row.unpriced)})
    return items


def _steps(now_at: int) -> list[dict[str, str]]:
    labels = ("File", "Look", "Book", "Receipt")
    return [
        {
            "label": label,
            "state": "done" if number < now_at else "now" if number == now_at else "",
        }
        for number, label in enumerate(labels)
    ]
