"""How do months and the checklist of a close stand in their templates?"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import reverse

from o10.access.keys import Caller
from o10.access.roles import Role
from o10.kernel import figures, ids
from o10.kernel.pageview import Link
from reports import facade
from reports.web import shown
from reports.web.shown_invoice import Problem, approval_url

STATES = {"open": "neutral", "closing": "accent", "closed": "favourable"}
LATER_SHOWN = 200


def show_months(*, lines: Sequence[facade.PeriodLine]) -> dict[str, Any]:
    """Which context has the list of months?"""
    closed = [line for line in lines if line.status == "closed"]
    company = facade.find_ledger()
    currency = company.currency if company else ""
    if closed:
        headline = f"{closed[0].period} was closed last."
    else:
        headline = "No month was closed yet."
    return {
        "head": shown.Head(
            headline=headline,
            subline="A closed month never moves; what comes later stands in the open one.",
            crumbs=(Link("Imports", reverse("imports")), Link("Close", "")),
        ),
        "currency": currency,
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


def show_close(
    *,
    listed: facade.Checklist,
    sealed: Mapping[str, Any] | None,
    waiting: Sequence[Any],
    caller: Caller,
    waivers: Mapping[str, str],
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
        "seal": _seal(listed, sealed) if sealed else None,
        "later": _later(listed),
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
            "note": f"{len(restated.lines)} prior-period lines",
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
            "amount": figures.money_exact(line.amount_nanos, listed.currency),
        }
        for line in listed.restated.lines[:LATER_SHOWN]
    ]
