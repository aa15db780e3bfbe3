"""How does one bill stand in its template: match table, causes, bookings?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse

from o10.access.checks import can
from o10.access.keys import Caller
from o10.access.roles import Action, Role
from o10.kernel import figures, ids
from o10.kernel.pageview import Link
from reports import facade
from reports.web import shown

LINES_SHOWN = 400
CLASSES: Mapping[str, tuple[str, str, str]] = {
    "price": (
        "price differs",
        "adverse",
        "most of it is the price, or the bill counts nothing",
    ),
    "quantity": ("quantity differs", "adverse", "most of it is the count"),
    "missing_here": ("missing here", "adverse", "billed, not in the ledger"),
    "missing_there": ("missing there", "warn", "in the ledger, not billed"),
}
USUAL = {
    "price": "price",
    "quantity": "count",
    "missing_here": "usage_not_metered",
    "missing_there": "usage_not_billed",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What was not done, and why?"""

    title: str
    text: str
    status: int = 422


@dataclass(frozen=True, slots=True)
class Typed:
    """What did the person type?"""

    reason: str = ""
    causes: Mapping[str, str] = field(default_factory=dict)


def show_invoice(
    *,
    stands: facade.Reconciliation,
    booked: Sequence[facade.BookedDifferenceRow],
    status: str,
    waiting: Sequence[Any],
    caller: Caller,
    typed: Typed,
    problem: Problem | None,
) -> dict[str, Any]:
    """Which context has a bill's page?"""
    bill, matching = stands.invoice, stands.matching
    currency = bill.currency
    lines = sorted(matching.lines, key=lambda line: (-int(line.is_open), line.key))
    differs = any(line.difference for line in lines)
    may = can(caller=caller, action=Action.CORRECT_LEDGER)
    may_book = may and caller.role is Role.FINOPS
    return {
        "head": shown.Head(
            headline=_headline(stands),
            subline=f"{bill.venue}, {bill.period}, {bill.number or 'no number'};"
            f" the month is {status}",
            crumbs=(
                Link("Imports", reverse("imports")),
                Link(f"{bill.venue} {bill.period}", ""),
            ),
            status=shown.Status(
                "agrees" if stands.is_settled else "differs",
                "favourable" if stands.is_settled else "adverse",
            ),
        ),
        "kpis": [
            {"label": "On the bill", "value": figures.money(matching.billed, currency)},
            {"label": "In the ledger", "value": figures.money(matching.spent, currency)},
            {
                "label": "Booked as difference",
                "value": figures.money(matching.booked, currency),
            },
            {
                "label": "Unexplained",
                "value": figures.money(matching.unexplained, currency),
                "note": figures.percent(
                    part=matching.unexplained, whole=matching.billed or None
                ),
            },
        ],
        "currency": currency,
        "exports": shown.exports_of(f"invoices/{bill.public}"),
        "lines": [_line(line, currency) for line in lines[:LINES_SHOWN]],
        "more": max(0, len(lines) - LINES_SHOWN),
        "groups": _groups(stands),
        "booked": [_booked(row, currency) for row in booked],
        "waiting": [
            {
                "title": each.text.title,
                "text": f"It needs {' and '.join(each.needs)}.",
                "url": approval_url(each.id),
            }
            for each in waiting
        ],
        "form": {
            "may": may_book and differs and not waiting,
            "action": reverse("invoice-book", args=[bill.public]),
            "key": ids.new_uuid().hex,
            "reason": typed.reason,
            "classes": [_choice(name, stands, typed) for name in CLASSES if _any(stands, name)],
        },
        "closed": status == "closed",
        "close_url": reverse("close-month", args=[bill.period]),
        "problem": problem,
    }


def approval_url(public: str) -> str:
    """Where is this request decided?"""
    return f"/approvals/{public}/"


def _headline(stands: facade.Reconciliation) -> str:
    matching, currency = stands.matching, stands.invoice.currency
    if stands.is_settled:
        return "This bill agrees with the ledger, or its differences are booked."
    gap = figures.delta(new=matching.billed, base=matching.spent, currency=currency).text
    return f"This bill differs from the ledger by {gap}."


def _any(stands: facade.Reconciliation, name: str) -> bool:
    return any(line.is_open and line.found.value == name for line in stands.matching.lines)


def _groups(stands: facade.Reconciliation) -> list[dict[str, Any]]:
    rows = []
    currency = stands.invoice.currency
    names = {"matched": ("matched", "favourable", "within 1 % or 1 unit"), **CLASSES}
    for name, (word, tone, what) in names.items():
        lines = [line for line in stands.matching.lines if line.found.value == name]
        if lines:
            rows.append(
                {
                    "word": word,
                    "tone": tone,
                    "what": what,
                    "count": len(lines),
                    "billed": figures.money(sum(line.billed for line in lines), currency),
                    "spent": figures.money(sum(line.spent for line in lines), currency),
                    "left": figures.money(sum(line.difference for line in lines), currency),
                }
            )
    return rows


def _line(line: facade.Match, currency: str) -> dict[str, Any]:
    key = line.key
    word, tone, _ = CLASSES.get(line.found.value, ("matched", "favourable", ""))
    if line.found.value != "matched" and not line.is_open:
        word, tone = "booked", "neutral"
    days = figures.day(key.day).text
    if key.last_day != key.day:
        days = f"{days} to {figures.day(key.last_day).text}"
    return {
        "days": days,
        "model": key.model or "not named",
        "tier": key.tier,
        "account": key.account,
        "billed": figures.money_exact(line.billed, currency),
        "spent": figures.money_exact(line.spent, currency),
        "booked": figures.money_exact(line.booked, currency) if line.booked else "",
        "gap": figures.money_exact(line.difference, currency),
        "billed_tokens": figures.count(line.billed_quantity),
        "spent_tokens": figures.count(line.spent_quantity),
        "word": word,
        "tone": tone,
    }


def _count(number: int) -> str:
    return "1 line" if number == 1 else f"{number:,} lines"


def _choice(name: str, stands: facade.Reconciliation, typed: Typed) -> dict[str, Any]:
    lines = [
        each for each in stands.matching.lines if each.found.value == name and each.is_open
    ]
    total = sum(each.difference for each in lines)
    chosen = typed.causes.get(name) or USUAL[name]
    return {
        "name": name,
        "label": f"{_count(len(lines))}: {CLASSES[name][0]}",
        "total": figures.money_exact(total, stands.invoice.currency),
        "causes": [
            {"code": code, "words": words, "chosen": code == chosen}
            for code, words in facade.CAUSES.items()
        ],
    }


def _booked(row: facade.BookedDifferenceRow, currency: str) -> dict[str, Any]:
    return {
        "day": figures.day(row.key.day),
        "model": row.key.model or "not named",
        "amount": figures.money_exact(row.amount_nanos, currency),
        "cause": facade.CAUSES.get(row.cause, row.cause),
        "reason": row.reason,
        "late": row.is_late,
        "at": figures.instant(row.booked_at),
    }
