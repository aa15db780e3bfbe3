"""How do months and the checklist of a close stand in their templates?"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse

from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel import figures, ids
from o10.kernel.pageview import Link
from reports import facade
from reports.web import shown
from reports.web.shown_invoice import Problem, approval_url

STATES = {
    "open": "neutral", "closing": "accent", "closed": "favourable", "locked": "favourable"
}  # fmt: skip
WAITING = ("open", "closing")
LATER_SHOWN = 200
PARTS: Mapping[facade.Part, tuple[str, str]] = {
    facade.Part.CALLS: ("Calls", "settled and reported usage"),
    facade.Part.COMMITMENTS: ("Committed capacity", "charged by hour, day or month"),
    facade.Part.DIFFERENCES: ("Differences of bills", "booked by two people, with their cause"),
    facade.Part.ACCRUALS: ("Accruals", "expected; less what the month before had accrued"),
    facade.Part.SHARED: ("Shared cost", "what the company pays beside inference, allocated"),
    facade.Part.REVALUED: ("Repriced", "entries that carry a price stated later"),
    facade.Part.REVERSED: ("Reversed", "exact negatives of earlier entries"),
    facade.Part.OTHER: ("Other", "overruns, credits and adjustments"),
}
KINDS: Mapping[int, str] = {
    facade.EntryKind.SETTLE: "Call settled late",
    facade.EntryKind.OVERRUN: "Call above its hold",
    facade.EntryKind.REVERSAL: "Reversal",
    facade.EntryKind.ADJUST: "Adjustment",
    facade.EntryKind.USAGE: "Usage",
    facade.EntryKind.REVALUATION: "Repriced",
    facade.EntryKind.INVOICE_LINE: "Line of a bill",
    facade.EntryKind.RECONCILE: "Difference of a bill",
}
"""Words for the kinds of entries that come late."""


def show_months(*, lines: Sequence[facade.PeriodLine], now: datetime) -> dict[str, Any]:
    """Which context has the list of months?"""
    company = facade.find_ledger()
    currency = company.currency if company else ""
    return {
        "head": shown.Head(
            headline=_which_waits(lines, now),
            subline="A closed month never moves; what comes later stands in the open one.",
            crumbs=(Link("Imports", reverse("imports")), Link("Close", "")),
        ),
        "currency": currency,
        "exports": shown.exports_of("close"),
        "rows": [
            {
                "period": line.period,
                "url": reverse("close-month", args=[line.period]),
                "word": line.status,
                "tone": STATES[line.status],
                "amount": figures.money(line.amount_nanos, currency),
                "later": figures.money(line.later_nanos, currency) if line.later_nanos else "",
                "bills": line.bills,
                "closed_at": figures.instant(line.closed_at) if line.closed_at else "",
            }
            for line in lines
        ],
    }


def _which_waits(lines: Sequence[facade.PeriodLine], now: datetime) -> str:
    closed = next((line.period for line in lines if line.status == "closed"), "")
    over = [line.period for line in lines if line.status in WAITING and line.ends_at <= now]
    last = f" {closed} was closed last." if closed else ""
    if not over:
        return (
            f"Every month that is over is closed.{last}" if closed else "No month is over yet."
        )
    if len(over) == 1:
        return f"{over[0]} waits to be closed.{last}"
    return f"{len(over)} months wait to be closed, {over[-1]} first.{last}"


def show_close(
    *,
    listed: facade.Checklist,
    parts: Sequence[facade.PeriodPart],
    sealed: Mapping[str, Any] | None,
    waiting: Sequence[Any],
    caller: Caller,
    waivers: Mapping[str, str],
    accrual: Mapping[str, str],
    problem: Problem | None,
) -> dict[str, Any]:
    """Which context has the page of one month?"""
    row, currency = listed.period, listed.currency
    met = sum(each.passes for each in listed.conditions)
    is_closed = listed.restated is not None
    maker = caller.role is Role.FINOPS and not is_closed
    asked = any(each.kind == "period.close" for each in waiting)
    return {
        "head": shown.Head(
            headline=_headline(listed, met),
            subline="Closed for good: later facts stand in the open month."
            if is_closed
            else "Prepared by finance, agreed by a controller; then it is sealed and locked.",
            crumbs=(Link("Close", reverse("close")), Link(row.period, "")),
            status=shown.Status(row.status, STATES[row.status]),
        ),
        "currency": currency,
        "kpis": _kpis(listed),
        "exports": shown.exports_of(f"close/{row.period}"),
        "parts": [_part(part, currency) for part in parts],
        "total": figures.money_exact(listed.sums.amount_nanos, currency),
        "conditions": [
            {
                "title": each.title,
                "found": each.found,
                "link": each.link,
                "word": "met" if each.ok else "passed over" if each.passes else "open",
                "tone": "favourable" if each.ok else "warn" if each.passes else "adverse",
                "key": each.key,
                "waivable": maker and not each.ok and each.key in facade.WAIVABLE,
                "reason": waivers.get(each.key, ""),
            }
            for each in listed.conditions
        ],
        "closed": is_closed,
        "sealing": _seal(listed, sealed) if sealed else None,
        "later": _later(listed),
        "more_later": max(0, len(listed.restated.lines) - LATER_SHOWN)
        if listed.restated
        else 0,
        "accruals": [
            {
                "venue": each.venue,
                "amount": figures.money_exact(each.amount_nanos, currency),
                "reason": each.reason,
                "at": figures.instant(each.booked_at),
            }
            for each in listed.accruals
        ],
        "waiting": [
            {
                "title": each.text.title,
                "text": f"It needs {' and '.join(each.needs)}.",
                "url": approval_url(each.id),
            }
            for each in waiting
        ],
        "may_prepare": maker and not asked,
        "prepare_url": reverse("close-prepare", args=[row.period]),
        "accrue_url": reverse("close-accrue", args=[row.period]),
        "key": ids.new_uuid().hex,
        "accrual": accrual,
        "problem": problem,
    }


def _headline(listed: facade.Checklist, met: int) -> str:
    period, restated = listed.period.period, listed.restated
    if restated is not None:
        amount = figures.money(restated.closed_nanos, listed.currency).text
        return f"{period} is closed at {amount}."
    if listed.ready:
        return f"{period} can be closed: every condition holds."
    return f"{period}: {met} of {len(listed.conditions)} conditions hold."


def _part(part: facade.PeriodPart, currency: str) -> dict[str, Any]:
    word, what = PARTS[part.part]
    return {
        "word": word,
        "what": what,
        "entries": part.entries,
        "amount": figures.money_exact(part.amount_nanos, currency),
    }


def _kpis(listed: facade.Checklist) -> list[dict[str, Any]]:
    currency, restated = listed.currency, listed.restated
    if restated is None:
        return [
            {"label": "Booked", "value": figures.money(listed.sums.amount_nanos, currency)},
            {"label": "Calls", "value": figures.count(listed.sums.calls)},
            {"label": "Entries", "value": figures.count_exact(listed.sums.entries)},
        ]
    return [
        {"label": "Closed at", "value": figures.money(restated.closed_nanos, currency)},
        {
            "label": "Came in later",
            "value": figures.money(restated.later_nanos, currency),
            "note": "1 prior-period line"
            if len(restated.lines) == 1
            else f"{len(restated.lines):,} prior-period lines",
        },
        {"label": "Restated", "value": figures.money(restated.restated_nanos, currency)},
    ]


def _seal(listed: facade.Checklist, sealed: Mapping[str, Any]) -> list[dict[str, Any]]:
    row = listed.period
    seq = sealed.get("seq")
    return [
        {"term": "Closed", "text": figures.instant(row.closed_at)},
        {
            "term": "Booked, sealed",
            "text": figures.money_exact(int(sealed["settled_nanos"]), listed.currency),
        },
        {"term": "Entries", "text": f"{row.first_seq:,} to {row.last_seq:,}"},
        {"term": "Balances root", "hash": row.balances_root.hex()},
        {"term": "Checkpoint root", "hash": row.root.hex(), "sub": f"size {sealed['size']:,}"},
        {
            "term": "Close entry",
            "text": f"{seq:,}" if seq else "waits for the seal",
            "href": reverse("ledger-entry", args=[seq]) if seq else "",
        },
        {"term": "Prepared by", "code": str(sealed["requested_by"])},
        {"term": "Agreed by", "code": str(sealed["approved_by"])},
    ]


def _later(listed: facade.Checklist) -> list[dict[str, Any]]:
    if listed.restated is None:
        return []
    return [
        {
            "seq": line.seq,
            "url": reverse("ledger-entry", args=[line.seq]) if line.seq else "",
            "recorded": figures.instant(line.recorded_at),
            "about": line.about_at[:10],
            "what": KINDS.get(line.kind, "Entry"),
            "where": " · ".join(name for name in (line.venue, line.model) if name),
            "amount": figures.money_exact(line.amount_nanos, listed.currency),
        }
        for line in listed.restated.lines[:LATER_SHOWN]
    ]
